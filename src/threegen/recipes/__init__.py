"""Recipes: the registry of models, runs, the lineage, published figures made anew."""
