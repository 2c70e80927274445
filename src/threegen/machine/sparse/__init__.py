"""Products that skip zeros, and the layouts of weights for them."""
