"""Look inside any `nn.Module`: its structure, its trained weights, and the reasons for its answers."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
