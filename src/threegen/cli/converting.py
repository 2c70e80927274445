"""The command that makes spiking copies: convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from threegen.cli.printing import Json, Module, Seed, app, print_json, print_text


@app.command()
def convert(
    run: Annotated[Path, typer.Argument(help="The folder of a run, a network without spikes.")],
    steps: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="T, the time steps that the spiking net is made for.")
    ] = 4,
    method: Annotated[
        str, typer.Option(help="grid (the default), percentile, max, model, balance or least-squares.")
    ] = "grid",
    readout: Annotated[str, typer.Option(help="potential (summed input of the last layer) or rate.")] = "potential",
    input: Annotated[str, typer.Option(help="analog, bernoulli or poisson.")] = "analog",
    reset: Annotated[str, typer.Option(help="subtract the threshold, or to zero.")] = "subtract",
    initial: Annotated[str, typer.Option(help="Potentials start at half a threshold, or zero.")] = "half",
    compensate: Annotated[
        list[str] | None, typer.Option(help="threshold, bias or potential, with a textbook method; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The new run's folder; RUN-T4 by default.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Discard a run that the folder holds.")] = False,
    data: Annotated[str | None, typer.Option("--data", help="Calibrate with other data than the run's.")] = None,
    seed: Seed = 0,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Turn the network of a run into a spiking net, and say what that costs in accuracy, layer by layer."""
    from threegen.runs.convert import convert_run

    options: dict[str, Any] = {"method": method, "readout": readout, "input": input, "reset": reset}
    options |= {"initial": initial, "seed": seed}
    if compensate:
        options["compensate"] = compensate
    folder = out if out is not None else Path(f"{run if run.name else run.resolve()}-T{steps}")
    made = convert_run(run, out=folder, steps=steps, overwrite=overwrite, model=module, data=data, **options)
    report = made.model.report
    if as_json:
        print_json({"run": str(folder), "report": report.as_dict()})  # type: ignore[union-attr,operator]
        return
    print_text(str(report))
    print_text(f"\nrun: {folder}    next: threegen compare {run} {folder}")
