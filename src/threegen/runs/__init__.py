"""Runs: a run is a folder with a trained model. Train, load, evaluate and explain it."""
