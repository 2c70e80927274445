"""Search for learning rate and weight decay: a random search with textbook ranges, and one for a spiking net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.runs.search import search
from threegen.studies.drawing import panels, save
from threegen.studies.study import Settings, Study
from threegen.training.search.results import SearchResult
from threegen.training.search.trials import Trial

SPACE = {"lr": "log:1e-6:1e-2", "weight_decay": "log:1e-8:1e-4"}
SPIKING = {"threshold": "linear:0.2:1.5", "decay": "linear:0:0.9", "steps": "choice:4,8,12"}
IMAGES, JUDGES, SHOWN = 500, 100, 20


def dense(settings: Settings, data: Dataset) -> SearchResult:
    """Search the textbook's net and ranges: 784-[100]x6-10, SGD, 400 training and 100 validation images."""
    return search(
        "mlp",
        SPACE,
        data,
        trials=10 if settings.quick else 100,
        epochs=5 if settings.quick else 50,
        batch_size=100,
        options={"hidden": [100] * 6, "init": "he"},
        holdout=JUDGES,
        rounds=2,
        seed=settings.seed,
        progress=settings.progress,
    )


def spiking(settings: Settings, data: Dataset) -> SearchResult:
    """Search threshold, decay and number of time steps of a spiking net of 100 hidden neurons."""
    return search(
        "spiking-mlp",
        SPIKING,
        data,
        trials=3 if settings.quick else 30,
        epochs=2 if settings.quick else 10,
        batch_size=50,
        optimizer="adam",
        options={"hidden": [100]},
        holdout=JUDGES,
        seed=settings.seed,
        progress=settings.progress,
    )


def measure(settings: Settings) -> dict[str, Any]:
    """Run both searches; every accuracy is measured on 100 validation images."""
    data = load_data("mnist").train.take(IMAGES)
    return {name: described(run(settings, data)) for name, run in (("dense", dense), ("spiking", spiking))}


def described(result: SearchResult) -> dict[str, Any]:
    """Return the results: the best of each round with their curves, notes, importance."""
    rounds: list[dict[str, Any]] = []
    for number, space in enumerate(result.spaces):
        trials = [trial for trial in result.trials if trial.round == number][:SHOWN]
        rounds.append(
            {
                "ranges": {name: str(range_) for name, range_ in space.items()},
                "best": [one(result, trial) for trial in trials],
            }
        )
    best = one(result, result.best)
    return {
        "best accuracy": best["accuracy"],
        "interval low": best["low"],
        "interval high": best["high"],
        "best accuracy of each round": [found["best"][0]["accuracy"] for found in rounds],
        "trials": len(result.trials),
        "cannot be told apart": result.indistinguishable(),
        "importance": result.importance(),
        "importance by Optuna": result.optuna_importance(),
        "notes": result.notes(),
        "rounds": rounds,
    }


def one(result: SearchResult, trial: Trial) -> dict[str, Any]:
    """Return one trial as plain values."""
    low, high = result.interval(trial)
    return {
        **trial.settings,
        "accuracy": trial.accuracy,
        "low": low,
        "high": high,
        "state": trial.state,
        "training": [round(value, 4) for value in trial.training_accuracy],
        "validation": [round(value, 4) for value in trial.validation_accuracy],
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the 20 best of each round as the textbook does: validation solid, training dashed."""
    files: list[str] = []
    for name in ("dense", "spiking"):
        for number, found in enumerate(figures[name]["rounds"], 1):
            files += _page(found["best"], folder, f"{name}-round-{number}")
    return files


def _page(best: list[Mapping[str, Any]], folder: Path, name: str) -> list[str]:
    columns = min(5, len(best))
    rows = -(-len(best) // columns)
    figure, axes = panels(rows, columns, width=2.4, height=1.9, many=True)
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.42 / (1.9 * rows), top=1 - 0.3 / (1.9 * rows), hspace=0.3)
    for number, axis in enumerate(axes):
        if number >= len(best):
            axis.set_axis_off()
            continue
        trial = best[number]
        axis.plot(range(1, len(trial["validation"]) + 1), trial["validation"], label="validation")
        if trial["training"]:
            axis.plot(range(1, len(trial["training"]) + 1), trial["training"], "--", label="training")
        axis.set_ylim(0, 1)
        axis.set_xlabel("epoch", fontsize=8)
        axis.set_ylabel("accuracy", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.label_outer()
        axis.set_title(f"best-{number + 1}: {trial['accuracy']:.2f}", fontsize=8)
    axes[0].legend(fontsize=7)
    return save(figure, folder, name)


STUDY = Study(
    name="hyper-parameters",
    title="Searching for a learning rate and a weight decay",
    about="A hundred rates and decays drawn at random, then the narrowed ranges: the first few learn at once, the rest "
    "hardly at all, and a hundred validation images cannot distinguish the best twenty. For a spiking net: threshold, "
    "decay and time steps.",
    source="Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012); the ranges, the net "
    "and the pictures are those of textbooks on deep learning from scratch",
    measure=measure,
    draw=draw,
)
