"""One walker of any `nn.Module`: the layers really called, the functions they call, the shapes of one sample."""
