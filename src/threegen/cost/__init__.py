"""What an answer costs: memory and operations, counted exactly."""
