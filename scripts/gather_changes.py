"""Gather the fragments of changes/ into CHANGELOG.md under the current version, and remove them. Run at a release.

python scripts/gather_changes.py [--date 2026-11-29] [--dry-run]

The version is `__version__` in src/threegen/__init__.py. A second run with the same version adds to its section.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]


def version(root: Path) -> str:
    """Return the version of the package, from its one place."""
    found = re.search(r'^__version__ = "(.*)"$', (root / "src/threegen/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit("src/threegen/__init__.py has no line __version__ = ...")
    return found[1]


def fragments(root: Path) -> list[Path]:
    """Return the fragments in alphabetical order."""
    return [path for path in sorted((root / "changes").glob("*.md")) if path.name != "README.md"]


def item(text: str) -> str:
    """Return a fragment as one item of a list; a fragment that already is a list stays one."""
    text = text.strip()
    return text if text.startswith("- ") else "- " + textwrap.indent(text, "  ").strip()


def gathered(log: str, items: list[str], heading: str) -> str:
    """Return the changelog with the items at the top of the section `heading`, which comes first if it is new."""
    added = "\n".join(items) + "\n"
    title, line = heading.split(" (")[0], f"{heading}\n\n"
    if found := re.search(rf"^{re.escape(title)}(?: \(.*\))?\n\n", log, re.MULTILINE):
        return log[: found.end()] + added + log[found.end() :]
    first = re.search(r"^## ", log, re.MULTILINE)
    at = first.start() if first else len(log)
    return log[:at].rstrip("\n") + "\n\n" + line + added + ("\n" + log[at:] if first else "")


def main() -> int:
    """Gather, write and remove; with --dry-run print the changelog instead."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--date", type=datetime.date.fromisoformat, default=datetime.date.today())
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--root", type=Path, default=ROOT)
    given = parser.parse_args()
    found = fragments(given.root)
    place = given.root / "CHANGELOG.md"
    items = [item(path.read_text()) for path in found]
    text = place.read_text()
    if items:
        text = gathered(text, items, f"## {version(given.root)} ({given.date})")
    if given.dry_run:
        sys.stdout.write(text)
        return 0
    place.write_text(text)
    for path in found:
        path.unlink()
    sys.stdout.write(f"{len(found)} fragments gathered\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
