"""Spiking neurons, layers that compute only where a spike arrives, and their fused kernels."""
