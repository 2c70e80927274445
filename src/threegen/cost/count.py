"""Counts what one answer of a model costs, from the calls that the model really makes.

    ANN     memory = M_w + M_a            compute = C_mul + C_add
    SNN     memory = M_w + M_p + M_s      compute = C_add, one addition per spike and connection

after Deng et al., "Rethinking the performance comparison between SNNs and ANNs", Neural Networks 121:294 (2020),
whose formulas are not public in full: `bill.RULE` says how we count. Every torch function that the model calls is
seen, in a module or not; hooks tell which layer is running. The model is not changed: the modes, the generators and the
hooks are put back, after an exception too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from threegen.checks import did_you_mean, require_whole
from threegen.cost.bill import OPERATIONS, Bill, Row
from threegen.cost.operations import Call, Work
from threegen.cost.prices import FREE, MOVES, PRICES
from threegen.errors import ConfigError
from threegen.gen3.parts import ENCODER, NEURONS, Cost, Priced, Use, is_encoder, is_neuron, is_priced, nonzero
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
    out if the model has layers that define it. Raises `DataError` for no samples, `ShapeError` for what the model
    cannot take, `ConfigError` for another number of inputs or an axis of time that cannot be known, and passes on what
    the model raises.
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
    """A row under construction: totals over all batches."""

    name: str
    kind: str
    fed_by: str
    path: str = ""
    weights: list[str] = field(default_factory=list)  # the parameters that no earlier row uses
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
        super().__init__(model, is_priced)
        self.axis = axis  # of the samples
        self.parameters = dict(model.named_parameters())
        self.listed: set[str] = set()  # parameters and buffers that a row uses
        self.entries: dict[tuple[str, int], _Entry] = {}
        self.signals: Any = WeakIdKeyDictionary()  # of every tensor that depends on the input
        self.makers: Any = WeakIdKeyDictionary()  # tensor -> the entry whose output it is
        self.units: Any = WeakIdKeyDictionary()  # of counts of spikes: what one spike adds
        self.samples = self.batch = 0
        self.steps = self.time = 1  # of the whole answer; of one call, if all steps run at once
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

    # -- which layer is running ----------------------------------------------------------------------------------------
    def left(self, visit: Visit, inputs: Sequence[Any], output: Any) -> None:
        """Bill an opaque module; mark the output of an encoder and of a function unknown to torch."""
        module = visit.module
        if is_priced(module):
            if output is not None:
                self._whole(module, inputs, output)
            return
        if is_neuron(module) or is_encoder(module):
            made = tensors_in(output)
            if made:
                if made[0] not in self.signals:  # computed outside torch, so its cost is unknown
                    self.uncounted[type(module).__name__] = None
                self._sent(made[0], self._entry(NEURONS if is_neuron(module) else ENCODER, "values"))
        elif any(one in self.signals for one in tensors_in(inputs)):
            hidden = [one for one in tensors_in(output) if one.is_floating_point() and one not in self.signals]
            for one in hidden:  # computed outside torch: its cost is not known
                self.signals[one] = "values"
                self._not_counted(type(visit.module).__name__, one, self.weights_within(visit.module))

    def _not_counted(self, name: str, out: Tensor, weights: Sequence[str]) -> None:
        """Note something whose cost is not known, and the weights that it uses."""
        self.uncounted[name] = None
        entry = self._entry("not counted", "values", weights)
        entry.output, entry.element = self._sample_shape(out, "values"), out.element_size()

    def _whole(self, module: nn.Module, inputs: Sequence[Any], output: Any) -> None:
        """Bill a part that defines its own cost: neurons, an encoder, a read-out, a normalisation, a shortcut."""
        given = tensors_in(inputs)
        signals = tuple(self.signals.get(one, "values") for one in given)
        found = cast(Priced, module).cost(Use(tuple(inputs), output, signals))
        rows = [found] if isinstance(found, Cost) else list(found)
        for one in () if rows else tensors_in(output):
            self.signals[one] = signals[0] if signals else "values"
        for row in rows:
            entry = self._entry(row.kind, row.fed_by or (signals[0] if signals else "values"))
            entry.add(_known(row, module))
            entry.output = tuple(row.output.shape[1:]) if row.shape is None else row.shape
            entry.element = row.output.element_size()
            if row.states:
                entry.neuron, entry.states = True, row.states
            for one in given if row.takes_input else ():
                if (maker := self.makers.get(one)) is not None:
                    maker.stored = False
            self.signals[row.output] = row.signal
            if row.signal == "counts":  # the summed spikes are ones
                self.units[row.output] = 1.0
            if row.spikes is not None:
                self._sent(row.spikes, entry, row.sent)
                entry.output = tuple(row.spikes.shape[2:]) if row.shape is None else row.shape
            elif row.signal != "values" and row.shape is None:
                entry.output = tuple(row.output.shape[2:])

    def _sent(self, spikes: Tensor, entry: _Entry, sent: int | None = None) -> None:
        """Note spikes [T, B, ...], or their numbers [T, B] if `sent` is their total."""
        per_step = spikes if sent is not None else spikes.reshape(*spikes.shape[:2], -1).sum(-1, dtype=torch.float64)
        entry.per_step.append(per_step.double().cpu())
        entry.emitted = (entry.emitted or 0) + (nonzero(spikes) if sent is None else sent)
        if sent is None:
            entry.output, entry.element = tuple(spikes.shape[2:]), spikes.element_size()
            self.signals[spikes] = "spikes"
            self.time = len(spikes)

    # -- what is called ------------------------------------------------------------------------------------------------
    def called(self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Bill one call."""
        data = [tensor for tensor in tensors_in(args, kwargs) if tensor in self.signals]
        if not data or name in FREE:
            return  # what does not depend on the input (prepared weights, fresh states) is not part of the answer
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
            units = {self.units.get(one) for one in data}
            if name in MOVES and len(units) == 1 and (unit := units.pop()) is not None:
                self.units[result] = unit
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
        known = table if name.startswith("conv") else None
        call = Call(name, args, kwargs, results[0], data[0], signal, known, self.units.get(data[0]))
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
        if work.unit is not None:
            self.units[call.out] = work.unit
        if work.stored:
            self.makers[call.out] = entry
        elif work.kind.endswith("(folded)"):
            self.makers[call.out] = self.makers[call.data]

    def _fold_weights(self, call: Call, entry: _Entry) -> None:
        """Remove the folded scale and shift from the memory; a layer without a bias gains one."""
        own = [call.get(3, "weight"), call.get(4, "bias")]
        self.folded += sum(one.numel() * one.element_size() for one in own if one is not None)
        maker = self.makers[call.data]
        if not maker.bias:
            self.folded -= call.get(1, "running_mean").numel() * entry.element

    def _entry(self, kind: str, fed_by: str, weights: Sequence[str] | None = None) -> _Entry:
        """Return the row of this call: the same module, and the same position in its forward pass.

        The row takes the `weights` (None: those of the whole running module) that no earlier one has listed.
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


def _known(cost: Cost, module: nn.Module) -> Mapping[str, int]:
    """Return the operations of a row; raises `ConfigError` if a part names one that the bill does not have."""
    unknown = [kind for kind in cost.operations if kind not in OPERATIONS]
    if unknown:
        raise ConfigError(
            f"{type(module).__name__}.cost names the operation {unknown[0]!r}{did_you_mean(unknown[0], OPERATIONS)}; "
            f"there are {', '.join(OPERATIONS)}"
        )
    return cost.operations
