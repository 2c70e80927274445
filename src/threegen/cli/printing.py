"""What all commands share: the two applications, the common options, and how results are printed."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from threegen import __version__
from threegen.errors import ConfigError


class StoppedError(Exception):
    """Carries Ctrl-C through typer, which would otherwise exit by itself."""

    def __init__(self, stop: KeyboardInterrupt) -> None:
        super().__init__(str(stop))
        self.stop = stop


class Commands(TyperGroup):
    """The group of commands; Ctrl-C inside a command reaches the caller."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise StoppedError(stop) from stop


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Three generations of neural networks: train each by the rule of its paper, see what each inference costs.",
)


def _print_version(asked: bool) -> None:
    if asked:
        print_text(f"threegen {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Define the options that come before the name of a command."""


data_app = typer.Typer(no_args_is_help=True, help="Data sets: what there is, fetch, import, check, preview.")
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
LARGEST_SEED = 2**63 - 1  # what a generator of torch takes
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Drives weights, order of the data and every random draw.")
]
DataName = Annotated[str, typer.Option("--data", help="A known name (threegen data list), a CSV file or a folder.")]
Module = Annotated[
    str | None,
    typer.Option(help="package.module:Class, for a run of your own module; it is imported then, and only then."),
]
RunOrName = Annotated[
    Path, typer.Argument(help="A run's folder, or the name of a model whose weights ship with threegen: lenet-5.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Root = Annotated[Path | None, typer.Option(help="The folder of the data sets; THREEGEN_DATA sets it too.")]


def parse_settings(given: Sequence[str] | None) -> dict[str, Any] | None:
    """Return `option=value` texts as values by name: JSON if it is valid JSON, a list if there are commas, else text.

    Raises `ConfigError` if there is no `=` or an option is set twice.
    """
    if not given:
        return None
    found: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not name:
            raise ConfigError(f"--set takes option=value, such as hidden=[300,100], got {text!r}")
        if name in found:
            raise ConfigError(f"--set gives {name} twice; once is enough")
        found[name] = _value(value.strip())
    return found


def parse_frames(text: str | None) -> int | list[float] | None:
    """Return what `--frames` says: a number of frames, or the boundaries between them. Raises `ConfigError`."""
    if text is None:
        return None
    try:
        return [float(edge) for edge in text.split(",")] if "," in text else int(text)
    except ValueError as problem:
        raise ConfigError(
            f"--frames takes a number such as 10, or times such as 0,103,206,310, got {text!r}"
        ) from problem


def _value(text: str) -> Any:
    for spelling in (text, f"[{text}]" if "," in text else text, f"0{text}" if text.startswith(".") else text):
        try:
            return json.loads(spelling)
        except ValueError:
            continue
    return {"True": True, "False": False, "None": None}.get(text, text)


class _Sentences(logging.Handler):
    """Prints each log record as a line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        complain(record.getMessage())


def say_what_is_read() -> None:
    """Print one line on standard error for each table that a command reads: rows, columns, label, scale.

    Under `torchrun` only the first process prints it.
    """
    log = logging.getLogger("threegen.data")
    if not any(isinstance(handler, _Sentences) for handler in log.handlers):
        log.addHandler(_Sentences())
        log.propagate = False
    log.setLevel(logging.WARNING if is_helper() else logging.INFO)


def is_helper() -> bool:
    """Return whether this is not the first of several processes that torchrun started."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1 and os.environ.get("RANK", "0") != "0"


def complain(sentence: str) -> None:
    """Print one sentence to standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(_printable(sentence, sys.stderr))


def _printable(text: str, stream: TextIO) -> str:
    """Return the text with characters that the stream cannot write (such as undecodable bytes of a file name) escaped
    as \\udcff."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_text(text: str) -> None:
    """Print a line of text as it is."""
    Console(soft_wrap=True, highlight=False, markup=False).print(_printable(text, sys.stdout))


def print_json(value: Any) -> None:
    """Print plain data as JSON."""
    sys.stdout.write(_printable(json.dumps(value, indent=2, ensure_ascii=False), sys.stdout) + "\n")


def print_table(rows: Sequence[dict[str, Any]], title: str = "") -> None:
    """Print rows of plain values as a table; one column per name, empty if a row (of another stage) lacks it."""
    table = Table(title=Text(title) if title else None, title_justify="left")
    console = Console()
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_printable(_cell(row[name]), sys.stdout) if name in row else "" for name in names] for row in rows]
    columns = [[str(name), *column] for name, *column in zip(names, *cells, strict=True)]
    widths = [max(len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    whole_words = sum(widths) + 3 * len(widths) + 1 <= console.width
    for name, width in zip(names, widths, strict=True):
        numeric = all(isinstance(row[name], int | float) for row in rows if name in row)
        justify: Literal["right", "left"] = "right" if numeric else "left"
        table.add_column(Text(str(name)), justify=justify, overflow="fold", min_width=width if whole_words else None)
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and value > 9999 else str(value)
