"""The command that compares runs: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from threegen.cli.printing import Json, Module, Seed, app, print_json, print_text


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Folders of runs; NAME=RUN names one.")],
    out: Annotated[Path | None, typer.Option(help="Write the card as one HTML page to this file.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Other data than the runs were trained on.")] = None,
    reference: Annotated[
        str | None, typer.Option(help="The run that ratios refer to; by default the first without spikes.")
    ] = None,
    counted: Annotated[int, typer.Option(help="Average memory and operations over this many test examples.")] = 200,
    seed: Seed = 0,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Compare runs on the same test examples: accuracy, memory, operations, and a verdict in words."""
    from threegen.report.comparing import compare_runs

    card = compare_runs(runs, data=data, reference=reference, counted=counted, seed=seed, module=module)
    if out is not None:
        page = card.save(out)
    if as_json:
        print_json(card.as_dict())
        return
    print_text(repr(card))
    if out is not None:
        print_text(f"\npage: {page}")
