"""One row per layer: its output, its parameters, its cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_whole
from threegen.cost.count import count
from threegen.errors import ConfigError, ThreegenError
from threegen.explanations.maps import Picture
from threegen.explanations.subject import Subject
from threegen.machine.torch_private import AnyConvolution
from threegen.plots import INK, svg_frame, svg_line, svg_text
from threegen.randomness import make_generator
from threegen.tables import html_table, text_table
from threegen.tracing.batch_axis import find_axes
from threegen.tracing.inputs import Inputs, each

COLUMNS = ("kind", "output", "parameters", "frozen", "mac", "ac", "state", "steps")
_SUMS = ("parameters", "frozen", "mac", "ac", "state")
_SIDES = (28, 32, 16, 8, 224, 227, 64)


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A layer: `name`, `kind`, `output` for one sample and step, trained and frozen parameters, operations per sample.

    `steps` is how often it is called for one answer ("xT"); `state` the bytes of potentials; the operations are
    multiply- accumulates (`mac`) of layers fed by values and accumulates (`ac`) of layers fed by spikes, over all
    steps.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    frozen: int
    mac: float
    ac: float
    state: int
    steps: int

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {
            "name": self.name,
            "kind": self.kind,
            "output": list(self.output),
            "parameters": self.parameters,
            "frozen": self.frozen,
            "mac": self.mac,
            "ac": self.ac,
            "state": self.state,
            "steps": self.steps,
        }


@dataclass(frozen=True, repr=False)
class Summary(Picture):
    """The rows of a model and their sums; `print(summary)` writes the table, `.save()` draws it."""

    name: str
    input: tuple[int, ...]
    rows: tuple[SummaryRow, ...]
    parameters: int
    frozen: int
    steps: int
    uncounted: tuple[str, ...] = ()
    columns: tuple[str, ...] = COLUMNS

    @property
    def mac(self) -> float:
        """Multiply-accumulates of one sample."""
        return sum(row.mac for row in self.rows)

    @property
    def ac(self) -> float:
        """Accumulates of one sample."""
        return sum(row.ac for row in self.rows)

    @property
    def state(self) -> int:
        """Bytes of potentials of one sample."""
        return sum(row.state for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the table as plain data."""
        return {
            "model": self.name,
            "input": list(self.input),
            "layers": [row.as_dict() for row in self.rows],
            "parameters": self.parameters,
            "frozen": self.frozen,
            "mac": self.mac,
            "ac": self.ac,
            "state": self.state,
            "steps": self.steps,
            "uncounted": list(self.uncounted),
        }

    def with_columns(self, columns: Sequence[str] | None) -> Summary:
        """Return the summary that shows these columns, of `COLUMNS`, in this order; raises `ConfigError` for others."""
        if columns is None:
            return self
        if not isinstance(columns, list | tuple) or not columns:
            raise ConfigError(f"columns must be a list of names out of {', '.join(COLUMNS)}, got {columns!r}")
        return replace(self, columns=tuple(require_choice("columns", one, COLUMNS) for one in columns))

    def cells(self) -> list[tuple[str, ...]]:
        """Return the table as text: a head, one line per layer, the sums."""

        def number(value: float) -> str:
            return f"{value:,.0f}" if value else ""

        def line(
            own: SummaryRow | Summary, name: str, kind: str, shape: tuple[int, ...], least: str
        ) -> tuple[str, ...]:
            texts = {
                "kind": kind,
                "output": " x ".join(map(str, shape)),
                "parameters": number(own.parameters),
                "frozen": number(own.frozen),
                "mac": least + number(own.mac) if own.mac else "",
                "ac": least + number(own.ac) if own.ac else "",
                "state": number(own.state),
                "steps": f"x{own.steps}" if own.steps > 1 else "",
            }
            return (name, *(texts[column] for column in self.columns))

        least = "at least " if self.uncounted else ""
        return [
            ("layer", *(column.upper() if column in ("mac", "ac") else column for column in self.columns)),
            *(line(row, row.name, row.kind, row.output, "") for row in self.rows),
            line(self, self.name, "", self.input, least),
        ]

    def _right(self) -> tuple[int, ...]:
        return tuple(place for place, column in enumerate(self.columns, start=1) if column not in ("kind", "output"))

    def _note(self) -> str:
        return f"not counted: {', '.join(self.uncounted)}" if self.uncounted else ""

    def __str__(self) -> str:
        return text_table(self.cells(), right=self._right()) + (f"\n{self._note()}" if self.uncounted else "")

    def __repr__(self) -> str:
        least = "at least " if self.uncounted else ""
        return (
            f"Summary of {self.name}: {len(self.rows)} rows, {self.parameters + self.frozen:,} parameters, "
            f"{least}{self.mac:,.0f} MAC and {self.ac:,.0f} AC a sample"
        )

    def _repr_html_(self) -> str:
        return html_table(self.cells(), right=self._right(), caption=f"Layers of {self.name}", note=self._note())

    def _svg(self) -> str:
        cells = self.cells()
        widths = [12 + 6.6 * max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        total, parts = sum(widths) + 10, []
        for line, row in enumerate(cells):
            x = 5.0
            for column, (text, width) in enumerate(zip(row, widths, strict=True)):
                right = column in self._right()
                place = x + width - 6 if right else x
                heavy = 600 if line in (0, len(cells) - 1) else 400
                anchor = "end" if right else "start"
                parts.append(svg_text(place, 18 + 18 * line, text, anchor=anchor, fill=INK, weight=heavy))
                x += width
        for line in (1, len(cells) - 1):
            parts.append(svg_line(5, 5 + 18 * line, total - 5, 5 + 18 * line))
        return svg_frame(total, 18 * len(cells) + 10, f"Layers of {self.name}", parts)


def summary(subject: Subject, x: Inputs, *, depth: int | None = None, columns: Sequence[str] | None = None) -> Summary:
    """Return the summary for samples like the first of `x`; accumulates of spiking nets are those of this sample.

    `depth` folds layers below that level of nested names into one row: with 1, "layer4.0.conv1" is part of "layer4".
    `columns` chooses among `COLUMNS`. Raises `ConfigError`.
    """
    if depth is not None:
        require_whole("depth", depth)
    trace = subject.trace_of_inputs(x)
    axis = find_axes(subject.model, x, subject.time).batch
    one = each(x, lambda given: given.narrow(axis, 0, 1))
    bill = count(subject.model, one, generator=make_generator(subject.seed, "explain"), time=subject.time)
    rows = []
    for row in bill.rows:
        calls = trace.calls.get(row.name, 1)
        steps = max([node.steps for node in trace.nodes if node.path == row.name] or [1])
        rows.append(
            SummaryRow(
                name=row.name,
                kind=row.kind,
                output=row.output,
                parameters=row.parameters - row.frozen,
                frozen=row.frozen,
                mac=row.operations.get("mac", 0),
                ac=row.operations.get("ac", 0),
                state=row.memory.get("potentials", 0),
                steps=calls if calls > 1 else steps,
            )
        )
    if depth is not None:
        rows = _folded(subject.model, [row.path for row in bill.rows], rows, depth)
    every = list(subject.model.parameters())
    trained = sum(weight.numel() for weight in every if weight.requires_grad)
    return Summary(
        name=subject.name,
        input=trace.input,
        rows=tuple(rows),
        parameters=trained,
        frozen=sum(weight.numel() for weight in every) - trained,
        steps=max(trace.steps, bill.steps),
        uncounted=bill.uncounted,
    ).with_columns(columns)


def _folded(model: nn.Module, paths: list[str], rows: list[SummaryRow], depth: int) -> list[SummaryRow]:
    """Return the rows with those of one block summed, at the position of the first."""
    found: dict[str, SummaryRow] = {}
    for path, row in zip(paths, rows, strict=True):
        names = path.split(".")
        block = ".".join(names[:depth])
        if len(names) <= depth:
            found[row.name] = row
            continue
        before = found.get(block)
        sums = {name: getattr(row, name) + (getattr(before, name) if before else 0) for name in _SUMS}
        kind = type(model.get_submodule(block)).__name__
        steps = max(row.steps, before.steps if before else 1)
        found[block] = replace(row, name=block, kind=kind, steps=steps, **sums)
    return list(found.values())


def example_for(subject: Subject) -> Tensor:
    """Return a grey batch of one that the model takes, guessed from its first layer; raises `ConfigError`."""
    kinds = nn.Linear | AnyConvolution | nn.RNNBase | nn.Embedding
    first = next((module for module in subject.model.modules() if isinstance(module, kinds)), None)
    weight = next((one for one in subject.model.parameters() if one.is_floating_point()), torch.zeros(()))
    shapes: list[tuple[int, ...]] = []
    if isinstance(first, AnyConvolution):
        axes = len(first.kernel_size)
        shapes = [(first.in_channels, *[side] * axes) for side in (_SIDES if axes < 3 else _SIDES[:4])]
    elif isinstance(first, nn.Linear):
        side = round(first.in_features**0.5)
        images = [(1, side, side)] if side * side == first.in_features else []
        shapes = [*images, (first.in_features,)]
    elif isinstance(first, nn.RNNBase):
        shapes = [(1, 28, 28), (10, first.input_size)]
    elif isinstance(first, nn.Embedding):
        shapes = [(16,), (1,)]
    shapes.append((1, 28, 28))
    for shape in shapes:
        grey = 0 if isinstance(first, nn.Embedding) else 0.5
        kind = torch.int64 if isinstance(first, nn.Embedding) else weight.dtype
        x = torch.full((1, *shape), grey, dtype=kind, device=weight.device)
        try:
            subject.trace_of_inputs(x)
        except (ThreegenError, ValueError, IndexError):
            continue
        return x
    raise ConfigError(f"the input of {subject.name} cannot be guessed; pass a batch that it takes: summary(x)")
