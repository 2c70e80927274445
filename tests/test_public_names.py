"""The public names and the command line are promises: a change of either must be meant, and shows here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.main import get_command

import threegen
from threegen.cli import app

SNAPSHOT = Path(__file__).parent / "snapshots" / "public.json"


def surface() -> dict[str, object]:
    """Return the public names, and each command with its arguments and options."""
    commands: dict[str, list[str]] = {}

    def walk(command: object, path: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name, child in children.items():
                walk(child, (*path, name))
            return
        commands[" ".join(path)] = sorted(
            option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
        )

    walk(get_command(app), ("threegen",))
    return {"names": sorted(threegen.__all__), "commands": commands}


def test_names_and_command_line_are_as_promised() -> None:
    """Where the change is meant, write the new surface: python tests/test_public_names.py"""
    assert surface() == json.loads(SNAPSHOT.read_text())


def test_every_public_name_loads_and_is_documented() -> None:
    for name in threegen.__all__:
        value = getattr(threegen, name)
        assert name == "__version__" or value.__doc__, name


def test_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(threegen, "no_such_name")


def test_import_loads_nothing_heavy() -> None:
    """`import threegen` loads neither torch nor anything else that takes time; the loop adds no heavy package."""
    code = (
        "import sys, threegen; light = 'torch' in sys.modules; threegen.fit; threegen.MLP; "
        "heavy = {'numba', 'matplotlib', 'pooch', 'sklearn', 'scipy', 'requests'} & set(sys.modules); "
        "print(light, sorted(heavy))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "False []"


if __name__ == "__main__":
    SNAPSHOT.parent.mkdir(exist_ok=True)
    SNAPSHOT.write_text(json.dumps(surface(), indent=1) + "\n")
