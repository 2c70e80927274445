"""The published figures, one file each, and how they are reproduced."""
