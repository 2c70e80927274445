"""Several processes: gradients and buffers averaged over workers."""
