"""One entry per model, its training plans, and the stages of its paper."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
