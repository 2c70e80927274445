"""Losses and optimizer steps in one pass over memory."""
