"""The training loop and what belongs to it: stages, logs, checkpoints, schedules, early stopping, evaluation."""
