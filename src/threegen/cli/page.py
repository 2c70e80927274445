"""The command that writes a page without a server: export-page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from threegen.cli.printing import Json, app, print_json, print_text


@app.command("export-page")
def export_page(
    file: Annotated[Path, typer.Argument(help="The HTML file to write.")],
    models: Annotated[
        str | None,
        typer.Option(help="Names of models whose weights ship, or folders of runs, with commas between them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page in which networks answer a drawing without a server, also from a USB stick."""
    from threegen.web.export_page import NETWORKS
    from threegen.web.export_page import export_page as write_page

    names = NETWORKS if models is None else [name.strip() for name in models.split(",") if name.strip()]
    found = write_page(file, names)
    if as_json:
        print_json(found)
        return
    print_text(f"page: {found['file']} ({found['bytes'] / 1e6:.1f} MB; {', '.join(found['models'])})")
