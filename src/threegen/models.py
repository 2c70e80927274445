"""The models of all three generations, by name."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
