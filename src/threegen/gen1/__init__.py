"""First generation: units with a step, 1958 to 1980."""
