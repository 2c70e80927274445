"""In a notebook: everything that is shown there shows itself as HTML, and no class with such a view is left out."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import threegen as tg

PACKAGE = Path(tg.__file__).parent


def toy() -> tg.Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 1, 6, 6, generator=generator)
    return tg.Dataset(images, torch.arange(40) % 2, classes=("a", "b"), name="toy")


def net() -> tg.MLP:
    return tg.MLP([36, 4, 2], generator=torch.Generator().manual_seed(0))


def searched() -> Any:
    space = {"lr": "log:1e-3:1e-1"}
    return tg.search("mlp", space, toy(), trials=2, epochs=1, validation=toy(), options={"hidden": [4]})


SHOWN: dict[str, Callable[[], Any]] = {
    "TrainingLog": lambda: tg.fit(net(), tg.Backprop(), toy(), epochs=1, batch_size=20, optimizer="adam"),
    "Evaluation": lambda: tg.evaluate(net(), toy()),
    "Dataset": toy,
    "Data": lambda: tg.datasets.Data("toy", toy(), toy()),
    "Bill": lambda: tg.count(net(), toy().inputs),
    "Summary": lambda: tg.explain(net()).summary(toy().inputs[:2]),
    "Maps": lambda: tg.explain(net()).saliency(toy().inputs[:2]),
    "Card": lambda: tg.compare({"one": net(), "two": net()}, toy()),
    "ConversionReport": lambda: tg.convert(net(), calibrate=toy(), steps=2).report,
    "SearchResult": searched,
}


@pytest.mark.parametrize("name", SHOWN)
def test_it_shows_itself_as_html(name: str) -> None:
    shown = SHOWN[name]()
    page = shown._repr_html_()
    assert "<table" in page or "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # nothing is loaded from outside


def test_no_class_with_such_a_view_is_left_out() -> None:
    """A base class that is shown by its sub-classes counts as they do."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        if "_repr_html_" in (text := path.read_text()):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.ClassDef) and any(
                    isinstance(part, ast.FunctionDef) and part.name == "_repr_html_" for part in node.body
                ):
                    found.add(node.name)
    assert found - {"Picture"} <= set(SHOWN)
