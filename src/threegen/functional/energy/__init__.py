"""Energies, units, partition functions and kernels of energy-based nets."""
