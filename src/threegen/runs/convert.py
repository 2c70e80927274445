"""Convert a run into a spiking run: `threegen convert RUN`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from threegen.conversion.convert import convert
from threegen.datasets.load import load_data
from threegen.errors import ConfigError
from threegen.runs.converted import converted_entry, converted_facts
from threegen.runs.record import Facts, require_free, write_record
from threegen.runs.run import WEIGHTS, Run, open_run
from threegen.training.log import TrainingLog
from threegen.training.persistence.checkpoint import tensor_hashes, versions, write_tensors
from threegen.training.persistence.files import make_folder, write_whole
from threegen.training.persistence.lock import locked


def convert_run(
    path: str | Path,
    *,
    out: str | Path,
    steps: int = 4,
    overwrite: bool = False,
    model: Any = None,
    data: str | Path | None = None,
    **options: Any,
) -> Run:
    """Convert the network of a run with its training data, and save the spiking net as a run of its own.

    Args:
        path: the run's folder.
        out: the folder of the new run; `overwrite` discards a run that it holds.
        steps: the number of time steps T.
        model: as in `open_run`, for a module of the user's own.
        data: calibrate with other data than the run was trained on.
        options: the other arguments of `convert`, by name.

    Raises what `open_run` and `convert` raise, and `ConfigError` if `out` holds a run already.
    """
    run = open_run(path, model=model)
    folder = Path(out)
    require_free(folder, overwrite)
    if Path(path).resolve() == folder.resolve():
        raise ConfigError(f"{folder} is the run to be converted; choose another --out")
    source = run.load_data() if data is None else load_data(data)
    net = convert(run.model, source.train, steps=steps, **options)
    facts: Facts = {
        **{name: run.facts[name] for name in run.facts if name not in ("digest", "sha256", "figures", "converted")},
        "versions": versions(),
        "finished": True,
        "figures": {},
        **converted_facts(net, _command(path, steps, options, folder, data), str(path)),
        "sha256": tensor_hashes(net.state_dict()),
    }
    make_folder(folder)
    with locked(folder):
        require_free(folder, overwrite)
        write_tensors(folder / WEIGHTS, net.state_dict())
        write_whole(folder / "epochs.jsonl", "")
        write_record(folder, facts)
    return Run(folder, converted_entry(run.entry), net, TrainingLog(), facts)


def _command(path: str | Path, steps: int, options: Mapping[str, Any], out: Path, data: str | Path | None) -> str:
    words = ["threegen", "convert", str(path), "--steps", str(steps)]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else json.dumps(value)]
    words += ["--data", str(data)] if data is not None else []
    return shlex.join([*words, "--out", str(out)])
