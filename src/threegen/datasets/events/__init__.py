"""Recordings of event cameras: one reader per file format, filters, frames and the lazily read data sets."""
