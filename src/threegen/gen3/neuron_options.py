"""The options of a net's neurons: the kind, and one number for a layer, a channel or a neuron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import torch
from torch import Tensor

from threegen.checks import require_choice
from threegen.errors import ConfigError
from threegen.gen3.neurons import IF, LIF
from threegen.gen3.per_neuron import Values, for_layer
from threegen.gen3.synaptic import SynapticLIF

KINDS = ("lif", "if", "synaptic")


class NeuronOptions(TypedDict, total=False):
    """The neuron options that nets pass to every layer; see `LIF` and `SynapticLIF`, which have most of them.

    `neuron` is "lif" (the default), "if", the integrate-and-fire neuron without leak, or "synaptic", with a synaptic
    current. Learned constants are one number `per` "layer" (the default), "channel" or "neuron".
    """

    neuron: str
    per: str
    decay: Values | None
    threshold: Values
    reset: str
    surrogate: str | Callable[[Tensor, float], Tensor]
    surrogate_width: float
    detach_reset: bool
    tau: Values | None
    learnable_decay: bool
    learnable_threshold: bool
    synaptic_decay: Values | None
    synaptic_tau: Values | None
    learnable_synaptic_decay: bool
    rest: float
    reset_to: float
    kernel: Sequence[float]
    refractory: int
    adaptation: float
    adaptation_decay: float


def make_neurons(
    options: NeuronOptions,
    *,
    recurrent: int = 0,
    generator: torch.Generator | None = None,
    layer: tuple[int, ...] | None = None,
) -> LIF:
    """Return a layer of the neurons that `options` describe, for a `layer` [N] or [C, H, W]; raises `ConfigError`."""
    own: dict[str, Any] = dict(options)
    per = require_choice("per", own.pop("per", "layer"), ("layer", "channel", "neuron"))
    kind = require_choice("neuron", own.pop("neuron", "lif"), KINDS)
    if kind == "if":
        _refuse(own, ("decay", "tau", "learnable_decay", "rest"), 'neuron="if" has no leak', 'use neuron="lif"')
    if kind == "synaptic":
        if recurrent:
            raise ConfigError('neuron="synaptic" has no recurrent weights; use neuron="lif"')
        return SynapticLIF(**for_layer(own, per, layer))
    synaptic = ("synaptic_decay", "synaptic_tau", "learnable_synaptic_decay")
    _refuse(own, synaptic, f'neuron="{kind}" has no synaptic current', 'use neuron="synaptic"')
    return (IF if kind == "if" else LIF)(**for_layer(own, per, layer), recurrent=recurrent, generator=generator)


def _refuse(own: dict[str, Any], names: Sequence[str], why: str, instead: str) -> None:
    """Remove options that a neuron does not have; raise `ConfigError` if one of them is set."""
    taken = {name: own.pop(name, None) for name in names}
    odd = [name for name, value in taken.items() if isinstance(value, Tensor) or value not in (None, False, 0.0)]
    if odd:
        raise ConfigError(f"{why}, so no {' or '.join(odd)}; {instead}")
