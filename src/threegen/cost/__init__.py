"""What an answer costs: memory and operations, counted exactly."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
