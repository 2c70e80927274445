"""Counts what one answer of a model costs, from the calls that the model really makes.

    ANN     memory = M_w + M_a            compute = C_mul + C_add
    SNN     memory = M_w + M_p + M_s      compute = C_add, one addition a spike and connection

after Deng et al., "Rethinking the performance comparison between SNNs and ANNs", Neural Networks 121:294 (2020),
whose formulas are not public in full: `bill.RULE` says how we count. Every torch function that the model calls is
seen, in a module or not; hooks tell which layer is at work. Nothing of the model is changed: the modes, the generators
and the hooks are put back, after an exception too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from threegen.checks import require_whole
from threegen.cost.bill import OPERATIONS, Bill, Row
from threegen.cost.operations import Call, Work, nonzero
from threegen.cost.prices import FREE, MOVES, PRICES
from threegen.cost.spiking import competition_price, encoder_price, joint_price, neuron_price, norm_price, readout_price
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.encoders import Bernoulli, Direct, Encoder, Latency, Poisson
from threegen.gen3.neurons import LIF
from threegen.gen3.normalisation import NeuNorm
from threegen.gen3.readouts import RateReadout, Readout
from threegen.gen3.shortcuts import Join
from threegen.randomness import make_generator
from threegen.tracing.batch_axis import find_axes
from threegen.tracing.inputs import (
    Inputs,
    answered,
    on_device_of,
    parts_of,
    require_inputs,
    samples_in,
    tensors_of,
)
from threegen.tracing.untouched import untouched
from threegen.tracing.walk import Visit, Walker, tensors_in

# Billed as a whole, not by the functions inside.
_OPAQUE = (LIF, Bernoulli, Poisson, Latency, Readout, NeuNorm, Join, DiehlCook)


def count(
    model: nn.Module,
    x: Inputs,
    *,
    generator: torch.Generator | None = None,
    batch_size: int = 250,
    time: int | None = None,
) -> Bill:
    """Return the `Bill` of one answer of `model`, the mean over the samples `x` [N, ...].

    `x` is a tensor, a tuple of tensors for a model of several inputs, or a dictionary of them; whole numbers are taken
    too (the indices of an embedding). The model runs in eval mode on batches of `batch_size`. A model on the device
    "meta" is counted by shapes alone. `generator` draws the spikes of encoders; None takes one of a fixed seed, so that
    the same model and data give the same bill. `time` is the axis of time of [T, B, ...] or [B, T, ...]; None finds it
    out where the model has layers that know. Raises `DataError` for no samples, `ShapeError` for what the model cannot
    take, `ConfigError` for another number of inputs or an axis of time that cannot be known, and what the model raises.
    """
    require_inputs("count", model, x)
    require_whole("batch_size", batch_size)
    x = on_device_of(model, x)
    samples_in("count", x)
    axis = find_axes(model, x, time).batch
    chosen = make_generator("count") if generator is None else generator
    ledger = Ledger(model, axis)
    with untouched(model), torch.no_grad(), ledger.watching():
        for batch in parts_of(x, batch_size, axis):
            ledger.begin(batch)
            answered("count", model, batch, chosen)
    return ledger.bill()


@dataclass(slots=True)
class _Entry:
    """A row in the making: totals over all batches."""

    name: str
    kind: str
    fed_by: str
    path: str = ""
    weights: list[str] = field(default_factory=list)  # the parameters that no earlier row works with
    output: tuple[int, ...] = ()
    element: int = 4
    operations: dict[str, int] = field(default_factory=dict)
    stored: bool = False
    neuron: bool = False
    states: int = 1  # values that each neuron keeps
    bias: bool = True
    per_step: list[Tensor] = field(default_factory=list)  # spikes [t, B] of this batch
    emitted: int | None = None

    def add(self, operations: Mapping[str, int]) -> None:
        for kind, amount in operations.items():
            self.operations[kind] = self.operations.get(kind, 0) + amount


class Ledger(Walker):
    """Walks the model and keeps the rows."""

    def __init__(self, model: nn.Module, axis: int = 0) -> None:
        super().__init__(model, lambda module: isinstance(module, _OPAQUE))
        self.axis = axis  # of the samples
        self.parameters = dict(model.named_parameters())
        self.listed: set[str] = set()  # parameters and buffers that a row works with
        self.entries: dict[tuple[str, int], _Entry] = {}
        self.signals: Any = WeakIdKeyDictionary()  # of every tensor that depends on the input
        self.makers: Any = WeakIdKeyDictionary()  # tensor -> the entry whose output it is
        self.samples = self.batch = 0
        self.steps = self.time = 1  # of the whole answer; of one call, where all steps go at once
        self.busiest = 0.0
        self.folded = 0
        self.uncounted: dict[str, None] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count inside the block."""
        with super().watching():
            yield
        self._close_batch()

    def begin(self, batch: Inputs) -> None:
        """Start a batch [B, ...] (or [T, B, ...])."""
        self._close_batch()
        self.batch = samples_in("count", batch, self.axis)
        self.samples += self.batch
        for one in tensors_of(batch):
            self.signals[one] = "values"

    def depends(self, tensor: Tensor) -> bool:
        """Return whether a tensor is known to depend on the model's input."""
        return tensor in self.signals

    def _close_batch(self) -> None:
        trains = [torch.cat(entry.per_step) for entry in self.entries.values() if entry.per_step]
        if trains:
            steps = max(len(train) for train in trains)
            self.steps = max(self.steps, steps)
            together = torch.zeros(steps, trains[0].shape[1], dtype=torch.float64)
            for train in trains:
                together[: len(train)] += train
            self.busiest += float(together.amax(0).sum())
        for entry in self.entries.values():
            entry.per_step.clear()

    # -- which layer is at work ----------------------------------------------------------------------------------------
    def left(self, visit: Visit, inputs: Sequence[Any], output: Any) -> None:
        """Bill an opaque module; mark what an encoder made, and what a function unknown to torch made."""
        if isinstance(visit.module, _OPAQUE):
            if output is not None:
                self._whole(visit.module, inputs, output)
        elif isinstance(visit.module, Encoder) and not isinstance(visit.module, Direct) and isinstance(output, Tensor):
            self.signals[output] = "spikes"
        elif any(one in self.signals for one in tensors_in(inputs)):
            hidden = [one for one in tensors_in(output) if one.is_floating_point() and one not in self.signals]
            for one in hidden:  # made outside torch: its cost is not known
                self.signals[one] = "values"
                self._not_counted(type(visit.module).__name__, one, self.weights_within(visit.module))

    def _not_counted(self, name: str, out: Tensor, weights: Sequence[str]) -> None:
        """Take note of something whose cost is not known, and of the weights that it works with."""
        self.uncounted[name] = None
        entry = self._entry("not counted", "values", weights)
        entry.output, entry.element = self._sample_shape(out, "values"), out.element_size()

    def _whole(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Bill a layer of neurons, an encoder, a read-out, a normalisation or the end of a shortcut."""
        if isinstance(module, Readout):
            spikes, currents = inputs
            entry = self._entry("read-out", "spikes" if isinstance(module, RateReadout) else "values")
            entry.add(readout_price(module, spikes, currents, output))
            entry.output = tuple(output.shape[1:])
            self.signals[output] = "values"
        elif isinstance(module, NeuNorm):
            entry = self._entry("NeuNorm", self.signals.get(inputs[0], "values"))
            entry.add(norm_price(inputs[0]))
            entry.neuron, entry.output = True, tuple(output[1].shape[1:])
            self.signals[output[0]] = "values"
        elif isinstance(module, Join):
            self._joint(inputs[0], inputs[1], output)
        elif isinstance(module, DiehlCook):
            self._competition(module, output)
        else:
            self._spikes(module, inputs, output)

    def _competition(self, model: DiehlCook, votes: Tensor) -> None:
        """Bill a network of competing neurons, whose kernels leave no spikes behind but say how many there were.

        The busiest step is reckoned as the mean input spikes of a step and the most neurons that fired together.
        """
        outcome, steps = model.last_outcome.double(), model.variant.steps
        for kind, price in competition_price(model, model.last_outcome).items():
            entry = self._entry(kind, {"encoder": "values"}.get(kind, "spikes"))
            entry.add(price)
            entry.element = votes.element_size()
            entry.output = {"encoder": (model.inputs,), "neurons": (model.neurons,)}.get(kind, (model.classes,))
            if kind == "encoder":
                entry.per_step.append((outcome[:, 3] / (1 + outcome[:, 1]) / steps).expand(steps, -1))
                entry.emitted = (entry.emitted or 0) + int(outcome[:, 3].sum())
            elif kind == "neurons":
                entry.per_step.append(torch.cat([outcome[None, :, 2], torch.zeros(steps - 1, len(outcome))]))
                entry.emitted = (entry.emitted or 0) + int(outcome[:, 4].sum())
                entry.neuron, entry.states = True, 3
        self.signals[votes] = "values"

    def _joint(self, main: Tensor, shortcut: Tensor, output: Tensor) -> None:
        """Bill a shortcut that joins spikes (their sum is a count) or the summed input of neurons."""
        entering = self.signals.get(shortcut, "values")
        entry = self._entry("shortcut", entering)
        entry.add(joint_price(entering, shortcut))
        entry.output, entry.element = tuple(output.shape[2:]), output.element_size()
        events = {self.signals.get(main), entering} <= {"spikes", "counts"}
        self.signals[output] = "counts" if events else "values"
        for one in () if events else (main, shortcut):  # summed input is part of the potential
            if (maker := self.makers.get(one)) is not None:
                maker.stored = False

    def _spikes(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Bill a layer of neurons or an encoder; its spikes are [T, B, ...]."""
        spikes = output[0] if isinstance(module, LIF) else output
        entry = self._entry("neurons" if isinstance(module, LIF) else "encoder", self.signals.get(inputs[0], "values"))
        if isinstance(module, LIF):
            price, entry.states = neuron_price(module, spikes)
            entry.add(price)
            entry.neuron = True
            maker = self.makers.get(inputs[0])
            if maker is not None:
                maker.stored = False
        else:
            entry.add(encoder_price(module, inputs[0], spikes))
        entry.output, entry.element = tuple(spikes.shape[2:]), spikes.element_size()
        entry.per_step.append(spikes.reshape(*spikes.shape[:2], -1).sum(-1, dtype=torch.float64).cpu())
        entry.emitted = (entry.emitted or 0) + nonzero(spikes)
        self.signals[spikes] = "spikes"
        self.time = len(spikes)

    # -- what is called ------------------------------------------------------------------------------------------------
    def called(self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Bill one call."""
        data = [tensor for tensor in tensors_in(args, kwargs) if tensor in self.signals]
        if not data or name in FREE:
            return  # what does not depend on the input (weights made ready, fresh states) is no part of the answer
        if name == "setitem":
            self.signals[args[0]] = self.signals[data[-1]]
        results = tensors_in(out)
        kinds = {self.signals[tensor] for tensor in data}
        signal = self.signals[data[0]]  # before the results are marked: they may be the same tensor
        weights = self.weights_of(tensors_in(args, kwargs))
        for result in results:
            self.signals[result] = kinds.copy().pop() if name in MOVES and len(kinds) == 1 else "values"
            maker = self.makers.pop(data[0], None) if result is data[0] else self.makers.get(data[0])
            if maker is not None and name in MOVES and name not in ("cat", "stack", "pad"):
                self.makers[result] = maker
        if name in MOVES or name == "setitem" or not results:
            if any(one not in self.listed for one in weights) and results:  # a class token, put before the others
                self._entry("moved", signal, weights).output = self._sample_shape(results[0], signal)
            return
        if not any(one.is_floating_point() for one in (results[0], *data)):
            return  # arithmetic on indices
        price = PRICES.get(name)
        if price is None:
            self._not_counted(name, results[0], weights)
            return
        table = getattr(self.visits[-1].module, "connection_table", None)
        call = Call(name, args, kwargs, results[0], data[0], signal, table if name.startswith("conv") else None)
        self._record(call, self._folded(call) or price(call), weights)

    def _folded(self, call: Call) -> Work | None:
        """Return the price of a batch normalisation that goes into the weights of the layer before it, else None."""
        if call.name != "batch_norm" or call.get(1, "running_mean") is None:
            return None
        maker = self.makers.get(call.data)
        if maker is None or maker.kind not in ("linear", "convolution"):
            return None
        return Work("batch normalisation (folded)", {} if maker.bias else {"add": call.out.numel()})

    def _record(self, call: Call, work: Work, weights: Sequence[str]) -> None:
        known = len(self.entries)
        entry = self._entry(work.kind, call.signal, weights)
        entry.add(work.operations)
        entry.output, entry.element = self._sample_shape(call.out, call.signal), call.out.element_size()
        if len(self.entries) > known:
            entry.stored = work.stored
            entry.bias = work.operations.get("add", 0) > 0
            if work.kind.endswith("(folded)"):
                self._fold_weights(call, entry)
        self.signals[call.out] = work.signal
        if work.stored:
            self.makers[call.out] = entry
        elif work.kind.endswith("(folded)"):
            self.makers[call.out] = self.makers[call.data]

    def _fold_weights(self, call: Call, entry: _Entry) -> None:
        """Take the folded scale and shift off the memory; a layer without a bias gains one."""
        own = [call.get(3, "weight"), call.get(4, "bias")]
        self.folded += sum(one.numel() * one.element_size() for one in own if one is not None)
        maker = self.makers[call.data]
        if not maker.bias:
            self.folded -= call.get(1, "running_mean").numel() * entry.element

    def _entry(self, kind: str, fed_by: str, weights: Sequence[str] | None = None) -> _Entry:
        """Return the row of this call: the same module, and the same place in its forward pass.

        The row takes the `weights` (those of the whole module at work, where None) that no earlier one has listed.
        """
        path, module, calls = self.visits[-1].path, self.visits[-1].module, self.visits[-1].calls
        number = sum(calls.values())
        calls[kind] = calls.get(kind, 0) + 1
        key = (path, number)
        if key not in self.entries:
            leaf = path and not any(True for _ in module.children())
            name = path if leaf and number == 0 else ".".join(part for part in (path, kind.replace(" ", "-")) if part)
            if not (leaf and number == 0) and calls[kind] > 1:
                name += f"-{calls[kind]}"
            self.entries[key] = _Entry(name, kind, fed_by, path)
        used = self.weights_within(module) if weights is None else weights
        self.entries[key].weights += [one for one in used if one not in self.listed]
        self.listed.update(used)
        return self.entries[key]

    def _sample_shape(self, out: Tensor, signal: str) -> tuple[int, ...]:
        """Return the shape for one sample and one step; in a spiking net time comes first."""
        if signal != "values" and out.dim() > 1 and tuple(out.shape[:2]) == (self.time, self.batch):
            return tuple(out.shape[2:])
        if self.axis and out.dim() > 2 and out.shape[1] == self.batch:
            return (out.shape[0], *out.shape[2:])
        return tuple(out.shape[1:])

    def bill(self) -> Bill:
        """Return the finished bill."""
        rows = [self._row(entry) for entry in self.entries.values()]
        weights = sum(one.numel() * one.element_size() for one in self.model.parameters()) - self.folded
        return Bill(
            rows=rows,
            samples=self.samples,
            steps=self.steps,
            spiking=any(entry.neuron for entry in self.entries.values()),
            weight_bytes=weights,
            spike_bytes=self.busiest / self.samples / 8,
            uncounted=tuple(self.uncounted),
        )

    def _row(self, entry: _Entry) -> Row:
        size = math.prod(entry.output) * entry.element
        own = [self.parameters[name] for name in entry.weights if name in self.parameters]
        memory = {"potentials": size * entry.states} if entry.neuron else {"activations": size} if entry.stored else {}
        return Row(
            name=entry.name,
            kind=entry.kind,
            fed_by=entry.fed_by,
            output=entry.output,
            parameters=sum(one.numel() for one in own),
            operations={k: entry.operations[k] / self.samples for k in OPERATIONS if k in entry.operations},
            memory=memory,
            spikes=None if entry.emitted is None else entry.emitted / self.samples,
            frozen=sum(one.numel() for one in own if not one.requires_grad),
            path=entry.path,
        )
