"""Make docs/promises.md from tests/promises.toml: promise, how it is tested, figure."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "promises.toml"
PAGE = ROOT / "docs" / "promises.md"

HEAD = """# What threegen promises, and how that is tested

This page is made from `tests/promises.toml` by `python scripts/promises_page.py`; a test keeps both in step and makes
sure that every test named here exists. `make test` runs them all; `pytest TEST` runs one.

| promise | how it is tested | figure |
|---|---|---|
"""


def read_promises() -> list[dict[str, Any]]:
    """Return the rows of the table."""
    rows: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["promise"]
    return rows


def write_page(rows: list[dict[str, Any]]) -> str:
    """Return the page."""
    lines = []
    for row in rows:
        tests = ", ".join(f"`{test}`" for test in row["tests"])
        figure = row["figure"] + (f" (`{row['command']}`)" if "command" in row else "")
        lines.append(f"| {row['promise']} | {row['how']}<br>{tests} | {figure} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(write_page(read_promises()), encoding="utf-8")
