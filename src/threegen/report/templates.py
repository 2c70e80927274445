"""Code shared by all pages: reading templates, the style, and embedded data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from threegen.errors import DataError
from threegen.report import words

FOLDER = Path(__file__).parent


def environment() -> Environment:
    """Return the templates of this folder, with the functions that write numbers."""
    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals.update(
        percent=words.percent,
        interval=words.interval,
        whole=words.whole,
        compact=words.compact,
        size_of=words.size_of,
        duration=words.duration,
        kind_label=words.kind_label,
        figure=words.figure,
    )
    return found


def style(*names: str) -> Markup:
    """Return the text of style sheets of this folder, one after the other."""
    return Markup("\n".join((FOLDER / name).read_text(encoding="utf-8") for name in names))


def embedded(data: Any) -> Markup:
    """Return plain data as JSON that cannot close the script element it is written into; raises `DataError`."""
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise DataError(f"the report's data cannot be written as JSON: {problem}") from problem
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
