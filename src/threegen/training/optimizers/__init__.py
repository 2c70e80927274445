"""Optimizers by name, and those of the textbooks."""
