"""Products that leave out what is 0, and the layouts of weights for them."""
