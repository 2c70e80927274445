"""The parts that LeNet 1989 and LeNet-5 share: the squashing function, fan-in initial values, biases of single units,
and when compiled kernels may replace their layers.

    f(a) = A tanh(S a),   A = 1.7159,  S = 2/3          f(1) = 1, f(-1) = -1, and |f''| is largest there

LeCun et al., Proceedings of the IEEE 86 (1998) 2278-2324, section II.B and appendix A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threegen.machine.torch_private import has_hooks, have_all_hooks

AMPLITUDE, SLOPE = 1.7159, 2.0 / 3.0


class ScaledTanh(nn.Module):
    """The squashing function 1.7159 tanh(2/3 a), elementwise."""

    def forward(self, potentials: Tensor) -> Tensor:
        """Return the units' states, of the shape of `potentials`."""
        return torch.tanh(potentials * SLOPE) * AMPLITUDE


class UnitBias(nn.Module):
    """One bias for each unit of `planes` planes of `side` by `side`, where kernels are shared but biases are not."""

    def __init__(self, planes: int, side: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(planes, side, side))

    def forward(self, potentials: Tensor) -> Tensor:
        """Return `potentials` `[B, planes, side, side]` plus the biases."""
        return potentials + self.bias


class BuiltLayers:
    """The modules of a net as they were built, for compiled kernels that may replace them only while they are so."""

    def __init__(self, layers: nn.Module) -> None:
        self.parts = [(part, type(part)) for part in layers.modules()]

    def are_in(self, layers: nn.Module) -> bool:
        """Return whether `layers` still has these modules and nothing else happens when they are called: none has been
        exchanged or parametrised, and there are no hooks."""
        now = list(layers.modules())
        same = len(now) == len(self.parts) and all(
            part is known and type(part) is kind for part, (known, kind) in zip(now, self.parts, strict=True)
        )
        return same and not any(map(has_hooks, now)) and not have_all_hooks()


@torch.no_grad()
def fill_by_fan_in(weight: Tensor, fan_in: int, generator: torch.Generator | None) -> None:
    """Draw `weight` in place from U(-2.4 / F, 2.4 / F), F the inputs of one unit, as both papers do."""
    bound = 2.4 / fan_in
    weight.uniform_(-bound, bound, generator=generator)
