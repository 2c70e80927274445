"""Encoders turn images into spikes; `decode` functions turn spikes back into images."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
