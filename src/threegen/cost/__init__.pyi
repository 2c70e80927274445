# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.cost.bill import Bill as Bill
from threegen.cost.bill import OPERATIONS as OPERATIONS
from threegen.cost.bill import Row as Row
from threegen.cost.count import count as count
from threegen.gen3.parts import Cost as Cost
from threegen.gen3.parts import Use as Use

__all__ = [
    "Bill",
    "Cost",
    "OPERATIONS",
    "Row",
    "Use",
    "count",
]
