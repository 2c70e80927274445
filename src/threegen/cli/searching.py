"""The command that searches for settings: search."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from threegen.cli.printing import DataName, Json, Quiet, Seed, app, parse_settings, print_json, print_text
from threegen.errors import ConfigError


@app.command()
def search(
    model: str,
    space: Annotated[list[str], typer.Option(help="setting=range: lr=log:1e-6:1e-2; once for each setting.")],
    data: DataName = "mnist",
    trials: Annotated[int, typer.Option(help="Networks per round.")] = 100,
    epochs: Annotated[int, typer.Option(help="Epochs per network.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Examples per update.")] = 100,
    optimizer: Annotated[str, typer.Option(help="sgd, momentum, rmsprop or adam.")] = "sgd",
    settings: Annotated[list[str] | None, typer.Option("--set", help="option=value of the model, for all.")] = None,
    examples: Annotated[int | None, typer.Option(help="Use only the first N training examples.")] = None,
    holdout: Annotated[int | None, typer.Option(help="Training examples held out for validation; a fifth.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds; each after the first searches around the best.")] = 1,
    halving: Annotated[bool, typer.Option("--halving", help="Discard the worse half at each rung.")] = False,
    sampler: Annotated[str | None, typer.Option(help="Optuna's: random, tpe, cmaes.")] = None,
    pruner: Annotated[str | None, typer.Option(help="Optuna's: none, median, halving, hyperband.")] = None,
    storage: Annotated[str | None, typer.Option(help="journal:PATH or a data base's URL, to share a search.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes for models that cannot be stacked; one per core.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The search's folder.")] = Path("runs/search"),
    resume: Annotated[bool, typer.Option("--resume", help="Continue a search that was stopped.")] = False,
    train_best: Annotated[
        bool, typer.Option("--train-best", help="Train the winner again as an ordinary run.")
    ] = False,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Search for the best settings of a model on held-out training examples; all networks of a round train at once."""
    from threegen.runs.search_folder import search_into

    ranges = {name: str(value) for name, value in _ranges(space).items()}
    given: dict[str, Any] = {
        "trials": trials, "epochs": epochs, "batch_size": batch_size, "optimizer": optimizer, "holdout": holdout,
        "options": parse_settings(settings), "rounds": rounds, "halving": halving, "sampler": sampler,
        "pruner": pruner, "storage": storage, "workers": workers, "seed": seed, "resume": resume,
        "progress": not quiet,
    }  # fmt: skip
    result, files = search_into(out, model, ranges, data, examples=examples, train_best=train_best, **given)
    if as_json:
        print_json({**result.as_dict(), "files": files})
        return
    print_text(str(result))
    print_text(f"files: {', '.join(files)}")


def _ranges(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"--space takes setting=range, such as lr=log:1e-6:1e-2, got {text!r}")
        found[name.strip().replace("-", "_")] = value.strip()
    return found
