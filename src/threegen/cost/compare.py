"""Compare networks of any generation on the same examples: accuracy, memory, compute, energy estimates.

Accuracy with its 95 % Wilson interval and McNemar's exact test for every pair; memory and operations by kind as
`count` finds them, under several ways of counting; a verdict in words, which may be that the conventional network is
cheaper. The comparison of memory and compute follows Deng et al., "Rethinking the performance comparison between SNNs
and ANNs", Neural Networks 121:294 (2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import did_you_mean, require_labels, require_whole
from threegen.cost.bill import Bill, Row
from threegen.cost.count import count
from threegen.cost.energy_tables import ENERGY_TABLES, ESTIMATE_RULE, TRAFFIC_RULE, EnergyTable, Estimate, estimate
from threegen.cost.mcnemar import Pair, compare_pairs
from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, ShapeError, ThreegenError
from threegen.randomness import forked_randomness, make_generator
from threegen.tracing.inputs import answered
from threegen.training.evaluate import Evaluation, evaluate, evaluation_mode, require_classifier, require_labelled
from threegen.training.feed import walk_once

# The ways of counting under which a network may be cheaper than another; a verdict needs all of them.
COUNTS = {
    "layers": "additions and multiplications of the layers",
    "layers_nonzero": "the same, products with a zero input skipped",
    "synaptic": "synaptic operations: multiply-accumulates and accumulates, one each",
    "synaptic_nonzero": "the same, products with a zero input skipped",
    "events": "synaptic operations, each pooled spike sent separately",
    "events_nonzero": "the same, products with a zero input skipped",
    "all": "all operations: layers, neuron updates, encoder, comparisons, function values",
    "all_nonzero": "the same, products with a zero input skipped",
}


@dataclass(frozen=True, repr=False)
class Compared:
    """One model of a comparison: its evaluation, its bill, which examples it classified correctly `[N]`, its energy
    estimates.

    `kind` is the name of its class, `element` the bytes per value of its parameters.
    """

    name: str
    kind: str
    evaluation: Evaluation
    bill: Bill
    right: Tensor
    element: int
    energy: tuple[Estimate, ...] = ()

    def __repr__(self) -> str:
        return f"Compared({self.name!r}, {self.kind}, {self.evaluation})"

    @property
    def counts(self) -> dict[str, float]:
        """The operations of one answer, counted in each of the ways of `COUNTS`."""
        made, compute = self.bill.operations, self.bill.compute
        skipped = made.get("mac", 0) - made.get("mac_nonzero", made.get("mac", 0))
        synaptic = made.get("mac", 0) + made.get("ac", 0)
        events = sum(row.operations["ac_each"] - row.operations["mac"] for row in self._pooled)
        unskipped = sum(row.operations["mac"] - row.operations["mac_nonzero"] for row in self._pooled)
        beside = sum(compute[kind] for kind in ("neuron_updates", "encoder", "comparisons", "functions"))
        return {
            "layers": compute["total"],
            "layers_nonzero": compute["total_skipping_zeros"],
            "synaptic": synaptic,
            "synaptic_nonzero": synaptic - skipped,
            "events": synaptic + events,
            "events_nonzero": synaptic + events - skipped + unskipped,
            "all": compute["total"] + beside,
            "all_nonzero": compute["total_skipping_zeros"] + beside,
        }

    @property
    def _pooled(self) -> list[Row]:
        """The layers after pooled or summed spikes, for which there are two ways of counting."""
        return [row for row in self.bill.rows if "ac_each" in row.operations]

    @property
    def encoder_share(self) -> float:
        """The share of the encoder in all operations, 0..1."""
        return self.bill.compute["encoder"] / self.counts["all"] if self.counts["all"] else 0.0

    @property
    def spikes(self) -> float:
        """Spikes per example that neurons send, those of the encoder not included."""
        return sum(row.spikes or 0 for row in self.bill.rows if row.kind != "encoder")

    @property
    def encoder_spikes(self) -> float:
        """Spikes per example that the encoder sends."""
        return sum(row.spikes or 0 for row in self.bill.rows if row.kind == "encoder")


@dataclass(frozen=True, repr=False)
class Comparison:
    """Several models on the same examples; ratios are to the model called `reference`.

    `data` describes the examples: `name`, `count` and, for a `Dataset`, its `sha256`. `counted` is the number of first
    examples over which the bills are averaged.
    """

    models: tuple[Compared, ...]
    pairs: tuple[Pair, ...]
    reference: str
    data: Mapping[str, Any]
    counted: int
    tables: tuple[EnergyTable, ...] = ENERGY_TABLES
    rules: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Compared:
        """Return the model called `name`; raises `ConfigError` for an unknown name."""
        for one in self.models:
            if one.name == name:
                return one
        names = [one.name for one in self.models]
        raise ConfigError(f"the comparison has no model {name!r}{did_you_mean(name, names)}; it has {', '.join(names)}")

    @property
    def counts(self) -> tuple[str, ...]:
        """The ways of counting that differ here: those of `COUNTS`, those of pooled spikes only if a model pools
        spikes."""
        pooled = any("ac_each" in one.bill.operations for one in self.models)
        return tuple(name for name in COUNTS if pooled or not name.startswith("events"))

    def pair(self, first: str, second: str) -> Pair:
        """Return the test of two models, in either order; raises `ConfigError` for an unknown name."""
        wanted = {self[first].name, self[second].name}
        for one in self.pairs:
            if {one.first, one.second} == wanted:
                return one
        raise ConfigError(f"{first!r} is the same model as {second!r}; a pair has two")


def compare_models(
    models: Mapping[str, nn.Module],
    data: Any,
    *,
    reference: str | None = None,
    counted: int = 200,
    batch_size: int = 1000,
    seed: int = 0,
    tables: Sequence[EnergyTable] = ENERGY_TABLES,
) -> Comparison:
    """Return the comparison of at least two classifiers on labelled `data`; `threegen.compare` explains the arguments.

    Raises `ConfigError` for fewer than two models, a model that does not classify or an unknown reference, `DataError`
    for data that are empty or have no labels, `ShapeError` for models with different numbers of classes or inputs.
    """
    require_whole("counted", counted)
    _require_models(models)
    source = _kept(data, batch_size)
    first = next(iter(walk_once(source, min(counted, batch_size))))
    inputs = _inputs(source, counted, first)
    targets = _targets(source)
    _require_same_classes(models, first, targets, seed)
    found = []
    for name, model in models.items():
        with _naming(name):
            evaluation = evaluate(model, source, batch_size=batch_size, seed=seed)
            bill = count(model, inputs.to(_device(model)), generator=make_generator(seed, "count"))
        element = max((one.element_size() for one in model.parameters()), default=4)
        found.append(
            Compared(
                name,
                type(model).__name__,
                evaluation,
                bill,
                evaluation.predictions == targets,
                element,
                tuple(estimate(bill, table, element) for table in tables),
            )
        )
    about: dict[str, Any] = {"name": getattr(source, "name", "data"), "count": len(targets)}
    if isinstance(source, Dataset):
        about["sha256"] = source.fingerprint()
    return Comparison(
        models=tuple(found),
        pairs=compare_pairs({one.name: one.right for one in found}),
        reference=_reference(found, reference),
        data=about,
        counted=len(inputs),
        tables=tuple(tables),
        rules={"counting": found[0].bill.rule, "traffic": TRAFFIC_RULE, "energy": ESTIMATE_RULE},
    )


def _require_models(models: object) -> None:
    if not isinstance(models, Mapping):
        raise ConfigError(
            f'compare takes models by name, such as {{"ann": net, "snn": spiking}}, got {type(models).__name__}'
        )
    if len(models) < 2:
        raise ConfigError(
            f"compare needs at least two models, got {len(models)}; use tg.evaluate and tg.count for a single one"
        )
    for name, model in models.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"the name of a model must be a text that is not empty, got {name!r}")
        if not isinstance(model, nn.Module):
            raise ConfigError(f"{name} must be a torch.nn.Module, got {type(model).__name__}")
        with _naming(name):
            require_classifier(model)


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the model in every error of this package."""
    try:
        yield
    except ThreegenError as problem:
        raise type(problem)(f"{name}: {problem}") from problem


def _kept(data: Any, batch_size: int) -> Any:
    """Return data that all models get in the same order: a `Dataset`, or the batches of one pass in a list."""
    source = require_labelled("data", data)
    if isinstance(source, Dataset):
        return source
    batches = list(walk_once(source, batch_size))
    if not batches or not sum(len(one) for one in batches):
        raise DataError("the data are empty; give at least one example")
    if any(one.targets is None for one in batches):
        raise DataError("the data have no labels; compare needs them; give batches (inputs, targets)")
    return batches


def _targets(source: Any) -> Tensor:
    if isinstance(source, Dataset):
        assert source.targets is not None  # noqa: S101  # require_labelled has looked
        return source.targets.cpu()
    return torch.cat([batch.targets for batch in source]).cpu()


def _inputs(source: Any, counted: int, first: Batch) -> Tensor:
    """Return the first `counted` inputs."""
    if isinstance(source, Dataset):
        return source.take(counted).inputs
    parts, number = [], 0
    for batch in source:
        parts.append(batch.inputs)
        number += len(batch)
        if number >= counted:
            break
    return torch.cat(parts)[:counted]


def _device(model: nn.Module) -> torch.device:
    return next((one.device for one in model.parameters()), torch.device("cpu"))


def _require_same_classes(models: Mapping[str, nn.Module], batch: Batch, targets: Tensor, seed: int) -> None:
    """Run each model on two examples, so that incomparable models are rejected before the work begins."""
    classes = {}
    for name, model in models.items():
        x = batch.inputs[:2].to(_device(model))
        with _naming(name), evaluation_mode(model), forked_randomness(seed, "compare"):
            scores = answered("compare", model, x, make_generator(seed, "compare"))
            if not isinstance(scores, Tensor) or scores.dim() != 2 or len(scores) != len(x) or scores.shape[1] < 2:
                got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
                raise ShapeError(
                    f"compare needs scores [B, classes] of two classes or more, {type(model).__name__} returned {got}"
                )
        classes[name] = scores.shape[1]
    if len(set(classes.values())) > 1:
        said = ", ".join(f"{name} {number}" for name, number in classes.items())
        raise ShapeError(
            f"the models return scores of different numbers of classes ({said}); compare models of the same classes"
        )
    require_labels(targets, next(iter(classes.values())))


def _reference(models: Sequence[Compared], wanted: str | None) -> str:
    """Return the model that the others are compared with: the named one, else the first without spikes."""
    names = [one.name for one in models]
    if wanted is None:
        return next((one.name for one in models if not one.bill.spiking), names[0])
    if wanted not in names:
        raise ConfigError(f"reference is {wanted!r}{did_you_mean(wanted, names)}; choose {', '.join(names)}")
    return wanted
