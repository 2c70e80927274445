"""A folder that is a trained model: train, load, evaluate, look inside."""
