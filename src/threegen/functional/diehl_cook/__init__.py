"""The network of Diehl and Cook: constants, plain presentation and kernels."""
