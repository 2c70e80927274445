"""A spiking net from any modules: what stands between two layers of neurons is applied at every step.

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + f_l(o_{l-1}[t])        f_l: the modules in front of the neurons of l

Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12:331 (2018), with f_l any function that keeps no state.

Shapes: T time steps, B examples; f_l gets all steps as one batch, [T * B, ...].
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from threegen.checks import require_images, require_sizes
from threegen.errors import ConfigError
from threegen.gen3.encoders import Encoder
from threegen.gen3.networks import SpikingNet, require_spatial
from threegen.gen3.neurons import LIF


class SpikingSequential(SpikingNet):
    """A spiking net of any modules and neurons in turn, the last one being neurons:

        SpikingSequential([nn.Conv2d(1, 8, 3), LIF(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1352, 10), LIF()],
                          shape=(1, 28, 28))

    `layers` are modules of [B, ...] (convolutions, any pooling, batch normalisation, dropout, your own) and `LIF`s.
    `shape` is that of one input. The other options are those of `SpikingMLP`; weights are as the modules come. The net
    runs plainly: its modules may be anything. Raises `ConfigError`.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        *,
        shape: Sequence[int],
        steps: int = 10,
        encoder: Encoder | str | None = None,
        readout: str = "rate",
        votes: int = 1,
        gradient: str = "space-time",
        backend: str = "auto",
    ) -> None:
        stages: list[tuple[nn.Module, LIF]] = []
        waiting: list[nn.Module] = []
        for number, module in enumerate(layers):
            if isinstance(module, LIF):
                stages.append((waiting[0] if len(waiting) == 1 else nn.Sequential(*waiting), module))
                waiting = []
            elif not isinstance(module, nn.Module) or any(isinstance(part, LIF) for part in module.modules()):
                raise ConfigError(
                    f"layers[{number}] must be LIF neurons or a module without neurons inside, "
                    f"got {type(module).__name__}"
                )
            else:
                waiting.append(module)
        if not stages or waiting:
            raise ConfigError(f"layers must end with neurons (LIF), got {[type(one).__name__ for one in layers]}")
        decay = stages[-1][1].constants.decay
        super().__init__(steps, encoder, readout, backend, gradient, votes=votes, decay=decay)
        self.shape = tuple(require_sizes("shape", shape, least_length=1))
        for synapse, neuron in stages:
            self.synapses.append(synapse)
            self.neurons.append(neuron)
        require_spatial(self)

    def pixels(self, x: Tensor) -> Tensor:
        """Return inputs [B, *shape] as they are. Raises `ShapeError`."""
        return require_images("SpikingSequential", x, self.shape, next(self.synapses.parameters(), None))

    def _obstacle(self, x: Tensor) -> str | None:
        return "its modules may be anything"

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"shape={self.shape}, steps={self.steps}"
