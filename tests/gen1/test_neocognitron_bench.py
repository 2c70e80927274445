"""The benchmark's two formulations of one small net, convolutions and the paper's cells, give the same responses."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch


def test_same_responses_to_1e_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    bench = importlib.import_module("neocognitron")
    layers, image = bench.make_layers(), bench.digits(1)
    found, expected = bench.through(layers, image)[0], bench.cell_by_cell(layers, image[0])
    assert found.shape == (4, 8, 8)
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)
    assert float(found.max()) > 0.1
