"""What every rule and every model promises, as checks that anyone can run on their own.

    check_rule(lambda: Backprop("mse"), lambda generator: MLP([4, 8, 2], generator=generator), batch)
    check_model(lambda generator: MLP([4, 8, 2], generator=generator), inputs)

Each runs all its checks and returns their names; where some fail it raises one `ContractViolation` that tells of
each.
"""

from threegen.testing.models import check_model
from threegen.testing.rules import check_rule
from threegen.testing.tools import ContractViolation, run_rule

__all__ = ["ContractViolation", "check_model", "check_rule", "run_rule"]
