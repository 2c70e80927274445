# Written by scripts/public_names.py from the table in names.py; do not edit.

__all__ = [
]
