"""`python -m threegen` is the command line."""

from threegen.cli import main

if __name__ == "__main__":
    main()
