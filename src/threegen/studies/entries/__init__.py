"""The studies, one a file; each file defines `STUDY`."""
