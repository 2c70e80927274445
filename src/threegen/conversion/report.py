"""The report of a conversion: accuracy against the number of steps, what each layer lost, and remarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from threegen.conversion.calibrate import LayerReport
from threegen.plots import Series, line_chart
from threegen.tables import html_table, text_table

POOR = 0.75  # correlation of rates and activations below which a layer is worth a warning
LOST = 0.02  # of the answers


@dataclass(frozen=True)
class StepReport:
    """The result after `steps` steps: the share of answers equal to the network's, and accuracy."""

    steps: int
    agreement: float
    accuracy: float | None
    spikes: float  # per image

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {one: getattr(self, one) for one in ("steps", "agreement", "accuracy", "spikes")}


@dataclass(frozen=True, repr=False)
class ConversionReport:
    """The result of `convert` and its loss of accuracy; `print` it, or use `as_dict()`, `svg()`.

    `curve` has one row per number of steps, from 1 to T, for the same net, which was made for T; `layers` has one row
    per layer; `ann_accuracy` is that of the network (None without labels). `judged` is the number of test images,
    `apart` whether they differ from the calibration images. `compensation` is the agreement after T steps without and
    with each requested option; `notes` are remarks, `warnings` name problems.
    """

    method: str
    steps: int
    readout: str
    spike: str
    calibrated: int
    judged: int
    apart: bool
    curve: Sequence[StepReport]
    layers: Sequence[LayerReport]
    ann_accuracy: float | None
    compensation: Sequence[tuple[str, float]] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = field(default_factory=list)

    @property
    def agreement(self) -> float:
        """The share of answers, after all steps, that equal the network's."""
        return self.curve[-1].agreement

    @property
    def accuracy(self) -> float | None:
        """The accuracy after all steps, or None without labels."""
        return self.curve[-1].accuracy

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return {
            "method": self.method,
            "steps": self.steps,
            "readout": self.readout,
            "spike": self.spike,
            "calibrated": self.calibrated,
            "judged": self.judged,
            "apart": self.apart,
            "ann_accuracy": self.ann_accuracy,
            "curve": [one.as_dict() for one in self.curve],
            "layers": [one.as_dict() for one in self.layers],
            "compensation": [list(one) for one in self.compensation],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }

    def curve_table(self) -> list[tuple[str, ...]]:
        """Return accuracy against the number of steps as text, one line per number of steps."""
        ann = "" if self.ann_accuracy is None else f" (network: {self.ann_accuracy:.2%})"
        lines: list[tuple[str, ...]] = [("steps", "answers as the network", "accuracy" + ann, "spikes per image")]
        for one in self.curve:
            accuracy = "" if one.accuracy is None else f"{one.accuracy:.2%}"
            lines.append((str(one.steps), f"{one.agreement:.2%}", accuracy, f"{one.spikes:,.0f}"))
        return lines

    def layer_table(self) -> list[tuple[str, ...]]:
        """Return the layers as text, one line per layer."""
        head = ("layer", "kind", "threshold", "correlation", "clipped", "uneven", "silent", "spikes per step", "loses")
        lines: list[tuple[str, ...]] = [head]
        for one in self.layers:
            lines.append(
                (
                    one.name,
                    one.kind + (", refitted" if one.refitted else ""),
                    f"{one.threshold:.4g}",
                    f"{one.correlation:.4f}",
                    f"{one.clipped:.2%}",
                    f"{one.uneven:.2%}",
                    f"{one.silent:.2%}",
                    f"{one.rate:.2%}",
                    "" if one.loses is None else f"{100 * one.loses:+.2f} points",
                )
            )
        return lines

    def _caption(self) -> str:
        where = "other images" if self.apart else "the same images"
        return (
            f"{self.method}, read out by {self.readout}; a spike is {self.spike}; calibrated on {self.calibrated:,} "
            f"images, judged on {self.judged:,} {where}"
        )

    def _remarks(self) -> list[str]:
        effects = [f"{name}: {share:.2%} of the answers as the network" for name, share in self.compensation]
        return [*effects, *self.notes, *(f"warning: {one}" for one in self.warnings)]

    def __str__(self) -> str:
        columns = tuple(range(9))
        return "\n".join(
            [
                self._caption(),
                text_table(self.curve_table(), right=columns, total=False),
                "",
                text_table(self.layer_table(), right=columns[2:], total=False),
                *self._remarks(),
            ]
        )

    def __repr__(self) -> str:
        known = "" if self.accuracy is None else f", accuracy {self.accuracy:.2%}"
        return f"ConversionReport({self.method}, {self.steps} steps: agreement {self.agreement:.2%}{known})"

    def _repr_html_(self) -> str:
        columns = tuple(range(9))
        first = html_table(self.curve_table(), right=columns, total=False, caption=self._caption())
        second = html_table(self.layer_table(), right=columns[2:], total=False, note=" ".join(self._remarks()))
        return first + self.svg() + second

    def svg(self) -> str:
        """Return the curve as a picture, accuracy (or agreement) in per cent against the number of steps."""
        known = self.ann_accuracy is not None
        values = [100 * (one.accuracy if one.accuracy is not None else one.agreement) for one in self.curve]
        series = [Series("spiking net", [float(one.steps) for one in self.curve], values)]
        title = "accuracy against steps" if known else "answers as the network against steps"
        level = None if self.ann_accuracy is None else (100 * self.ann_accuracy, "network")
        return line_chart(series, title=title, x_label="time steps", y_format="{:g} %", level=level)
