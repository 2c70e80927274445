"""Initial values of weights, by the usual names. Biases start at zero.

| name             | weights are drawn from           | source                                         |
|------------------|----------------------------------|------------------------------------------------|
| `zeros`          | 0                                | the perceptron's start; hidden units stay equal |
| a number s       | N(0, s^2)                        | many early papers                              |
| `xavier`         | N(0, 1 / in)                     | LeCun et al. 1998, as textbooks give it        |
| `glorot`         | N(0, 2 / (in + out))             | Glorot and Bengio 2010, eq. 12                 |
| `glorot-uniform` | U(-a, a), a^2 = 6 / (in + out)   | Glorot and Bengio 2010, eq. 16; Keras's default |
| `he`             | N(0, 2 / in)                     | He et al. 2015, eq. 10, for relu units         |

`in` and `out` count the connections into and out of one unit; a convolution's kernel multiplies both.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from threegen.checks import require_choice, require_number

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)
INITIAL_VALUES = ("zeros", "xavier", "glorot", "glorot-uniform", "he")


def require_init(init: str | float) -> str | float:
    """Return `init` if it is a name of the table above or a standard deviation; else raise `ConfigError`."""
    if isinstance(init, int | float):
        return require_number("init (a standard deviation)", init, least=0.0)
    return require_choice("init", init, INITIAL_VALUES)


@torch.no_grad()
def fill_weight(weight: Tensor, init: str | float, generator: torch.Generator | None = None) -> Tensor:
    """Draw `weight` `[out, in]` or `[out, in, ...kernel]` in place by the named scheme and return it.

    The draw depends only on the generator and the shape; None draws from torch's generator. Raises `ConfigError` for an
    unknown name or a negative standard deviation.
    """
    require_init(init)
    kernel = math.prod(weight.shape[2:])
    fan_in, fan_out = weight.shape[1] * kernel, weight.shape[0] * kernel
    if init == "zeros":
        return weight.zero_()
    if init == "glorot-uniform":
        bound = math.sqrt(6.0 / (fan_in + fan_out))
        return weight.uniform_(-bound, bound, generator=generator)
    deviations = {
        "xavier": math.sqrt(1.0 / fan_in),
        "glorot": math.sqrt(2.0 / (fan_in + fan_out)),
        "he": math.sqrt(2.0 / fan_in),
    }
    deviation = deviations[init] if isinstance(init, str) else float(init)
    return weight.normal_(0.0, deviation, generator=generator)


def linear(inputs: int, outputs: int, init: str | float, generator: torch.Generator | None = None) -> nn.Linear:
    """Return `nn.Linear(inputs, outputs)` with weights by `init` and zero biases.

    torch's own initialisation is skipped, so that only `generator` is used.
    """
    layer: nn.Linear = skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    return _started(layer, init, generator)


def convolution(
    planes_in: int,
    planes_out: int,
    kernel: int,
    init: str | float,
    generator: torch.Generator | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
) -> nn.Conv2d:
    """Return `nn.Conv2d(planes_in, planes_out, kernel)` with weights by `init` and zero biases."""
    sizes = {"stride": stride, "padding": padding}
    layer: nn.Conv2d = skip_init(nn.Conv2d, planes_in, planes_out, kernel, **sizes)  # type: ignore[no-untyped-call]
    return _started(layer, init, generator)


def _started(layer: Layer, init: str | float, generator: torch.Generator | None) -> Layer:
    fill_weight(layer.weight, init, generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
