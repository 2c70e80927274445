"""Files that are never half written: checkpoints, locks, state."""
