"""Spiking nets as NIR files, the neuromorphic intermediate representation (https://neuroir.org), an HDF5 file.

Layers become nodes, every node gets its shape, and what NIR cannot express (the time step, the number of steps,
encoder, read-out, surrogate) goes into the metadata. `nir_neurons` explains how the neurons are written. The file is
read back before it is saved, and both nets run on the same input: every spike must be the same.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.checks import require_number
from threegen.conversion.nir_file import DT, Node, require_nir
from threegen.conversion.nir_neurons import (
    constants_of,
    just_below,
    membrane_of,
    metadata_of,
    require_expressible,
    shifted,
    synapse_of,
)
from threegen.conversion.nir_parts import node_of
from threegen.conversion.nir_read import read_nir
from threegen.conversion.nir_stages import Add, Stage, stages_of
from threegen.errors import ConfigError, NumericError
from threegen.gen3.encoders import Bernoulli, Direct, Latency, Poisson
from threegen.gen3.graph_neurons import Sum
from threegen.gen3.networks import Record, SpikingNet
from threegen.gen3.neurons import LIF
from threegen.gen3.readouts import LeakyReadout, PotentialReadout, RateReadout, Readout
from threegen.randomness import make_generator
from threegen.training.persistence.files import make_folder, write_whole

ROUNDED = 0.999  # the required agreement if normalisation was folded into the weights, which rounds them again
EXAMPLES = 4
ENCODERS: dict[type[nn.Module], str] = {
    Bernoulli: "bernoulli",
    Poisson: "poisson",
    Latency: "latency",
    Direct: "direct",
}


@dataclass(frozen=True, slots=True)
class NirFile:
    """What `export_nir` wrote: the file, and how the net that is read from it compares.

    `agreement` is the share of spikes, sent or not, that are the same in all layers at all steps; `spikes` the number
    sent; `dt` the time step in seconds; `lost` sentences on what the file does not contain.
    """

    file: Path
    agreement: float
    spikes: int
    dt: float
    nodes: int
    lost: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "file": str(self.file), "lost": list(self.lost)}

    def __str__(self) -> str:
        said = f"{self.file}: NIR, {self.nodes} nodes, dt = {self.dt:g} s"
        share = "1.000" if self.agreement == 1.0 else f"{min(self.agreement, 0.999999):.6f}"
        said += f"; read back, spikes agree to {share} ({self.spikes:,} sent)"
        return "\n".join([said, *self.lost])


def export_nir(
    model: nn.Module,
    file: str | os.PathLike[str],
    *,
    inputs: Tensor | None = None,
    dt: float = DT,
    expand: bool = True,
) -> NirFile:
    """Write a spiking net as a NIR file, read it back, and return the share of spikes that agree: 1.000.

    Both nets run on `inputs` [B, ...], in the form that the net takes; None draws random ones. `dt` is the length of a
    time step in seconds, which converts decays to time constants; 1e-4 is that of snnTorch and SpikingJelly. NIR has no
    reset by subtraction: it is written as an integrator, a threshold and a feedback; `expand=False` raises an error
    instead. Batch normalisation is folded into weights.

    Raises `ConfigError` with the reason for what NIR cannot express, `NumericError` if the spikes differ (then nothing
    is written), `MissingExtraError` without `pip install "threegen[nir]"`.

        >>> import threegen as tg
        >>> net = tg.SpikingMLP([20, 30, 5], steps=6, generator=torch.Generator().manual_seed(0))
        >>> tg.export_nir(net, "/tmp/net.nir").agreement
        1.0
    """
    nir = require_nir("an NIR file")
    require_number("dt", dt, above=0.0)
    stages = stages_of(model)
    net = cast(SpikingNet, model)
    writer = _Writer(nir, net, dt, expand)
    graph = writer.graph(stages)
    buffer = io.BytesIO()
    nir.write(buffer, graph)
    content = buffer.getvalue()
    back = read_nir(io.BytesIO(content), str(file), dt=dt)
    agreement, spikes = compare(net, back, inputs)
    least = ROUNDED if any(stage.folded for stage in stages) else 1.0
    if agreement < least:
        raise NumericError(
            f"the net that was read back from {file} sends other spikes (they agree to {agreement:.6f}, at least "
            f"{least:g} is needed), so the file was not written"
        )
    path = Path(file)
    make_folder(path.parent)
    write_whole(path, content)
    return NirFile(path, agreement, spikes, dt, len(graph.nodes), tuple(writer.lost))


class _Writer:
    """The nodes and edges of one graph under construction; the result of a part is the sum of the named nodes."""

    def __init__(self, nir: Any, net: SpikingNet, dt: float, expand: bool) -> None:
        self.nir, self.net, self.dt, self.expand = nir, net, dt, expand
        weight = next((one for one in net.parameters() if one.is_floating_point()), None)
        self.kind: Any = np.float64 if weight is not None and weight.dtype == torch.float64 else np.float32
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.made: dict[tuple[int, tuple[str, ...]], str] = {}
        self.lost: list[str] = []

    def graph(self, stages: list[Stage]) -> Any:
        """Return the graph of a net."""
        shape = tuple(self.net.one_input)
        self._add("input", self.nir.Input(np.array(shape)), (), shape)
        signals: dict[int, tuple[str, ...]] = {0: ("input",)}
        for number, stage in enumerate(stages):
            last = number == len(stages) - 1
            signals[number + 1] = (self._stage(number, stage, signals, last),)
        (end,) = signals[len(stages)]
        self._add("output", self.nir.Output(np.array(self.shapes[end])), (end,), self.shapes[end])
        if any(stage.folded for stage in stages):
            self.lost.append(
                "normalisation and groups of convolutions were folded into the weights, which rounds them again"
            )
        try:
            return self.nir.NIRGraph(self.nodes, self.edges, metadata=self._facts())
        except ValueError as problem:
            raise ConfigError(f"nir does not take the graph of {type(self.net).__name__}: {problem}") from problem

    def _stage(self, number: int, stage: Stage, signals: Mapping[int, tuple[str, ...]], last: bool) -> str:
        values = dict(signals)
        end = values[stage.takes]
        for place, part in enumerate(stage.parts):
            takes = tuple(name for one in part.takes for name in values[one])
            if isinstance(part.module, Add):
                end = takes
                if len(set(takes)) < len(takes):
                    raise ConfigError("a signal is added to itself, but NIR allows only one edge between two nodes")
            else:
                end = (self._part(number, part.module, takes),)
            values[-1 - place] = end
        return self._readout(number, stage, end) if last else self._neurons(number, stage.neuron, end)

    def _part(self, number: int, module: nn.Module, takes: tuple[str, ...]) -> str:
        """Write a module without state, or find its node if it was already written for another layer."""
        key = (id(module), takes)
        if key not in self.made:
            before = self.shapes[takes[0]]
            with torch.no_grad():
                after = tuple(module.to("cpu")(torch.zeros(1, *before, dtype=self.net.any_weight.dtype)).shape[1:])
            kind, node = node_of(self.nir, module, before, after, self.kind)
            self.made[key] = self._add(f"{kind}_{number}", node, takes, after)
        return self.made[key]

    def _add(self, name: str, node: Node, takes: tuple[str, ...], shape: tuple[int, ...]) -> str:
        """Add a node after those whose results it takes; return its unique name."""
        free = name
        while free in self.nodes:
            base, _, tail = free.rpartition("-")
            free = f"{base}-{int(tail) + 1}" if base else f"{name}-2"
        self.nodes[free], self.shapes[free] = node, shape
        self.edges += [(one, free) for one in takes]
        return free

    def _full(self, shape: tuple[int, ...], values: Mapping[str, Any]) -> dict[str, Any]:
        """Return constants as arrays of the layer's shape, as NIR requires."""
        return {name: np.array(np.broadcast_to(one, shape), self.kind) for name, one in values.items()}

    def _neurons(self, number: int, module: nn.Module, takes: tuple[str, ...]) -> str:
        """Write a layer of neurons; return the node that sends its spikes."""
        place = f"neurons {number}"
        neuron, shape = require_expressible(module, place), self.shapes[takes[0]]
        own = shifted(constants_of(neuron), shape)
        if not isinstance(neuron.constants.surrogate, str):
            self.lost.append(f"{place}: the surrogate gradient is your own function, which a file cannot store")
        if own.reset == "soft":
            begin = end = self._subtracting(number, neuron, takes, shape)
            begin = begin.replace("spikes", "potential")
        else:
            kind, values = membrane_of(own, self.dt)
            name = {"LI": "LIF", "I": "IF"}[kind]
            if own.synaptic_decay is not None:
                name = "CubaLIF"
                values = {"tau_mem" if one == "tau" else one: value for one, value in values.items()}
                values |= synapse_of(own, self.dt)
            values |= {"v_threshold": just_below(own.threshold, self.kind), "v_reset": own.reset_to}
            node = getattr(self.nir, name)(**self._full(shape, values), metadata=metadata_of(neuron))
            begin = end = self._add(f"{name.lower()}_{number}", node, takes, shape)
        if neuron.recurrent_weight is not None:
            weight = neuron.recurrent_weight.detach().cpu().numpy().astype(self.kind)
            back = self._add(f"recurrent_{number}", self.nir.Linear(weight=weight), (end,), shape)
            self.edges.append((back, begin))
        return end

    def _subtracting(self, number: int, neuron: LIF, takes: tuple[str, ...], shape: tuple[int, ...]) -> str:
        """Write neurons whose reset subtracts the threshold; return the node that sends their spikes."""
        if not self.expand:
            raise ConfigError(
                f"neurons {number}: NIR only has a reset to a value, these neurons subtract the threshold; "
                "expand=True writes them as an integrator, a threshold and a feedback"
            )
        own = shifted(constants_of(neuron), shape)
        kind, values = membrane_of(own, self.dt)
        metadata = metadata_of(neuron)
        node = getattr(self.nir, kind)(**self._full(shape, values), metadata=metadata)
        membrane = self._add(f"potential_{number}", node, takes, shape)
        level = self._full(shape, {"threshold": just_below(own.threshold, self.kind)})
        spikes = self._add(f"spikes_{number}", self.nir.Threshold(**level), (membrane,), shape)
        amount = self._full(shape, {"scale": -own.decay * (own.threshold - own.reset_to)})
        back = self._add(f"reset_{number}", self.nir.Scale(**amount), (spikes,), shape)
        self.edges.append((back, membrane))
        return spikes

    def _readout(self, number: int, stage: Stage, takes: tuple[str, ...]) -> str:
        """Write the last layer: its neurons, or an integrator if the summed input is read out."""
        readout = self.net.readout
        if type(readout) not in (PotentialReadout, LeakyReadout):
            if type(readout) is not RateReadout:
                self.lost.append(f"the read-out {type(readout).__name__} is your own; the file ends with the spikes")
            return self._neurons(number, stage.neuron, takes)
        decay = np.asarray(readout.decay if isinstance(readout, LeakyReadout) else 1.0)
        shape = self.shapes[takes[0]]
        summed = isinstance(stage.neuron, Sum)
        metadata = {} if summed else metadata_of(require_expressible(stage.neuron, f"neurons {number}"))
        kind = "LI" if decay < 1.0 else "I"
        values = (
            {"tau": self.dt / (1 - decay), "r": 1 / (1 - decay), "v_leak": 0.0} if decay < 1.0 else {"r": 1 / self.dt}
        )
        node = getattr(self.nir, kind)(**self._full(shape, values), metadata=metadata)
        return self._add(f"readout_{number}", node, takes, shape)

    def _facts(self) -> dict[str, Any]:
        """Return what NIR cannot express, as metadata of the graph."""
        facts: dict[str, Any] = {"producer": "threegen", "dt": self.dt, "steps": self.net.steps}
        encoder, readout = self.net.encoder, self.net.readout
        if type(encoder) in ENCODERS:
            facts["encoder"] = ENCODERS[type(encoder)]
            if isinstance(encoder, Poisson):
                facts["encoder_rate"] = encoder.rate
        else:
            self.lost.append(f"the encoder {type(encoder).__name__} is your own; the file begins with its output")
        if isinstance(readout, Readout):
            facts["votes"] = readout.votes
        if isinstance(readout, LeakyReadout):
            facts["readout_decay"] = readout.decay
        return facts


def compare(one: SpikingNet, other: SpikingNet, inputs: Tensor | None = None) -> tuple[float, int]:
    """Return the share of spikes that are the same in two nets on the same encoded input, and the number that `one`
    sent."""
    weight = one.any_weight
    generator = make_generator("nir")
    if inputs is None:
        drawn = torch.rand(EXAMPLES, *one.one_input, generator=generator)
        inputs = drawn.to(weight)
        if not isinstance(one.encoder, Direct):
            inputs = (torch.rand(EXAMPLES, one.steps, *one.one_input, generator=generator) < drawn[:, None]).to(weight)
    modes = [(module, module.training) for module in one.modules()]
    try:
        one.eval()
        with torch.no_grad():
            encoded = one.encode(inputs, generator)
            ours, theirs = (spikes_of(net, encoded) for net in (one, other.to(weight.device)))
    finally:
        for module, mode in modes:
            module.training = mode
    same = sum(int((a == b).sum()) for a, b in zip(ours.spikes, theirs.spikes, strict=True))
    every = sum(spikes.numel() for spikes in ours.spikes)
    return same / max(every, 1), int(sum(spikes.sum() for spikes in ours.spikes))


def spikes_of(net: SpikingNet, encoded: Tensor) -> Record:
    """Return the record of a net on already encoded input, [T, B, ...]."""
    fired: list[Tensor] = []
    potentials: list[Tensor] = []
    states: list[Any] = []
    encoded = encoded.reshape(*encoded.shape[:2], *net.one_input)
    scores = net._through_layers(encoded, None, (fired, potentials, states))
    return Record(encoded, fired, potentials, scores, states)
