"""The command that exports runs for other programs: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from threegen.cli.printing import Json, Module, app, print_json, print_text


@app.command()
def export(
    run: Path,
    file: Annotated[Path, typer.Argument(help="FILE.nir for a spiking net, FILE.onnx for another one.")],
    dt: Annotated[float | None, typer.Option(help="NIR: the length of a time step in seconds; 1e-4.")] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Write a run as a NIR or ONNX file, then run the file to check that it computes the same."""
    from threegen.runs.export import export_run

    written = export_run(run, file, dt=dt, module=module)
    print_json(written.as_dict()) if as_json else print_text(str(written))
