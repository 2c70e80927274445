"""Pictures into spikes, and spikes back into pictures."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
