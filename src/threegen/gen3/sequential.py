"""A spiking net from any modules: those between two layers of neurons are applied at every step.

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + f_l(o_{l-1}[t]) f_l: the modules before the neurons of l

Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12:331 (2018), with f_l any function without state.

Shapes: T time steps, B examples; f_l gets all steps as one batch, [T * B, ...].
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from threegen.checks import require_images, require_number, require_sizes
from threegen.errors import ConfigError
from threegen.gen3.networks import SpikingNet, require_spatial
from threegen.gen3.parts import is_neuron
from threegen.gen3.per_neuron import DECAY


class SpikingSequential(SpikingNet):
    """A spiking net of any modules and neurons in order; the last must be neurons:

        SpikingSequential([nn.Conv2d(1, 8, 3), LIF(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1352, 10), LIF()],
                          shape=(1, 28, 28))

    `layers` are modules of [B, ...] (convolutions, any pooling, batch normalisation, dropout, your own) and neurons:
    `LIF`s, or your own modules with `part = "neurons"`, (input [T, B, ...], state) -> (spikes [T, B, ...], state). A
    module with `time_first = True` gets [T, B, ...], such as `TimeDropout`.
    `shape` is that of one input. The other options are those of `SpikingMLP`; weights are those of the given modules.
    The net always runs the plain version, because it may contain any module. Raises `ConfigError`.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        *,
        shape: Sequence[int],
        steps: int = 10,
        encoder: nn.Module | str | None = None,
        readout: str | nn.Module = "rate",
        votes: int = 1,
        gradient: str = "space-time",
        backend: str = "auto",
    ) -> None:
        stages: list[tuple[nn.Module, nn.Module]] = []
        waiting: list[nn.Module] = []
        for number, module in enumerate(layers):
            if not isinstance(module, nn.Module):
                raise ConfigError(f"layers[{number}] must be a module, got {type(module).__name__}")
            if is_neuron(module):
                stages.append((waiting[0] if len(waiting) == 1 else nn.Sequential(*waiting), module))
                waiting = []
            elif (inside := _with_state(module)) is not None:
                raise ConfigError(
                    f"layers[{number}] must be LIF neurons or a module without neurons, got {type(module).__name__}: "
                    f'{type(inside).__name__} has a state; list it by itself, with part = "neurons" in its class'
                )
            else:
                waiting.append(module)
        if not stages or waiting:
            raise ConfigError(f"layers must end with neurons (LIF), got {[type(one).__name__ for one in layers]}")
        decay = getattr(getattr(stages[-1][1], "constants", None), "decay", DECAY)
        super().__init__(steps, encoder, readout, backend, gradient, votes=votes, decay=decay)
        self.shape = tuple(require_sizes("shape", shape, least_length=1))
        for synapse, neuron in stages:
            self.synapses.append(synapse)
            self.neurons.append(neuron)
        require_spatial(self)

    def pixels(self, x: Tensor) -> Tensor:
        """Return inputs [B, *shape] unchanged. Raises `ShapeError`."""
        return require_images("SpikingSequential", x, self.shape, next(self.synapses.parameters(), None))

    @property
    def one_input(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.shape

    def _obstacle(self, x: Tensor) -> str | None:
        return "its modules may be anything"

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"shape={self.shape}, steps={self.steps}"


def _with_state(module: nn.Module) -> nn.Module | None:
    """Return the first part of a module that is a layer of neurons or takes a state like one."""
    for part in module.modules():
        taken = inspect.signature(part.forward).parameters
        if is_neuron(part) or "state" in taken:
            return part
    return None


class TimeDropout(nn.Module):
    """Dropout with one mask for all time steps of an example: a neuron is silent at all steps or at none.

    `p` is the probability of being dropped; the remaining values are divided by 1 - p. Takes [T, B, ...]. `nn.Dropout`
    instead draws a new mask at every step, with every encoder. Raises `ConfigError`.
    """

    time_first = True

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = require_number("p", p, least=0.0, below=1.0)

    def forward(self, signals: Tensor) -> Tensor:
        """Return [T, B, ...] with the same neurons silent at every step; in eval mode unchanged."""
        if not self.training or self.p == 0.0:
            return signals
        return signals * nn.functional.dropout(torch.ones_like(signals[0]), self.p)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"p={self.p}"
