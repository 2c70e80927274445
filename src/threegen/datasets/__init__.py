"""Data sets: readers, checked data in memory, downloads, and the user's own pictures and tables."""
