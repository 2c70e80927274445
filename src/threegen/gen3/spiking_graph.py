"""A spiking net of any wiring: layers of neurons, and before each of them a small graph of linear parts.

    u_l[t] = u_l[t-1] - o_l[t-1] + f_l(o_a[t], o_b[t], ...)        f_l: convolutions, sums, pooling of earlier layers

`tg.convert` converts an artificial network to such a net, which can be trained further, explained and counted like any
other spiking net. Between two layers of neurons all signals are spikes, 0 or 1, or spike counts; all scales are in the
weights.

Shapes: T time steps, B examples. Signal 0 is the encoded input, signal l + 1 the output of layer l.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_features, require_images, require_sizes
from threegen.errors import ConfigError
from threegen.functional.spiking.neurons import NeuronState
from threegen.gen3.fast_way import all_are_watched, is_watched
from threegen.gen3.graph_fast_way import Chain, Stage, answer, chain_of, modules_of, obstacle
from threegen.gen3.graph_neurons import MaxGate, StartedIF, StartedLIF, Sum
from threegen.gen3.networks import REPLACED, SpikingNet
from threegen.gen3.readouts import READOUTS
from threegen.gen3.steps import at_every_step
from threegen.gen3.trains import is_train
from threegen.gen3.wires import Add, Concatenate, build_wire

# Values of the encoded input, all steps together, that are answered at once where nothing is kept of them: what leaves
# the first layers is some ten times as much.
LARGEST_INPUT = 3_000_000
NEURONS = {"if": StartedIF, "lif": StartedLIF, "max": MaxGate, "sum": Sum}


@dataclass(frozen=True, slots=True)
class Wire:
    """One part before a layer: its `kind` and `options` (see `wires`), and the inputs that it `takes`.

    Its inputs are signals, 0 and above, and results of earlier wires of the same layer: -1 the first, -2 the second.
    """

    kind: str
    takes: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GraphLayer:
    """A layer: its name, the wires before it (the last one's result is its summed input), and its neurons.

    `neurons` is "if", "lif", "max" or "sum" (see `graph_neurons`), with their options. Without wires the layer takes
    the signal `takes` unchanged.
    """

    name: str
    neurons: str
    options: dict[str, Any] = field(default_factory=dict)
    wires: tuple[Wire, ...] = ()
    takes: int = 0

    @property
    def sources(self) -> set[int]:
        """The signals that the layer takes."""
        return {one for wire in self.wires for one in wire.takes if one >= 0} if self.wires else {self.takes}


class Wiring(nn.Module):
    """The wires before one layer of neurons, as a module: from signals by number to the summed input [T, B, ...]."""

    def __init__(self, layer: GraphLayer) -> None:
        super().__init__()
        self.takes = [one.takes for one in layer.wires]
        self.source = layer.takes
        self.parts = nn.ModuleList(build_wire(one.kind, one.options) for one in layer.wires)

    def forward(self, signals: Mapping[int, Tensor]) -> Tensor:
        """Return the summed input [T, B, ...] of the layer."""
        if not self.takes:
            return signals[self.source]
        made: list[Tensor] = []
        for takes, part in zip(self.takes, self.parts, strict=True):
            given = [signals[one] if one >= 0 else made[-1 - one] for one in takes]
            made.append(at_every_step(part, given[0]) if len(given) == 1 else _together(part, given))
        return made[-1]


class SpikingGraph(SpikingNet):
    """A spiking net built from a plan: `layers`, as `tg.convert` writes it, or their plain values (`plan`).

    `shape` is that of one input, `steps` is T, `encoder` and `readout` are those of `SpikingMLP` ("direct" and
    "potential" by default: analog input, and the summed input of the last layer). Weights are uninitialised until they
    are filled. Raises `ConfigError`.
    """

    def __init__(
        self,
        layers: Sequence[GraphLayer | Mapping[str, Any]],
        *,
        shape: Sequence[int],
        steps: int = 4,
        encoder: nn.Module | str | None = "direct",
        readout: str | nn.Module = "potential",
    ) -> None:
        super().__init__(steps, encoder, readout, "auto", "space-time")
        self.shape = tuple(require_sizes("shape", shape, least_length=1))
        self.layers = tuple(one if isinstance(one, GraphLayer) else _read(one) for one in layers)
        if not self.layers:
            raise ConfigError("a SpikingGraph needs at least one layer, got none")
        for number, layer in enumerate(self.layers):
            if any(source > number for source in layer.sources):
                raise ConfigError(f"layer {layer.name!r} takes a signal of a later layer: {sorted(layer.sources)}")
            self.synapses.append(Wiring(layer))
            self.neurons.append(NEURONS[require_choice("neurons", layer.neurons, NEURONS)](**layer.options))
        needed = [min(layer.sources) for layer in self.layers]
        self._chain: Chain | None = None
        self._kept = [min([*needed[number + 1 :], number + 1]) for number in range(len(needed))]

    @property
    def plan(self) -> dict[str, Any]:
        """The construction arguments of the net, as plain values for JSON: `SpikingGraph(**plan)` builds it again."""
        names = {"Direct": "direct", "Bernoulli": "bernoulli", "Poisson": "poisson", "Latency": "latency"}
        kinds = {"PotentialReadout": "potential", "RateReadout": "rate"}
        encoder, readout = type(self.encoder).__name__, type(self.readout).__name__
        if encoder not in names or readout not in kinds:
            raise ConfigError(
                f"a plan can only contain the package's own encoders and read-outs, got {encoder} and {readout}"
            )
        return {
            "layers": [asdict(one) for one in self.layers],
            "shape": list(self.shape),
            "steps": self.steps,
            "encoder": names[encoder],
            "readout": kinds[readout],
        }

    @property
    def one_input(self) -> tuple[int, ...]:
        """The shape of one input."""
        return self.shape

    def pixels(self, x: Tensor) -> Tensor:
        """Return inputs [B, *shape] unchanged (vectors: images of as many pixels too). Raises `ShapeError`."""
        if len(self.shape) == 1:
            return require_features("SpikingGraph", x, self.shape[0], self.any_weight)
        return require_images("SpikingGraph", x, self.shape, self.any_weight)

    def summed_input(self, layer: int, signals: Mapping[int, Tensor]) -> Tensor:
        """Return the summed input [T, B, ...] of the neurons of `layer`."""
        return cast(Tensor, self.synapses[layer](signals))

    def kept(self, layer: int) -> int:
        """Return the first signal that is still needed after `layer`."""
        return self._kept[layer]

    def input_major(self) -> list[Tensor]:
        """Return no weights: the plain version needs no other layout."""
        return []

    def _through_layers(
        self,
        inputs: Tensor,
        state: Sequence[Any] | None = None,
        notes: tuple[list[Tensor], list[Tensor], list[NeuronState]] | None = None,
    ) -> Tensor:
        through = super()._through_layers
        together = max(1, LARGEST_INPUT // max(len(inputs) * math.prod(self.shape), 1))
        keeps = state is not None or notes is not None or torch.is_grad_enabled()
        if keeps or inputs.shape[1] <= together or self._looked_at():
            return through(inputs, state, notes)
        return torch.cat([through(part) for part in torch.split(inputs, together, 1)])

    def _looked_at(self) -> bool:
        """Return whether somebody may look at what the parts of the net get and return."""
        modules = [self, *modules_of(self)]
        return (
            type(self.readout) not in READOUTS.values() or all_are_watched() or any(is_watched(one) for one in modules)
        )

    def _obstacle(self, x: Tensor) -> str | None:
        if is_train(x, self.one_input):
            return "frames have no kernel"
        self._chain = chain_of(self, self._chain)
        return obstacle(self, self._chain, x, REPLACED)

    def _forward_in_blocks(self, pixels: Tensor, generator: torch.Generator | None, *, given: bool = False) -> Tensor:
        return answer(self, cast(list[Stage], cast(Chain, self._chain).stages), pixels)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chain": None}  # the kernels' copies of the weights are created again

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"shape={list(self.shape)}, steps={self.steps}"


def _read(plain: Mapping[str, Any]) -> GraphLayer:
    """Return a layer from its plain values; raises `ConfigError`."""
    try:
        wires = tuple(
            Wire(str(one["kind"]), tuple(int(source) for source in one["takes"]), dict(one.get("options", {})))
            for one in plain.get("wires", ())
        )
        return GraphLayer(
            str(plain["name"]), str(plain["neurons"]), dict(plain.get("options", {})), wires, int(plain.get("takes", 0))
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ConfigError(f"a layer of a SpikingGraph needs name, neurons and wires, got {plain!r}") from problem


def _together(part: nn.Module, given: Sequence[Tensor]) -> Tensor:
    """Return the output of a part of several signals [T, B, ...] at every step; computed once if all steps are
    equal."""
    if all(one.stride(0) == 0 or len(one) == 1 for one in given):
        once: Tensor = part(*(one[0] for one in given))
        return once.expand(len(given[0]), *once.shape)
    if isinstance(part, Add):
        return cast(Tensor, part(*given))
    if isinstance(part, Concatenate):
        return torch.cat(list(given), part.axis + 1)
    merged: Tensor = part(*(one.flatten(0, 1) for one in given))
    return merged.reshape(*given[0].shape[:2], *merged.shape[1:])
