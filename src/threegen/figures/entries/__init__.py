"""Published figures that `threegen reproduce` makes anew, one a file; each file defines `FIGURE`."""
