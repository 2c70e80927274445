"""The experiments of the textbooks: `threegen study NAME` runs one, measures its figures and draws them."""
