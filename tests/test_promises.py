"""The page of promises is that of the table, and every test that it names exists."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("promises_page", ROOT / "scripts" / "promises_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_in_step(maker: ModuleType) -> None:
    made = maker.write_page(maker.read_promises())
    assert maker.PAGE.read_text(encoding="utf-8") == made, "run: python scripts/promises_page.py"


def test_every_row_is_whole(maker: ModuleType) -> None:
    for row in maker.read_promises():
        assert {"promise", "how", "tests", "figure"} <= set(row) <= {"promise", "how", "tests", "figure", "command"}
        assert row["tests"]
        assert all("|" not in str(value) for value in row.values())


def test_every_named_test_exists(maker: ModuleType) -> None:
    missing = []
    for name in {test for row in maker.read_promises() for test in row["tests"]}:
        file, _, function = name.partition("::")
        path = ROOT / file
        defined = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        if function not in defined:
            missing.append(name)
    assert not missing
