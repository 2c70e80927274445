"""The results of one `threegen history`: one for each model, and all of them together.

`HistoryResult` is written to `results.json` and read back. What only the report draws (curves, mistakes, weights,
spikes) is in `insides` of each `ModelResult` and is not part of that file.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from threegen.checks import did_you_mean
from threegen.errors import DataError

Picture = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Mistake:
    """One wrong answer: `image [H, W]` in 0..1, the label, the answer, its confidence 0..1, its index in the data."""

    image: Picture
    truth: int
    answer: int
    confidence: float
    index: int


@dataclass(frozen=True, eq=False)
class Filters:
    """Weights into first-layer units as `pictures [n, h, w]`, one name per unit; `total` units are in the layer."""

    layer: str
    pictures: Picture
    names: tuple[str, ...]
    total: int


@dataclass(frozen=True, eq=False)
class LayerSpikes:
    """The spikes of one layer, `[T, N]` booleans; `labels` if each neuron has a name (the classes)."""

    name: str
    spikes: npt.NDArray[np.bool_]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Membrane:
    """One neuron's membrane potential `[T]` and its spikes `[T]`."""

    name: str
    potential: npt.NDArray[np.float32]
    spikes: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Raster:
    """The activity of a spiking net for one picture: `encoded [T, H, W]` is the input as spikes, None if it is
    analog."""

    image: Picture
    truth: int
    answer: int
    layers: tuple[LayerSpikes, ...]
    membranes: tuple[Membrane, ...] = ()
    threshold: float | None = None
    encoded: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class HeatMap:
    """One picture and the parts that the answer depends on: `image [H, W]` in 0..1, `heat [H, W]` the drop of the
    score."""

    image: Picture
    heat: Picture
    truth: int
    answer: int


@dataclass(frozen=True, eq=False)
class Explanations:
    """What a model looks for and where it looks: `wanted [K, H, W]`, one picture per class, and heat maps of
    `window`."""

    wanted: Picture
    heats: tuple[HeatMap, ...]
    window: int


@dataclass(frozen=True, eq=False)
class Insides:
    """The data that the report draws for one model.

    `curves`: one dict per epoch (`epoch, train_loss, seconds`, and `validation_accuracy` if there is one); `confusion
    [K, K]`: counts, rows are the truth; `bill_rows`: one dict per layer, columns in the order of the first;
    `counting_rule`: the rule by which costs were counted, in words.
    """

    curves: tuple[Mapping[str, Any], ...] = ()
    confusion: npt.NDArray[np.int64] | None = None
    mistakes: tuple[Mistake, ...] = ()
    filters: Filters | None = None
    raster: Raster | None = None
    explanations: Explanations | None = None
    bill_rows: tuple[Mapping[str, Any], ...] = ()
    counting_rule: str = ""


@dataclass(frozen=True)
class ModelResult:
    """One trained model: its name and paper, its accuracy, the cost of an answer, how to reproduce it.

    `accuracy` is a fraction 0..1 and `interval` its 95 % Wilson interval. For one sample, `memory` holds bytes by kind
    and their `total`, `operations` counts by kind, and `compute` their sums (see `Bill`). `seconds` is the training
    time; `about` says in one plain sentence what the model does. Raises `DataError` for an impossible figure.
    """

    name: str
    title: str
    generation: int
    year: int
    paper: str
    rule: str
    accuracy: float
    interval: tuple[float, float]
    correct: int
    count: int
    parameters: int
    memory: Mapping[str, float]
    operations: Mapping[str, float]
    seconds: float
    epochs: int
    seed: int
    command: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""
    note: str = ""
    compute: Mapping[str, float] = field(default_factory=dict)
    insides: Insides | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        low, high = self.interval
        if not 0.0 <= low <= self.accuracy <= high <= 1.0:
            raise DataError(
                f"{self.name}: accuracy {self.accuracy!r} with interval ({low!r}, {high!r}) must satisfy "
                "0 <= low <= accuracy <= high <= 1; give fractions, not per cent"
            )
        if self.generation not in (1, 2, 3):
            raise DataError(f"{self.name}: generation must be 1, 2 or 3, got {self.generation!r}")
        for what, numbers in (("memory", self.memory), ("operations", self.operations), ("compute", self.compute)):
            for kind, number in numbers.items():
                if not math.isfinite(number) or number < 0:
                    raise DataError(f"{self.name}: {what}[{kind!r}] must be finite and not negative, got {number!r}")

    def as_dict(self) -> dict[str, Any]:
        """Return the record of this model in `results.json`: everything but `insides`."""
        named = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self) if entry.name != "insides"}
        return {
            **named,
            "interval": list(self.interval),
            "memory": dict(self.memory),
            "operations": dict(self.operations),
            "settings": dict(self.settings),
            "compute": dict(self.compute),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ModelResult:
        """Return the model of an `as_dict` record. Raises `DataError` for a missing or an unknown field."""
        known = _known_fields(cls, record, skip=("insides",), where="a model of the results")
        return cls(**{**known, "interval": (float(record["interval"][0]), float(record["interval"][1]))})


@dataclass(frozen=True)
class HistoryResult:
    """All models of one run, and the settings that produced them.

    `data`: `name, train, test` (counts), `sha256` and, if the classes have names, `classes`; `mode`: "quick", "full" or
    another budget; `versions`: package -> version; `created`: the date, given by the caller; `seconds`: duration of the
    whole run.
    """

    models: tuple[ModelResult, ...]
    data: Mapping[str, Any]
    mode: str
    seed: int
    versions: Mapping[str, str]
    threads: int
    created: str
    command: str
    seconds: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty if the data have none."""
        return tuple(str(name) for name in self.data.get("classes", ()))

    def as_dict(self) -> dict[str, Any]:
        """Return what `results.json` holds."""
        rest = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return {
            **rest,
            "models": [model.as_dict() for model in self.models],
            "data": dict(self.data),
            "versions": dict(self.versions),
        }

    @classmethod
    def from_json(cls, text: str) -> HistoryResult:
        """Return the result that `results_json` wrote, without insides. Raises `DataError` for another text."""
        try:
            record = json.loads(text)
        except ValueError as problem:
            raise DataError(f"the results are not JSON ({problem}); run `threegen history` again") from problem
        if not isinstance(record, dict):
            raise DataError(f"the results must be a JSON object, got {type(record).__name__}")
        known = _known_fields(cls, record, skip=(), where="the results")
        return cls(**{**known, "models": tuple(ModelResult.from_dict(model) for model in record["models"])})


def results_json(history: HistoryResult) -> str:
    """Return the text of `results.json`: `{"models": [{"name": ...}, ...], ...}`, two-space indent, one final newline.

    Raises `DataError` if a figure is NaN or infinite, or a setting is not plain data.
    """
    try:
        return json.dumps(history.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as problem:
        raise DataError(f"the results cannot be written as JSON: {problem}") from problem


def _known_fields(cls: type, record: Mapping[str, Any], *, skip: Sequence[str], where: str) -> dict[str, Any]:
    """Return `record` if it has every field without a default and no unknown field; otherwise raise `DataError`."""
    fields = [entry for entry in dataclasses.fields(cls) if entry.name not in skip]
    names = [entry.name for entry in fields]
    for name in record:
        if name not in names:
            raise DataError(f"{where} has an unknown field {name!r}{did_you_mean(name, names)}")
    for entry in fields:
        optional = entry.default is not dataclasses.MISSING or entry.default_factory is not dataclasses.MISSING
        if entry.name not in record and not optional:
            raise DataError(f"{where} lacks the field {entry.name!r}; run `threegen history` again")
    return dict(record)
