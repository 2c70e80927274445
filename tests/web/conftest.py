"""A page over small networks that nobody has trained: made in milliseconds, no file is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from threegen.datasets.dataset import Data, Dataset
from threegen.registry.entry import build_model, find_entry
from threegen.web.guards import Guard
from threegen.web.lineup import PageModel, for_drawings, page_model
from threegen.web.server import make_app
from threegen.web.start import Page
from threegen.web.state import PageState

with warnings.catch_warnings():  # it speaks for another release of httpx than other packages take
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

OWN = "http://127.0.0.1:8310"
SMALL: dict[str, dict[str, Any]] = {
    "perceptron": {},
    "mlp": {"hidden": [12]},
    "lenet-5-modern": {},
    "dbn": {"hidden": [20, 20, 30]},
    "diehl-cook": {"neurons": 8},
    "spiking-mlp": {"hidden": [14], "steps": 3},
    "mozafari": {"maps": [6, 8, 20]},
    "spiking-events": {"hidden": [14]},
}
RECORDED: dict[str, Any] = {
    "name": "spiking-events",
    "data": "n-mnist",
    "data_options": {"frames": 3, "binary": True},
    "shape": [3, 2, 34, 34],
}


def member(name: str) -> PageModel:
    entry = find_entry(name)
    facts: dict[str, Any] = RECORDED if name == "spiking-events" else {"data": "mnist", "shape": [1, 28, 28]}
    model = for_drawings(build_model(entry, facts["shape"], 10, 0, dict(SMALL[name])), facts)
    made = page_model(entry, model, accuracy=0.5, tested=10, temperature=1.0)
    if name == "perceptron":  # untrained it is all zero
        with torch.no_grad():
            made.model.weight.copy_(torch.randn(10, 784, generator=torch.Generator().manual_seed(1)))
            made.model.averaged = False
    return made


@pytest.fixture
def state() -> PageState:
    torch.manual_seed(0)
    images = torch.rand(40, 1, 28, 28) * (torch.rand(40, 1, 28, 28) > 0.8)
    part = Dataset(images, torch.arange(40) % 10, tuple("0123456789"), "made-test")
    return PageState([member(name) for name in SMALL], Data("made", part, part))


@pytest.fixture
def client(state: PageState) -> Iterator[TestClient]:
    page = Page(lambda: make_app(state))
    page.begin()
    with TestClient(Guard(page.app), base_url=OWN, headers={"origin": OWN}, raise_server_exceptions=True) as client:
        yield client


@pytest.fixture
def seven() -> dict[str, object]:
    return {"strokes": [[[40, 40], [200, 40]], [[200, 40], [110, 240]]]}
