"""What speed needs and no model sees: threads, compile cache, buffers, memory, hashed draws, vector code."""
