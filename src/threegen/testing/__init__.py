"""What every rule and every model promises, as checks that anyone can run on their own.

    check_rule(lambda: Backprop("mse"), lambda generator: MLP([4, 8, 2], generator=generator), batch)
    check_model(lambda generator: MLP([4, 8, 2], generator=generator), inputs)

Each runs all its checks and returns their names; where some fail it raises one `ContractViolation` that tells of
each.
"""

from threegen.names import open_namespace

__all__ = open_namespace(__name__)
