"""Data sets: readers, checked data in memory, downloads, and the user's own pictures and tables."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
