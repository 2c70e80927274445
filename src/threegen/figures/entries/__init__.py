"""Published figures that `threegen reproduce` reproduces, one per file; each file defines `FIGURE`."""
