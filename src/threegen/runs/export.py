"""A run as a file for other programs: NIR if it spikes, ONNX if it does not."""

from __future__ import annotations

from pathlib import Path

import torch

from threegen.checks import require_number
from threegen.conversion.nir_file import DT
from threegen.conversion.nir_write import NirFile, export_nir
from threegen.conversion.onnx import OnnxFile, export_onnx
from threegen.errors import ConfigError
from threegen.runs.run import OwnModel, open_run

SUFFIXES = (".nir", ".onnx")


def export_run(
    run: str | Path, file: str | Path, *, dt: float | None = None, module: OwnModel | None = None
) -> NirFile | OnnxFile:
    """Write a run's network as a `.nir` or an `.onnx` file; return what was written.

    `dt` is the time step of a NIR file in seconds; `module` is as for `open_run`. Raises `ConfigError` for another kind
    of file and for networks that the file cannot hold, and what `open_run`, `export_nir` and `export_onnx` raise.
    """
    path = Path(file)
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path} should end with .nir (spiking nets) or .onnx (the others)")
    opened = open_run(run, model=module)
    if path.suffix.lower() == ".nir":
        return export_nir(opened.model, path, dt=DT if dt is None else require_number("dt", dt, above=0.0))
    if dt is not None:
        raise ConfigError("ONNX files have no time step; leave --dt out")
    shape = opened.facts.get("shape")
    return export_onnx(opened.model, path, example=torch.zeros(1, *shape) if shape else None)
