"""Second generation: units with graded activations, trained by gradients or sampling."""
