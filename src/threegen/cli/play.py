"""The command `threegen play`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from threegen.cli.printing import app, complain


@app.command()
def play(
    port: Annotated[int, typer.Option(help="Port of the page; if it is taken, the next free one is used.")] = 8310,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on; with any other than 127.0.0.1, other machines can reach the page."
        ),
    ] = "127.0.0.1",
    models: Annotated[str | None, typer.Option(help="Names of models that ship, with commas; all by default.")] = None,
    run: Annotated[list[Path] | None, typer.Option(help="A run of your own to add; repeatable.")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Open the live page: draw a digit, and seventy years of neural networks answer side by side."""
    from threegen.errors import MissingExtraError

    try:
        from threegen.web.start import play as serve
    except ImportError as problem:
        if (problem.name or "").partition(".")[0] in ("starlette", "uvicorn"):
            raise MissingExtraError.of("threegen play", problem.name or "starlette", "web") from problem
        raise
    names = [one.strip() for one in models.split(",") if one.strip()] if models else []

    def load() -> object:
        from threegen.web.server import load_page

        return load_page(names, run or [])

    serve(load, port=port, host=host, open_browser=not no_open, tell=complain)
