"""How the weights of a layer lie in memory, and when products with few entries pay; what needs no compiled kernel.

`nn.Linear.weight` [O, N] is the transposed view of a table [N, O] where a row is to be what one input sends out. Shapes
and values are the same either way.
"""

from __future__ import annotations

from torch import Tensor

from threegen.machine.processor import has_wide_vectors as has_wide_vectors  # asked for here too

FEWEST_ROWS, FEWEST_COLUMNS, FEWEST_OUTPUTS = 32, 64, 64  # with fewer, dense products are quicker
FEWEST_PRODUCTS = 1 << 22  # and with fewer in all, nothing is worth a kernel that has to be compiled once


def pays(rows: int, columns: int, outputs: int) -> bool:
    """Return whether a product `[rows, columns] [columns, outputs]` is quicker without what is 0, if most is."""
    large = rows >= FEWEST_ROWS and columns >= FEWEST_COLUMNS and outputs >= FEWEST_OUTPUTS
    return large and rows * columns * outputs >= FEWEST_PRODUCTS and has_wide_vectors()


def lay_out(weight: Tensor) -> Tensor:
    """Return a weight [O, N] with the same values whose memory lies as [N, O]."""
    return weight.t().contiguous().t()


def lies_by_inputs(weight: Tensor) -> bool:
    """Return whether a weight [O, N] lies as [N, O] in memory."""
    return weight.stride() == (1, weight.shape[0])  # asked for several times a step: one call, no view
