"""Exact potentials: weights rounded to whole units, so that sums do not depend on their order.

    w' = round(w / unit)      unit = 2^-bits, the smallest with which the sum of all inputs stays below 2^31

After learning, weights of order-based STDP are close to 0 and 1 and potentials close to whole numbers, as thresholds
are: in float32 the order of summation would decide which neuron fires. Sums of whole numbers below 2^31 are exact in
int32 and in float64, so that kernels, convolutions and all step sizes agree in every bit.

Shapes: F features, C input maps, k x k kernels.
"""

from __future__ import annotations

import math

from torch import Tensor

MOST_BITS = 24


def whole_bits(inputs: int, high: float = 1.0) -> int:
    """Return the number of fractional bits for sums of `inputs` weights up to `high`; at most 24.

    Example:
        >>> whole_bits(270)
        22
    """
    return min(MOST_BITS, math.floor(math.log2((2**31 - 1) / (inputs * max(high, 1.0)))))


def whole_weights(weight: Tensor, high: float = 1.0) -> tuple[Tensor, float]:
    """Return weights [F, C, k, k] in whole units, float64, and the unit."""
    bits = whole_bits(weight[0].numel(), high)
    return (weight.double() * 2.0**bits).round(), 2.0**-bits
