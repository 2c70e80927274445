"""Cells of the neocognitron and the compiled planes of the LeNets."""
