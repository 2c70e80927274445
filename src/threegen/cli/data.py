"""Commands about data sets: list, get, import, check, preview."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from threegen.cli.printing import (
    Json,
    Quiet,
    Root,
    data_app,
    print_json,
    print_table,
    print_text,
)


@data_app.command("list")
def data_list(root: Root = None, as_json: Json = False) -> None:
    """List the data sets that are known by name and whether they are on this machine."""
    from threegen.datasets.manage import list_data

    rows = [row.as_dict() for row in list_data(root=root)]
    if as_json:
        print_json(rows)
        return
    shown = ("name", "state", "train", "test", "shape", "title")
    print_table([{name: row[name] for name in shown} for row in rows])
    for row in rows:
        if row["advice"]:
            print_text(f"{row['name']}: {row['advice']}")


@data_app.command("get")
def data_get(name: str, root: Root = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """Download a data set, verify it and move it into place: the only command that touches the network."""
    from threegen.datasets.download import get_data

    folder = get_data(name, root=root, progress=not quiet)
    print_json({"name": name, "folder": str(folder)}) if as_json else print_text(f"{name}: {folder}")


@data_app.command("import")
def data_import(
    name: str,
    path: Annotated[list[Path], typer.Argument(help="Files, a folder or an archive that holds the data set.")],
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Import a data set that you already have; it is verified like a download."""
    from threegen.datasets.download import import_data

    folder = import_data(name, path, root=root)
    print_json({"name": name, "folder": str(folder)}) if as_json else print_text(f"{name}: {folder}")


@data_app.command("check")
def data_check(name: str, root: Root = None, as_json: Json = False) -> None:
    """Read every file of a data set again and check it: sums, counts, labels, balance of the classes."""
    from threegen.datasets.manage import check_data

    found = check_data(name, root=root)
    print_json(found.as_dict()) if as_json else print_text(str(found))
    if not found.ok:
        raise typer.Exit(2)


@data_app.command("preview")
def data_preview(
    name: Annotated[str, typer.Argument(help="A known name, a table or a folder.")] = "mnist",
    out: Annotated[Path | None, typer.Option(help="The .png file; NAME-preview.png by default.")] = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Draw a hundred examples of a data set into a PNG file; recordings also give an animated GIF."""
    from threegen.datasets.manage import preview_data

    picture = preview_data(name, out, root=root, split=split)
    print_json({"picture": str(picture)}) if as_json else print_text(f"picture: {picture}")
