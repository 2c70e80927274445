"""Write the files derived from the table of public names: the stubs for type checkers, and the snapshot.

    python scripts/public_names.py            # after a line was added to src/threegen/names.py
    python scripts/public_names.py --check    # exit code 1 if a file is out of date

The snapshot (tests/snapshots/public.json) also holds the command line: each command with its options.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "threegen"
SNAPSHOT = ROOT / "tests" / "snapshots" / "public.json"
sys.path.insert(0, str(ROOT / "src"))

from typer.main import get_command  # noqa: E402

import threegen  # noqa: E402
from threegen.cli import app  # noqa: E402
from threegen.names import NAMESPACES, flat_homes, homes_of  # noqa: E402

NOTE = "# Written by scripts/public_names.py from the table in names.py; do not edit.\n"


def stub(homes: Mapping[str, str], before: str = "", exported: tuple[str, ...] = ()) -> str:
    """Return a stub that imports each object from the module that defines it."""
    lines = [
        f"from {home} import {name} as {name}\n" for name, home in sorted(homes.items(), key=lambda item: item[::-1])
    ]
    names = "".join(f'    "{name}",\n' for name in sorted((*homes, *exported)))
    return NOTE + before + "".join(lines) + f"\n__all__ = [\n{names}]\n"


def stubs() -> dict[Path, str]:
    """Return every stub by its path; `errors` is an ordinary module and needs none."""
    rooms = sorted(NAMESPACES)
    before = "".join(f"from threegen import {room} as {room}\n" for room in rooms) + "\n__version__: str\n\n"
    found = {PACKAGE / "__init__.pyi": stub(flat_homes(), before, (*rooms, "__version__"))}
    for namespace in rooms:
        if namespace != "errors":
            folder = PACKAGE / namespace
            path = folder / "__init__.pyi" if folder.is_dir() else PACKAGE / f"{namespace}.pyi"
            found[path] = stub(homes_of(namespace))
    return found


def surface() -> dict[str, Any]:
    """Return the public names, and each command with its arguments and options."""
    commands: dict[str, list[str]] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name, child in children.items():
                walk(child, (*path, name))
            return
        commands[" ".join(path)] = sorted(
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        )

    walk(get_command(app), ("threegen",))
    return {
        "flat": sorted(threegen.__all__),
        "namespaces": {name: sorted(homes_of(name)) for name in sorted(NAMESPACES)},
        "commands": commands,
    }


def files() -> dict[Path, str]:
    """Return every file derived from the table, with its expected content."""
    return {**stubs(), SNAPSHOT: json.dumps(surface(), indent=1) + "\n"}


def main() -> int:
    """Write the files, or only compare them."""
    stale = [path for path, text in files().items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stdout.write(f"{path.relative_to(ROOT)} is out of date; run scripts/public_names.py\n")
        return 1 if stale else 0
    for path, text in files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
