"""What `threegen train` asks for, turned into a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from threegen.checks import require_whole
from threegen.datasets.load import data_source, load_data
from threegen.errors import ConfigError
from threegen.runs.run import Run, read_facts, train_run


@dataclass(frozen=True)
class TrainRequest:
    """The command line of one training run; None is what the user left out."""

    model: str | None = None
    data: str = "mnist"
    epochs: int | None = None
    mode: str = "full"
    seed: int | None = None
    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    holdout: int = 0
    checkpoint_every: int | None = None
    device: str | None = None
    progress: bool = False


def train_from_request(request: TrainRequest) -> Run:
    """Train what the request names; a resumed run takes from its folder what the request leaves out."""
    require_whole("holdout", request.holdout, least=0)
    name, data_name, seed = request.model, request.data, request.seed
    if request.resume:
        if request.out is None:
            raise ConfigError("--resume needs --out, the folder of the run to go on with")
        saved = read_facts(request.out)
        name = name or saved["name"]
        data_name = saved["data"]
        seed = saved["seed"] if seed is None else seed
        request = replace(request, holdout=request.holdout or saved["held_out"])
    if name is None:
        raise ConfigError("no model is named; `threegen models` lists them")
    data = load_data(data_name)
    split = data.holdout(request.holdout, seed=0) if request.holdout else None
    return train_run(
        name,
        data,
        mode=request.mode,
        epochs=request.epochs,
        seed=seed or 0,
        out=request.out or Path("runs") / name,
        source=data_source(data_name),
        train=None if split is None else split.train,
        validation=None if split is None else split.validation,
        resume=request.resume,
        overwrite=request.overwrite,
        device=request.device,
        progress=request.progress,
        checkpoint_every=request.checkpoint_every,
    )
