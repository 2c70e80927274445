"""A search over settings in which all networks of a round train at once, as one stack of weights."""
