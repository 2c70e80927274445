"""One entry per model, its training plans, and the stages of its paper."""
