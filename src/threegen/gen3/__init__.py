"""Models of the third generation: spiking neurons, encoders and networks."""
