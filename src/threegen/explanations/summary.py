"""One row a layer: what it makes, what it holds, what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from threegen.cost.count import count
from threegen.errors import ConfigError, ThreegenError
from threegen.explanations.maps import Picture
from threegen.explanations.subject import Subject
from threegen.plots import INK, svg_frame, svg_line, svg_text
from threegen.randomness import make_generator

_SIDES = (28, 32, 16, 8, 224, 227, 64)


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """A layer: `name`, `kind`, `output` for one sample and step, trained and frozen parameters, operations a sample.

    `steps` is how often it works for one answer ("xT"); `state` bytes of potentials; the operations are multiply-
    accumulates (`mac`) of layers fed by values and accumulates (`ac`) of layers fed by spikes, over all steps.
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


@dataclass(frozen=True)
class Summary(Picture):
    """The rows of a model and what they add up to; `print(summary)` writes the table, `.save()` draws it."""

    name: str
    input: tuple[int, ...]
    rows: tuple[SummaryRow, ...]
    parameters: int
    frozen: int
    steps: int
    uncounted: tuple[str, ...] = ()

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
        }

    def _cells(self) -> list[tuple[str, ...]]:
        def number(value: float) -> str:
            return f"{value:,.0f}" if value else ""

        rows: list[tuple[str, ...]] = [
            ("layer", "kind", "output", "parameters", "frozen", "MAC", "AC", "state", "steps")
        ]
        for row in self.rows:
            shape = " x ".join(map(str, row.output))
            times = f"x{row.steps}" if row.steps > 1 else ""
            own = tuple(number(value) for value in (row.parameters, row.frozen, row.mac, row.ac, row.state))
            rows.append((row.name, row.kind, shape, *own, times))
        sums = tuple(number(value) for value in (self.parameters, self.frozen, self.mac, self.ac, self.state))
        rows.append(
            (self.name, "", " x ".join(map(str, self.input)), *sums, f"x{self.steps}" if self.steps > 1 else "")
        )
        return rows

    def __str__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        lines = [
            "  ".join(
                text.ljust(w) if c < 3 else text.rjust(w) for c, (text, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        rule = "-" * len(lines[0])
        text = "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])
        return text + (f"\nnot counted: {', '.join(self.uncounted)}" if self.uncounted else "")

    def _svg(self) -> str:
        cells = self._cells()
        widths = [12 + 6.6 * max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        total, parts = sum(widths) + 10, []
        for line, row in enumerate(cells):
            x = 5.0
            for column, (text, width) in enumerate(zip(row, widths, strict=True)):
                right = column >= 3
                place = x + width - 6 if right else x
                heavy = 600 if line in (0, len(cells) - 1) else 400
                anchor = "end" if right else "start"
                parts.append(svg_text(place, 18 + 18 * line, text, anchor=anchor, fill=INK, weight=heavy))
                x += width
        for line in (1, len(cells) - 1):
            parts.append(svg_line(5, 5 + 18 * line, total - 5, 5 + 18 * line))
        return svg_frame(total, 18 * len(cells) + 10, f"Layers of {self.name}", parts)


def summary(subject: Subject, x: Tensor) -> Summary:
    """Return the summary for samples like the first of `x`; accumulates of spiking nets are those of this sample."""
    trace = subject.trace(x)
    bill = count(subject.model, x[:1], generator=make_generator(subject.seed, "explain"))
    modules = dict(subject.model.named_modules())
    used: set[int] = set()
    rows = []
    for row in bill.rows:
        module = modules.get(row.name)
        own = _fresh(module, used) if module is not None else []
        if module is None and row.parameters:
            own = _fresh(modules[row.name.rpartition(".")[0]], used, deep=False)
        calls = trace.calls.get(row.name, 1)
        steps = max([node.steps for node in trace.nodes if node.path == row.name] or [1])
        rows.append(
            SummaryRow(
                name=row.name,
                kind=row.kind,
                output=row.output,
                parameters=sum(one.numel() for one in own if one.requires_grad),
                frozen=sum(one.numel() for one in own if not one.requires_grad),
                mac=row.operations.get("mac", 0),
                ac=row.operations.get("ac", 0),
                state=row.memory.get("potentials", 0),
                steps=calls if calls > 1 else steps,
            )
        )
    every = list(subject.model.parameters())
    trained = sum(one.numel() for one in every if one.requires_grad)
    return Summary(
        name=subject.name,
        input=tuple(x.shape[1:]),
        rows=tuple(rows),
        parameters=trained,
        frozen=sum(one.numel() for one in every) - trained,
        steps=max(trace.steps, bill.steps),
        uncounted=bill.uncounted,
    )


def _fresh(module: nn.Module, used: set[int], *, deep: bool = True) -> list[nn.Parameter]:
    """Return the parameters of a module that no earlier row has listed."""
    found = [one for one in module.parameters(recurse=deep) if id(one) not in used]
    used.update(id(one) for one in found)
    return found


def example_for(subject: Subject) -> Tensor:
    """Return a grey batch of one that the model takes, guessed from its first layer; raises `ConfigError`."""
    first = next((m for m in subject.model.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.RNNBase)), None)
    weight = next((one for one in subject.model.parameters() if one.is_floating_point()), torch.zeros(()))
    shapes: list[tuple[int, ...]] = []
    if isinstance(first, nn.Conv2d):
        shapes = [(first.in_channels, side, side) for side in _SIDES]
    elif isinstance(first, nn.Linear):
        side = round(first.in_features**0.5)
        images = [(1, side, side)] if side * side == first.in_features else []
        shapes = [*images, (first.in_features,)]
    elif isinstance(first, nn.RNNBase):
        shapes = [(1, 28, 28), (10, first.input_size)]
    shapes.append((1, 28, 28))
    for shape in shapes:
        x = torch.full((1, *shape), 0.5, dtype=weight.dtype, device=weight.device)
        try:
            subject.trace(x)
        except (ThreegenError, ValueError, IndexError):
            continue
        return x
    raise ConfigError(f"the input of {subject.name} cannot be guessed; pass a batch that it takes: summary(x)")
