"""The contract of rules and models, as checks that users can run on their own.

    check_rule(lambda: Backprop("mse"), lambda generator: MLP([4, 8, 2], generator=generator), batch)
    check_model(lambda generator: MLP([4, 8, 2], generator=generator), inputs)

Each runs all its checks and returns their names; if some fail, it raises one `ContractViolation` that describes each.
"""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
