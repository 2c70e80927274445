"""Look inside any `nn.Module`: what it is made of, what it has learnt, and why it gives an answer."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
