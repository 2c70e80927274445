"""Tracing of any `nn.Module`: the layers actually called, the functions they call, the shapes of one sample."""
