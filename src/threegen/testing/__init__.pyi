# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.testing.models import check_model as check_model
from threegen.testing.rules import check_rule as check_rule
from threegen.testing.tools import ContractViolation as ContractViolation
from threegen.testing.tools import run_rule as run_rule

__all__ = [
    "ContractViolation",
    "check_model",
    "check_rule",
    "run_rule",
]
