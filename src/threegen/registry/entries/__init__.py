"""The models of the registry, one a file; each file defines `ENTRY`."""
