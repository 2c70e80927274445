"""The training loop and what belongs to it: stages, logs, checkpoints, schedules, early stopping, evaluation."""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
