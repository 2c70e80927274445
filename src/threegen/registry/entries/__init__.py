"""The models of the registry, one per file; each file defines `ENTRY`."""
