"""Decays and thresholds: one number for a layer, or one for each neuron or channel, fixed or learned.

    decay = sigmoid(leak)           learned, stays within 0..1 (Fang et al., ICCV 2021, where it is one per layer)
    threshold = exp(log_threshold)  learned, stays above 0

Leaks and thresholds learned together: Rathi and Roy, "DIET-SNN: a low-latency spiking neural network with direct input
encoding and leakage and threshold optimization", IEEE Transactions on Neural Networks and Learning Systems 34 (2023).
Neurons that differ: Perez-Nieves, Leung, Dragotti and Goodman, "Neural heterogeneity promotes robust learning", Nature
Communications 12:5791 (2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from threegen.checks import require_number
from threegen.errors import ConfigError, ShapeError

DECAY = 0.5
Values = float | Sequence[float] | Tensor  # one number, or one for each neuron


def is_several(value: Any) -> bool:
    """Return whether a setting is a tensor, an array or a list: values for single neurons."""
    return isinstance(value, Tensor | Sequence | np.ndarray)


def values_of(name: str, value: Any, **bounds: float) -> tuple[float, Tensor | None]:
    """Return a number and None, or the mean of several values and the values; `bounds` are those of `require_number`.

    Raises `ConfigError` that names a value out of bounds.
    """
    if isinstance(value, str) or not is_several(value):
        return require_number(name, value, **bounds), None
    try:
        every = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach().clone()
    except (TypeError, ValueError, RuntimeError) as problem:
        raise ConfigError(f"{name} must be a number, or a tensor with one for each neuron, got {value!r}") from problem
    if every.numel() == 0:
        raise ConfigError(f"{name} must hold one number for each neuron, got none")
    for one in (float(every.min()), float(every.max())):
        require_number(f"each {name}", one, **bounds)
    return (float(every), None) if every.dim() == 0 else (float(every.mean()), every)


def decay_of(decay: Values | None, tau: Values | None, name: str = "decay") -> tuple[float, Tensor | None]:
    """Return the decay of a step from a decay or a time constant in steps, as `values_of` does.

    Raises `ConfigError` for both at once.
    """
    if tau is None:
        return values_of(name, DECAY if decay is None else decay, least=0.0, most=1.0)
    other = name.replace("decay", "tau")
    if decay is not None:
        raise ConfigError(
            f"give {name} or {other}, not both: {name} = exp(-1 / {other}), got {name}={decay!r} and {other}={tau!r}"
        )
    one, every = values_of(other, tau, above=0.0)
    if every is None:
        return math.exp(-1 / one), None
    every = torch.exp(-1 / every)
    return float(every.mean()), every


def as_parameters(free: Tensor | None, fixed: Tensor | None) -> tuple[nn.Parameter | None, nn.Parameter | None]:
    """Return the learned and the fixed parameter; vectors, so that weight decay does not apply to them."""
    learnt = None if free is None else nn.Parameter(free.flatten() if free.dim() else free)
    return learnt, None if fixed is None else nn.Parameter(fixed.flatten(), requires_grad=False)


def logits(name: str, one: float, every: Tensor | None) -> Tensor:
    """Return the logits of the decays; raises `ConfigError` for 0 and 1, whose gradient is 0."""
    for start in (one,) if every is None else (float(every.min()), float(every.max())):
        require_number(f"{name} to start learning from", start, above=0.0, below=1.0)
    return torch.tensor(math.log(one / (1 - one))) if every is None else torch.logit(every)


def require_fit(name: str, values: Tensor | None, currents: Tensor) -> None:
    """Raise `ShapeError` if values per neuron do not fit input [T, B, ...]."""
    if values is None or values.dim() == 0:
        return
    layer = tuple(currents.shape[2:])
    if not fits(tuple(values.shape), layer):
        raise ShapeError(f"{name} holds values for neurons {list(values.shape)}, the input is for {list(layer)}")


def fits(own: tuple[int, ...], layer: tuple[int, ...]) -> bool:
    """Return whether values of shape `own` are one for each neuron, or channel, of a `layer` [N] or [C, H, W]."""
    try:
        return tuple(np.broadcast_shapes(own, layer)) == layer
    except ValueError:
        return False


def for_layer(options: dict[str, Any], per: str, layer: tuple[int, ...] | None) -> dict[str, Any]:
    """Return neuron options for a layer [N] or [C, H, W], with learned constants as one value per neuron or channel.

    Raises `ConfigError` if nothing is learned that `per` could apply to, or values are not those of the layer.
    """
    own = dict(options)
    learnt = [name for name in ("decay", "threshold", "synaptic_decay") if own.get(f"learnable_{name}")]
    if per != "layer" and not learnt:
        raise ConfigError(f'per="{per}" needs something to learn: learnable_decay=True or learnable_threshold=True')
    if layer is None:
        return own
    shape = layer if per == "neuron" else (layer[0], *(1 for _ in layer[1:]))
    for name in ("decay", "tau", "threshold", "synaptic_decay", "synaptic_tau"):
        value = own.get(name)
        if is_several(value):
            given = tuple(torch.as_tensor(value).shape)
            if not fits(given, layer):
                raise ConfigError(
                    f"{name} holds values for neurons {list(given)}, a layer of the net has {list(layer)}; give one "
                    "number, or set the neurons of each layer: net.neurons[0] = LIF(...)"
                )
    if per == "layer":
        return own
    for name in learnt:
        start, every = _start_of(own, name)
        values = torch.tensor(start) if every is None else every
        own[name] = values.broadcast_to(np.broadcast_shapes(tuple(values.shape), shape)).clone()
    return own


def _start_of(own: dict[str, Any], name: str) -> tuple[float, Tensor | None]:
    """Return the initial decay or threshold; a time constant is removed from the options."""
    if name == "threshold":
        return values_of(name, own.get(name, 0.5), above=0.0)
    return decay_of(own.get(name), own.pop(name.replace("decay", "tau"), None), name)
