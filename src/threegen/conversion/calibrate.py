"""Process a graph layer by layer on the calibration images and choose the scale of each layer.

Each layer is calibrated on the spikes of the layers before it, not on the activations that these represent, so that
errors do not accumulate unnoticed. Everything that is measured is in the layer's row of the report.

Shapes: T time steps, N images, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.conversion import scales
from threegen.conversion.build import Scale, spread
from threegen.conversion.currents import Signal, in_batches, spikes_of, summed_input
from threegen.conversion.graph import INPUT, LINEAR, MAX, Graph, Op
from threegen.conversion.grid import grid, refit
from threegen.gen3.graph_neurons import MaxGate

HALF = 0.5


@dataclass(frozen=True)
class Settings:
    """The settings of a conversion: the arguments of `convert`."""

    steps: int
    method: str
    refit: bool
    percentile: float
    per_channel: bool
    reset: str
    initial: str
    readout: str
    compensate: frozenset[str]
    factor: float

    @property
    def start(self) -> float:
        """The share of the threshold that potentials start from."""
        return HALF if self.initial == "half" else 0.0


@dataclass
class LayerReport:
    """The report of one layer.

    `threshold` is the mean over its channels in the network's own units; `correlation` that of its rates (times the
    value of a spike) with the activations; `clipped` the share of activations larger than the maximal rate can
    represent; `uneven` the share of neurons whose number of spikes differs from that for a constant input of the same
    mean; `silent` the share of channels that never fire on the calibration images; `rate` spikes per neuron and step.
    """

    name: str
    kind: str
    threshold: float
    correlation: float
    clipped: float
    uneven: float
    silent: float
    rate: float
    refitted: bool = False
    loses: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass
class Calibration:
    """The two graphs: `ann`, which is not changed, and `snn`, whose weights may be refitted."""

    ann: Graph
    snn: Graph
    settings: Settings
    given: Signal  # the encoded input
    x: Tensor
    scales: dict[int, Scale] = field(default_factory=dict)
    rows: list[LayerReport] = field(default_factory=list)
    values: dict[int, Tensor] = field(default_factory=dict)  # activations of the sources still needed, [N, ...]
    signals: dict[int, Signal] = field(default_factory=dict)

    def run(self) -> None:
        """Calibrate every layer, and the output."""
        first = next(op.number for op in self.ann.ops.values() if op.kind == INPUT)
        self.values[first], self.signals[first] = self.x, self.given
        order = [*self.ann.rectifiers()]
        for place, op in enumerate(order):
            with torch.no_grad():
                self._pooled(op) if op.kind == MAX else self._layer(op)
            needed = {one for later in order[place + 1 :] for one in self.ann.sources(later.takes[0])}
            needed |= set(self.ann.sources(self.ann.output))
            for done in [one for one in self.values if one not in needed]:
                del self.values[done], self.signals[done]
        with torch.no_grad():
            self._output()

    # -- layers --------------------------------------------------------------------------------------------------------
    def _layer(self, op: Op) -> None:
        (before,) = op.takes
        own = self.settings
        z = self._wanted(before)
        y = op.rectify(z)
        fitted = own.refit and refit(self.snn, before, self.signals, z, rectified=True)
        currents = self._arriving(before)
        if "bias" in own.compensate:
            currents = currents + self._shift_bias(before, z, currents)
        scale = self._scale(op, before, y, currents)
        spikes = spikes_of(currents, scale, own.steps, own.reset, op.rate)
        if "potential" in own.compensate:
            scale = self._shift_start(scale, y, spikes)
            spikes = spikes_of(currents, scale, own.steps, own.reset, op.rate)
        self.scales[op.number] = scale
        self.values[op.number] = y
        self.signals[op.number] = Signal(spikes, spread(scale.amplitude, op.shape))
        self.rows.append(_row(op, scale, y, currents, self.signals[op.number], own, fitted))

    def _scale(self, op: Op, before: int, y: Tensor, currents: Tensor) -> Scale:
        own = self.settings
        if op.rate is not None:  # the neurons that it was trained for
            one = torch.ones(op.channels)
            return Scale(one, one * op.rate.worth * own.factor, one * own.start)
        if op.levels is not None and op.ceiling is not None:  # trained for it: the ceiling is the threshold
            threshold = op.ceiling.reshape(-1).expand(op.channels).clone()
            return scales.scale_of(threshold, own.start, own.factor)
        if own.method == "grid":
            return grid(y, currents, self._pool_behind(op), own.steps, own.reset)
        if own.method == "model":
            largest = {one: self._largest(one) for one in self.ann.sources(before)}
            found = scales.by_model(self.ann, before, largest).amax().expand(op.channels).clone()
        else:
            method = "least-squares" if "threshold" in own.compensate else own.method
            found = scales.from_activations(
                method, y, currents, share=own.percentile, per_channel=own.per_channel, steps=own.steps
            )
        threshold, silent = scales.usable(found)
        if bool(silent.all()):
            threshold = torch.ones_like(threshold)
        return scales.scale_of(threshold, own.start, own.factor)

    def _largest(self, source: int) -> Tensor:
        op = self.ann.ops[source]
        if op.kind == INPUT:
            return self.x.amax(0).clamp(min=1.0)
        if op.kind == MAX:
            return op.run([self._largest(op.takes[0])[None]])[0]
        own = self.scales[source]
        most = own.threshold if op.rate is None else own.amplitude / max(op.rate.times.refractory, 1.0)
        return spread(most, op.shape)

    def _pool_behind(self, op: Op) -> Op | None:
        users = self.ann.users(op.number)
        return users[0] if len(users) == 1 and users[0].kind in ("sum-pool", "sum-over", "average") else None

    def _pooled(self, op: Op) -> None:
        (before,) = op.takes
        source = self.signals[before]
        gate = MaxGate(op.options["kernel"], op.options["stride"], op.options["padding"], op.options["ceil"])

        def gated(start: int, stop: int) -> Tensor:
            pooled: Tensor = gate(source.values[:, start:stop].float())[0]
            return pooled.to(torch.uint8).transpose(0, 1)

        spikes = in_batches(len(self.x), gated).transpose(0, 1)
        y = op.run([self.values[before]])
        self.values[op.number] = y
        self.signals[op.number] = Signal(spikes, op.run([source.amplitude[None]])[0])
        threshold = self.signals[op.number].amplitude.reshape(op.channels, -1)[:, 0]
        scale = Scale(threshold, threshold, torch.zeros_like(threshold))
        self.rows.append(_row(op, scale, y, None, self.signals[op.number], self.settings, False))

    def _output(self) -> None:
        own, end = self.settings, self.ann.output
        z = self._wanted(end)
        if own.refit:
            refit(self.snn, end, self.signals, z, rectified=False)
        if "bias" in own.compensate:
            self._shift_bias(end, z, self._arriving(end))
        if own.readout == "rate":
            top = scales.percentiles(z.amax(1, keepdim=True), own.percentile, per_channel=False)
            threshold, _ = scales.usable(top.expand(z.shape[1]).clone())
            self.scales[end] = scales.scale_of(threshold, own.start, 1.0)

    # -- actual and target inputs --------------------------------------------------------------------------------------
    def _wanted(self, number: int) -> Tensor:
        """Return the network's own values at operation `number`, [N, ...]."""
        sources = self.ann.sources(number)
        return in_batches(
            len(self.x),
            lambda start, stop: self.ann.evaluate(number, {one: self.values[one][start:stop] for one in sources}),
        )

    def _arriving(self, number: int) -> Tensor:
        return summed_input(self.snn, number, self.signals, len(self.x), self.settings.steps)

    def _shift_bias(self, number: int, z: Tensor, currents: Tensor) -> Tensor:
        """Move the bias by the mean error of the summed input of each channel; return the change, [C, 1, ...]."""
        places = [0, *range(2, z.dim())]
        error = z.mean(places, dtype=torch.float64) - currents.mean(0).mean(places, dtype=torch.float64)
        move = error.to(z.dtype).view(-1, *[1] * (z.dim() - 2))
        _add_bias(self.snn, number, move)
        return move

    def _shift_start(self, scale: Scale, y: Tensor, spikes: Tensor) -> Scale:
        """Change the initial potentials so that each channel's mean number of spikes fits its activations."""
        places = [0, *range(2, y.dim())]
        wanted = (y / spread(scale.amplitude, tuple(y.shape[1:]))).clamp(max=1.0).mean(places, dtype=torch.float64)
        sent = spikes.sum(0, dtype=torch.float64).mean(places) / self.settings.steps
        move = ((wanted - sent) * self.settings.steps).to(y.dtype)
        return Scale(scale.threshold, scale.amplitude, (scale.start + move).clamp(-1.0, 0.99))


def _add_bias(graph: Graph, number: int, move: Tensor) -> None:
    """Add one number per channel to the result of operation `number`, in its weights or after them."""
    op = graph.ops[number]
    if op.kind in LINEAR:
        module = cast(Any, op.module)
        if module.bias is None:
            module.bias = nn.Parameter(torch.zeros(len(module.weight), dtype=module.weight.dtype))
            op.options["bias"] = True
        module.bias.add_(move.reshape(-1))
    elif op.kind == "shift":
        cast(Any, op.module).bias.add_(move)
    elif op.takes:
        _add_bias(graph, op.takes[0], move)


def _row(
    op: Op, scale: Scale, y: Tensor, currents: Tensor | None, signal: Signal, settings: Settings, fitted: bool
) -> LayerReport:
    """Return the row of a layer whose spikes are those of `signal`."""
    rates = signal.mean(0, len(y))
    ceiling = spread(scale.amplitude, op.shape)
    uneven = 0.0
    if currents is not None and len(currents) > 1:
        even = spikes_of(currents.mean(0, keepdim=True), scale, settings.steps, settings.reset, op.rate)
        uneven = float((even.sum(0) != signal.values.sum(0)).float().mean())
    dead = y.transpose(0, 1).reshape(y.shape[1], -1).amax(1) <= 0
    return LayerReport(
        name=op.name,
        kind="maximum pooling" if op.kind == MAX else "neurons" if op.rate is None else "leaky neurons",
        threshold=float(scale.threshold.mean()),
        correlation=_correlation(rates, y),
        clipped=float((y > ceiling * (1 + 0.5 / settings.steps)).float().mean()),
        uneven=uneven,
        silent=float(dead.float().mean()),
        rate=float(signal.values.float().mean()),
        refitted=fitted,
    )


def _correlation(one: Tensor, other: Tensor) -> float:
    """Return Pearson's correlation of all values; 1 if both are constant, 0 if only one is."""
    a, b = one.double() - one.double().mean(), other.double() - other.double().mean()
    norm = float(a.norm() * b.norm())
    if norm == 0.0:
        return 1.0 if float(a.norm() + b.norm()) == 0.0 else 0.0
    return float((a * b).sum()) / norm


__all__ = ["Calibration", "LayerReport", "Mapping", "Settings"]
