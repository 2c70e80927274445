"""Pure functions and kernels: no state, no modules."""
