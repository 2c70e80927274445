"""Estimates of energy from published tables: what an operation, a neuron update and a byte cost on some hardware.

An estimate is a count times a published figure, nothing more. Tables of arithmetic (Horowitz 2014) price each
multiplication, each addition and each byte that moves; memory traffic is listed separately from compute because it is
often the larger part. Tables of neuromorphic chips price one synaptic event, its memory access included, and give no
figure for a multiply-accumulate, so networks with multiply-accumulates have no estimate there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from threegen.checks import require_number
from threegen.cost.bill import Bill
from threegen.errors import ConfigError

TRAFFIC_RULE = (
    "Memory traffic of one answer: each weight that is used is read once (least: perfect reuse) or once for every "
    "multiply-accumulate and accumulate (most: no reuse); activations are written once and read once; each potential "
    "is read and written at every time step; each spike is one bit, written and read. The input itself is not included."
)
ESTIMATE_RULE = (
    "Energy is an estimate: counts times the figures of a published table, not a measurement. Leakage, clocks, "
    "control, communication between cores, random numbers and function values are left out unless the table says "
    "otherwise. "
    "Figures of different tables must not be compared with each other."
)


@dataclass(frozen=True)
class EnergyTable:
    """Published energies of one hardware, in picojoules.

    Args:
        name: short and kebab-case.
        title: what is printed.
        source: the publication.
        accumulate: one addition, or one synaptic event on a neuromorphic chip.
        multiply: one multiplication; None if the source has no figure, and then neither for a multiply-accumulate.
        neuron_update: one neuron at one time step; None prices its additions and multiplications.
        byte: one byte read or written; None if memory access is part of the other figures.
        value_bytes: bytes per stored value on this hardware; None takes the model's own type.
        note: what else is needed to understand the estimate.

    Example:
        >>> mine = EnergyTable("mine", "my chip", "my data sheet, 2024", accumulate=2.0, neuron_update=9.0)
    """

    name: str
    title: str
    source: str
    accumulate: float
    multiply: float | None = None
    neuron_update: float | None = None
    byte: float | None = None
    value_bytes: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.name or not self.source:
            raise ConfigError(f"an energy table needs a name and a source, got {self.name!r} and {self.source!r}")
        for what in ("accumulate", "multiply", "neuron_update", "byte", "value_bytes"):
            if getattr(self, what) is not None:
                require_number(f"{what} of the energy table {self.name}", getattr(self, what), least=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Return the table as plain data for JSON; energies are in picojoules."""
        return {
            "name": self.name,
            "title": self.title,
            "source": self.source,
            "accumulate_pj": self.accumulate,
            "multiply_pj": self.multiply,
            "neuron_update_pj": self.neuron_update,
            "byte_pj": self.byte,
            "value_bytes": self.value_bytes,
            "note": self.note,
        }


_HOROWITZ = (
    "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, 45 nm, 0.9 V: "
    "32-bit float addition 0.9 pJ, multiplication 3.7 pJ; 8-bit integer addition 0.03 pJ, multiplication 0.2 pJ; "
    "64 bits from a 1 MB cache 100 pJ, from DRAM 1,300 to 2,600 pJ"
)
ENERGY_TABLES: tuple[EnergyTable, ...] = (
    EnergyTable("45nm-float32-sram", "45 nm, 32-bit float, on-chip memory", _HOROWITZ, 0.9, 3.7, byte=12.5,
                note="all values in a 1 MB memory on the chip, whatever the size of the network"),
    EnergyTable("45nm-float32-dram", "45 nm, 32-bit float, DRAM", _HOROWITZ, 0.9, 3.7, byte=162.5,
                note="all values in DRAM, at the lower of the two figures"),
    EnergyTable("45nm-int8-sram", "45 nm, 8-bit integer, on-chip memory", _HOROWITZ, 0.03, 0.2, byte=12.5,
                value_bytes=1.0, note="as if the network kept its accuracy in 8 bits, which is not tested here"),
    EnergyTable("loihi", "Loihi, 14 nm",
                "M. Davies et al., Loihi: a neuromorphic manycore processor with on-chip learning, IEEE Micro 38:82, "
                "2018, Table 2: synaptic operation at least 23.6 pJ, update of an active neuron 81 pJ", 23.6,
                neuron_update=81.0, note="from simulations before the chip was made; a minimum"),
    EnergyTable("truenorth", "TrueNorth, 28 nm",
                "P. Merolla et al., A million spiking-neuron integrated circuit with a scalable communication network "
                "and interface, Science 345:668, 2014: 26 pJ per synaptic event", 26.0, neuron_update=0.0,
                note="power of the whole chip over its events at one operating point; neuron updates, communication "
                "and leakage are in it"),
    EnergyTable("spinnaker", "SpiNNaker, 130 nm",
                "S. Höppner et al., Dynamic power management for neuromorphic many-core systems, arXiv 1903.08941, "
                "2019, as cited by KerasSpiking: 13.3 nJ per synaptic event, 26 nJ per neuron update", 13_300.0,
                neuron_update=26_000.0),
)  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """The estimated energy of one answer by one table, in joules; None if the table has no figure; `why` says which.

    `compute` prices every operation of the dense count, `compute_nonzero` leaves out products whose input is zero.
    `memory_least` and `memory_most` are the traffic with perfect and without reuse of weights; both are 0 if memory
    access is part of the table's other figures.
    """

    table: str
    compute: float | None
    compute_nonzero: float | None
    memory_least: float | None
    memory_most: float | None
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the estimate as plain data for JSON, in joules."""
        return {
            "compute_j": self.compute,
            "compute_nonzero_j": self.compute_nonzero,
            "memory_least_j": self.memory_least,
            "memory_most_j": self.memory_most,
            "why": self.why,
        }


def neuron_steps(bill: Bill) -> float:
    """Return how many times a neuron is updated: neurons times time steps."""
    return max((bill.operations.get(kind, 0) for kind in ("threshold", "integrate", "leak")), default=0)


def traffic(bill: Bill, element: int, value_bytes: float | None = None) -> tuple[float, float]:
    """Return the bytes that one answer moves at least and at most, by `TRAFFIC_RULE`.

    Args:
        bill: the model's bill.
        element: bytes per value in the model.
        value_bytes: bytes per value on the hardware; None takes the model's own.
    """
    scale = 1.0 if value_bytes is None else value_bytes / element
    uses = (bill.operations.get("mac", 0) + bill.operations.get("ac", 0)) * element
    spikes = sum(row.spikes or 0 for row in bill.rows) / 8
    rest = scale * 2 * (bill.memory["activations"] + bill.steps * bill.memory["potentials"]) + 2 * spikes
    return scale * min(bill.weight_bytes, uses) + rest, scale * uses + rest


def estimate(bill: Bill, table: EnergyTable, element: int = 4) -> Estimate:
    """Return the estimated energy of one answer on the hardware of `table`; `element` is the model's bytes per value.

    >>> import torch
    >>> from threegen.cost.count import count
    >>> found = estimate(count(torch.nn.Linear(2, 3, bias=False), torch.ones(1, 2)), ENERGY_TABLES[0])
    >>> round(found.compute * 1e12, 6)  # 6 multiplications and 6 additions: 6 * (3.7 + 0.9) pJ
    27.6
    """
    made = bill.operations
    skipped = made.get("mac", 0) - made.get("mac_nonzero", made.get("mac", 0))
    products = made.get("mac", 0) + made.get("mul", 0)
    if products and table.multiply is None:
        why = "no estimate, as the source has no figure for multiplications"
        return Estimate(table.name, None, None, None, None, why)
    multiply = table.multiply or 0.0
    sums = sum(made.get(kind, 0) for kind in ("mac", "ac", "add", "compare"))
    dense = products * multiply + sums * table.accumulate
    if table.neuron_update is None:
        dense += made.get("leak", 0) * multiply
        dense += sum(made.get(kind, 0) for kind in ("integrate", "threshold", "reset")) * table.accumulate
    else:
        dense += neuron_steps(bill) * table.neuron_update
    nonzero = dense - skipped * (multiply + table.accumulate)
    least, most = (0.0, 0.0) if table.byte is None else traffic(bill, element, table.value_bytes)
    price = (table.byte or 0.0) * 1e-12
    return Estimate(table.name, dense * 1e-12, nonzero * 1e-12, least * price, most * price)
