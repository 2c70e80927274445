"""How the layers of a spiking net are applied to all time steps: synapses, which keep no state, and neurons, which do.

Shapes: T time steps, B examples.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.gen3.fast_way import is_watched
from threegen.machine.torch_private import AnyDropout


def fire(neuron: nn.Module, currents: Tensor, state: Any, trace: list[Tensor] | None = None) -> tuple[Tensor, Any]:
    """Run a layer of neurons on `currents` [T, B, ...]; return spikes and the state after the last step.

    A user's own neurons need not take a `trace`: their potentials are then recorded as unknown (NaN).
    """
    if trace is None:
        spikes, after = neuron(currents, state)
    elif "trace" in inspect.signature(neuron.forward).parameters:
        spikes, after = neuron(currents, state, trace=trace)
    else:
        spikes, after = neuron(currents, state)
        trace.append(torch.full_like(spikes, torch.nan))
    return spikes, after


def at_every_step(synapse: nn.Module, spikes: Tensor) -> Tensor:
    """Return the output of `synapse` for the spikes [T, B, ...] of every step, [T, B, ...].

    It gets all steps as one batch, [T * B, ...]; a module with `time_first = True` gets [T, B, ...]. If all steps are
    equal it is called once, unless its output may differ between calls: dropout, or a user's own module.
    """
    if type(synapse) is nn.Sequential and not is_watched(synapse):
        for part in synapse:
            spikes = at_every_step(part, spikes)
        return spikes
    if getattr(synapse, "time_first", False):
        return cast(Tensor, synapse(spikes))
    if len(spikes) > 1 and spikes.stride(0) == 0 and _answers_alike(synapse):
        once: Tensor = synapse(spikes[0])
        return once.expand(len(spikes), *once.shape)
    if isinstance(synapse, nn.Linear):
        return cast(Tensor, synapse(spikes))
    merged: Tensor = synapse(spikes.flatten(0, 1))
    return merged.reshape(*spikes.shape[:2], *merged.shape[1:])


def _answers_alike(synapse: nn.Module) -> bool:
    """Return whether a module is deterministic: torch's and this package's are, except dropout."""
    for module in synapse.modules():
        random = isinstance(module, AnyDropout) and module.training
        if random or type(module).__module__.partition(".")[0] not in ("torch", "threegen"):
            return False
    return True


def weights_of(synapse: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of a linear or convolutional layer."""
    known = cast(nn.Linear, synapse)
    return known.weight, known.bias
