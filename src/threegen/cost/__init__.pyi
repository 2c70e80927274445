# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.cost.bill import Bill as Bill
from threegen.cost.count import count as count

__all__ = [
    "Bill",
    "count",
]
