"""Optimizers by name, including textbook variants."""
