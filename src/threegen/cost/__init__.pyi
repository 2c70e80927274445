# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.cost.bill import Bill as Bill
from threegen.cost.bill import OPERATIONS as OPERATIONS
from threegen.cost.bill import Row as Row
from threegen.cost.count import count as count
from threegen.cost.energy_tables import ENERGY_TABLES as ENERGY_TABLES
from threegen.cost.energy_tables import EnergyTable as EnergyTable
from threegen.gen3.parts import Cost as Cost
from threegen.gen3.parts import Use as Use
from threegen.report.comparing import Card as Card
from threegen.report.comparing import compare as compare

__all__ = [
    "Bill",
    "Card",
    "Cost",
    "ENERGY_TABLES",
    "EnergyTable",
    "OPERATIONS",
    "Row",
    "Use",
    "compare",
    "count",
]
