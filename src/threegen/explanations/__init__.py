"""Look inside any `nn.Module`: what it is made of, what it has learnt, and why it gives an answer."""
