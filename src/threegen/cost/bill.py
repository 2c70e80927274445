"""The bill of one answer: one row per layer, and the totals of the rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from threegen.tables import html_table, text_table

# Every kind of operation that a row may hold, per sample and over all time steps.
OPERATIONS = {
    "mac": "multiply-accumulates of layers fed by values or event counts, zeros included",
    "mac_nonzero": "the same without those whose input is zero: another count of the same work, never added to it",
    "ac": "accumulates: one weight (or one event) added for each spike that arrives",
    "ac_each": "those of layers that take counts, if each pooled spike were sent separately: another count of "
    "the same work as mac, never added to it",
    "mul": "other multiplications: average pooling, batch normalisation that cannot be folded, scaling",
    "add": "other additions: biases, average pooling, sums",
    "compare": "comparisons: rectifiers, maximum pooling, steps",
    "function": "evaluations of an exponential, a hyperbolic tangent or the like",
    "leak": "neuron update: the potential times the decay",
    "integrate": "neuron update: the summed input added to the potential",
    "threshold": "neuron update: the potential compared with the threshold",
    "reset": "neuron update: one for each spike",
    "draw": "random numbers drawn by the encoder",
}
NEURON_UPDATES = ("leak", "integrate", "threshold", "reset")
MEMORY = ("weights", "activations", "potentials", "spikes")

RULE = (
    "One answer for one sample, over all its time steps; the mean over the samples. Layers fed by spikes are billed "
    "one addition for each spike and each connection that it reaches; layers fed by values or by event counts (summed "
    "or averaged spikes) are billed multiply-accumulates at every step, zeros and zero padding included; the additions "
    "of the same layers if each summed spike were sent separately are listed too (ac_each); after the direct encoder, "
    "whose values are the same at every step, the first layer is computed once and billed once. Which of the two "
    "applies to a layer depends on the model, never on the data. A multiply-accumulate is one multiplication and one "
    "addition. Biases are one addition per output and step. Batch normalisation directly after a linear or "
    "convolutional layer is folded into its weights and costs at most a bias; without running statistics it is billed "
    "as layer, group and instance normalisation are: mean, variance and scaling of the data itself. A transposed "
    "convolution is billed every product of its inputs, including those outside the border. Attention is billed every "
    "pair of positions, masked ones included. A recurrent layer is billed every weight once per step that the sample "
    "has. An embedding is a look-up and costs nothing. Averaging spikes is billed one addition per spike and window; "
    "its scale is folded into the next weights. Neuron updates (leak, integration, threshold, reset) and the encoder "
    "are listed separately. Recurrent weights are billed one addition per spike and neuron, a window of several steps "
    "one multiply-accumulate per neuron, step and earlier step; an adaptive threshold is a second potential. The "
    "shortcut of a residual block costs one addition per spike if it carries spikes, else one per value; the sum of "
    "two spikes is a count. Reading out by rate costs one addition per spike of the last layer, and one per class and "
    "step to break ties. Memory: weights and biases at their type; activations, the outputs of all linear, "
    "convolutional and pooling layers, embeddings and attention (activation functions work in place); in a spiking net "
    "one potential per neuron and one bit for each spike of the busiest time step, the encoder's spikes included, "
    "while a layer's summed input is part of the potential."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One layer. `operations` are per sample over all steps; `memory` is in bytes; `spikes` is the mean per sample.

    `fed_by` is the kind of input: "values", "spikes" or "counts" (pooled or summed spikes). `output` is the shape for
    one sample and one step. `parameters` are those that no earlier row uses, the `frozen` ones included; `path` is the
    module.
    """

    name: str
    kind: str
    fed_by: str
    output: tuple[int, ...]
    parameters: int
    operations: dict[str, float]
    memory: dict[str, int]
    spikes: float | None = None
    frozen: int = 0
    path: str = ""

    @property
    def multiplications(self) -> float:
        """Multiplications, without neuron updates."""
        return self.operations.get("mac", 0) + self.operations.get("mul", 0)

    @property
    def additions(self) -> float:
        """Additions, without neuron updates."""
        return sum(self.operations.get(kind, 0) for kind in ("mac", "ac", "add"))

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data for JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "fed_by": self.fed_by,
            "output": list(self.output),
            "parameters": self.parameters,
            "operations": dict(self.operations),
            "memory": dict(self.memory),
            "spikes": self.spikes,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Bill:
    """What one answer costs. `rows` are the layers in the order of their first use.

    `samples` is how many inputs were averaged, `steps` is T (1 without spiking layers), `spiking` whether there is any
    spiking neuron, `uncounted` the functions that were called but have no price; `rule` explains how it was counted.
    """

    rows: Sequence[Row]
    samples: int
    steps: int
    spiking: bool
    weight_bytes: int
    spike_bytes: float
    uncounted: tuple[str, ...] = ()
    rule: str = field(default=RULE, repr=False)

    @property
    def complete(self) -> bool:
        """Whether all calls were counted; if not, each total is "at least"."""
        return not self.uncounted

    @property
    def parameters(self) -> int:
        """The number of parameters that the answer uses; shared and parametrised ones are counted once."""
        return sum(row.parameters for row in self.rows)

    @property
    def operations(self) -> dict[str, float]:
        """Operations by kind for one sample, encoder included; only the kinds that occur."""
        total: dict[str, float] = {}
        for row in self.rows:
            for kind, amount in row.operations.items():
                total[kind] = total.get(kind, 0) + amount
        return {kind: total[kind] for kind in OPERATIONS if kind in total}

    @property
    def memory(self) -> dict[str, int]:
        """Bytes for one sample by kind: weights, activations, potentials, spikes, and their total."""
        own = {
            "weights": self.weight_bytes,
            "activations": sum(row.memory.get("activations", 0) for row in self.rows),
            "potentials": sum(row.memory.get("potentials", 0) for row in self.rows),
            "spikes": math.ceil(self.spike_bytes),
        }
        return {**own, "total": sum(own.values())}

    @property
    def compute(self) -> dict[str, float]:
        """The totals of the operations for one sample.

        `multiplications` and `additions` are C_mul and C_add of all layers but encoder and neuron updates, `total`
        their sum, `total_skipping_zeros` the same with zero inputs left out of the multiply-accumulates;
        `neuron_updates`, `encoder`, `comparisons` and `functions` are separate.
        """
        layers = [row for row in self.rows if row.kind != "encoder"]
        multiplications = sum(row.multiplications for row in layers)
        additions = sum(row.additions for row in layers)
        skipped = sum(row.operations.get("mac", 0) - row.operations.get("mac_nonzero", 0) for row in layers)
        return {
            "multiplications": multiplications,
            "additions": additions,
            "total": multiplications + additions,
            "total_skipping_zeros": multiplications + additions - 2 * skipped,
            "neuron_updates": sum(row.operations.get(kind, 0) for row in layers for kind in NEURON_UPDATES),
            "encoder": sum(sum(row.operations.values()) for row in self.rows if row.kind == "encoder"),
            "comparisons": sum(row.operations.get("compare", 0) for row in layers),
            "functions": sum(row.operations.get("function", 0) for row in layers),
        }

    def table(self) -> list[tuple[str, ...]]:
        """Return the rows as text: a head, one line per layer, the total ("at least" if something is not counted)."""
        lines: list[tuple[str, ...]] = [
            ("layer", "kind", "fed by", "output", "parameters", "operations", "memory, bytes")
        ]
        for row in self.rows:
            work = ", ".join(f"{kind} {amount:,.10g}" for kind, amount in row.operations.items())
            held = ", ".join(f"{kind} {amount:,}" for kind, amount in row.memory.items())
            shape = " x ".join(map(str, row.output))
            lines.append(
                (row.name, row.kind, row.fed_by, shape, f"{row.parameters:,}" * bool(row.parameters), work, held)
            )
        own, least = self.compute, "" if self.complete else "at least "
        total = f"{least}{own['multiplications']:,.10g} multiplications, {own['additions']:,.10g} additions"
        lines.append(("total", "", "", "", f"{self.parameters:,}", total, f"{least}{self.memory['total']:,}"))
        return lines

    def __str__(self) -> str:
        note = f"\nnot counted: {', '.join(self.uncounted)}" if self.uncounted else ""
        return f"{self._caption()}\n{text_table(self.table(), right=(4,))}{note}"

    def _caption(self) -> str:
        steps = f", {self.steps} time steps" if self.steps > 1 else ""
        return f"one answer, the mean of {self.samples:,} sample{'s' * (self.samples != 1)}{steps}"

    def __repr__(self) -> str:
        own, least = self.compute, "" if self.complete else "at least "
        return (
            f"Bill({len(self.rows)} rows, {self.samples:,} samples, {self.steps} steps: {least}"
            f"{own['total']:,.10g} operations, {self.parameters:,} parameters, {self.memory['total']:,} bytes)"
        )

    def _repr_html_(self) -> str:
        note = f"not counted: {', '.join(self.uncounted)}" if self.uncounted else ""
        return html_table(self.table(), right=(4,), caption=self._caption(), note=note)

    def as_dict(self) -> dict[str, Any]:
        """Return the bill as plain data for `results.json`: `memory` by kind in bytes, `operations` per sample."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "spiking": self.spiking,
            "parameters": self.parameters,
            "memory": self.memory,
            "operations": self.operations,
            "compute": self.compute,
            "layers": [row.as_dict() for row in self.rows],
            "complete": self.complete,
            "uncounted": list(self.uncounted),
            "rule": self.rule,
        }
