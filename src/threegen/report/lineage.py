"""The lineage: every generation trained on the same images by the rule of its paper, and measured in the same way."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy
import torch

from threegen.cost.bill import Bill
from threegen.cost.count import count
from threegen.datasets.dataset import Data
from threegen.errors import ConfigError
from threegen.registry.entry import Entry, find_entry, lineage_entries
from threegen.report.insides import collect_explanations, collect_insides
from threegen.report.results import HistoryResult, Insides, ModelResult
from threegen.rules.perceptron import PerceptronRule
from threegen.runs.run import Run
from threegen.runs.train import train_run
from threegen.training.evaluate import Evaluation, evaluate

# The number of test images over which costs are averaged: spikes differ between images, everything else does not.
BILLED = 200


def choose_entries(only: Sequence[str] | None) -> list[Entry]:
    """Return the entries to train: the whole lineage, or those named; raises `ConfigError` for an unknown name."""
    if only is None:
        return lineage_entries()
    if not only:
        raise ConfigError("no model is named; leave the choice out to train the whole lineage")
    return [find_entry(name) for name in only]


def train_lineage(
    data: Data,
    *,
    mode: str = "quick",
    seed: int = 0,
    out: str | Path | None = None,
    only: Sequence[str] | None = None,
    device: str | None = None,
    progress: bool = False,
    source: str = "",
    command: str = "",
    created: str = "",
    announce: Callable[[ModelResult], None] = lambda result: None,
) -> HistoryResult:
    """Train each model of the lineage on all of `data.train`, read `data.test` once, and return the results.

    Each model's run goes to `out/NAME`. `announce` is called with each result as it arrives. Raises what
    `train_run` raises; models that are already trained stay in their folders.
    """
    begun = time.perf_counter()
    results = []
    for entry in choose_entries(only):
        folder = None if out is None else Path(out) / entry.name
        run = train_run(
            entry,
            data,
            mode=mode,
            seed=seed,
            out=folder,
            source=source,
            overwrite=True,
            device=device,
            progress=progress,
        )
        result = measure_run(run, data)
        announce(result)
        results.append(result)
    return gather(results, data, mode=mode, seed=seed, command=command, created=created, begun=begun)


def measure_run(run: Run, data: Data) -> ModelResult:
    """Evaluate a run on the test split, count what an answer costs, and collect the pictures of its insides."""
    seed = int(run.facts["seed"])
    found = evaluate(run.model, data.test, seed=seed)
    bill = count(run.model, data.test.take(BILLED).inputs, generator=torch.Generator().manual_seed(seed))
    insides = collect_insides(
        run.model,
        found,
        data.test,
        seed=seed,
        curves=run.log.epochs,
        mistakes_of=int(run.facts["examples"]) if isinstance(run.entry.rule(), PerceptronRule) else 0,
        bill_rows=[row.as_dict() for row in bill.rows],
        counting_rule=bill.rule,
        explanations=collect_explanations(run.model, found, data.test, seed=seed),
    )
    return _result(run, found, bill, insides)


def gather(
    results: Sequence[ModelResult],
    data: Data,
    *,
    mode: str,
    seed: int,
    command: str,
    created: str,
    begun: float,
) -> HistoryResult:
    """Combine the results of several models with the facts that they share; `begun` is a `time.perf_counter()`."""
    return HistoryResult(
        models=tuple(results),
        data={
            "name": data.name,
            "train": len(data.train),
            "test": len(data.test),
            "sha256": data.train.fingerprint(),
            "classes": list(data.classes),
        },
        mode=mode,
        seed=seed,
        versions={
            "threegen": version("threegen"),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        threads=torch.get_num_threads(),
        created=created,
        command=command,
        seconds=time.perf_counter() - begun,
    )


def _result(run: Run, found: Evaluation, bill: Bill, insides: Insides) -> ModelResult:
    entry, facts = run.entry, run.facts
    return ModelResult(
        name=entry.name,
        title=entry.title,
        generation=entry.generation,
        year=entry.year,
        paper=entry.paper,
        rule=entry.rule_name,
        accuracy=found.accuracy,
        interval=found.interval,
        correct=found.correct,
        count=found.count,
        parameters=sum(p.numel() for p in run.model.parameters()),
        memory=bill.memory,
        operations=bill.operations,
        compute=bill.compute,
        seconds=run.log.seconds,
        epochs=len(run.log.epochs),
        seed=facts["seed"],
        command=run.command,
        settings=run.plan,
        about=entry.about,
        insides=insides,
    )
