"""Converted nets against the number of steps, on few images and with nets of fewer planes than the study's own."""

from pathlib import Path

import pytest
import torch
from torch import nn

from threegen.datasets.load import load_data
from threegen.figures import converted, pooled_and_residual
from threegen.studies.entries import conversion_curves
from threegen.studies.registry import run_study
from threegen.studies.tools import accuracy


def test_conversion_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converted, "LAYERS", "4C5-P2-8C5-P2-32-10")  # a fifteenth of the products
    monkeypatch.setattr(pooled_and_residual, "MAX_POOLED", "4C5-M2-8C5-M2-32-10")
    result = run_study("conversion-curves", quick=True, out=tmp_path)
    figures = result["figures"]
    assert list(figures) == ["T", "average pooling", "maximum pooling"]
    for name in ("average pooling", "maximum pooling"):
        assert figures[name]["network"] > 0.7
        assert figures[name]["analog, potential"][-1] > figures[name]["network"] - 0.1
    assert len(figures["average pooling"]) == 10
    assert figures["average pooling"]["analog, potential"][0] > figures["average pooling"]["bernoulli, rate"][0]
    for given in ("analog", "bernoulli", "poisson"):  # numbers of spikes alone leave ties at one step
        assert figures["average pooling"][f"{given}, counts alone"][0] < figures["average pooling"][f"{given}, rate"][0]
    assert all((tmp_path / name).exists() for name in result["files"])


def test_one_net_answers_for_every_readout() -> None:
    """Its summed input is that of a net made to be read out by the potential; its rate is that of the package."""
    train, test = load_data("mnist").train.take(220), load_data("mnist").test.take(100)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Linear(20, 10)).eval()
    found = conversion_curves._every_readout(conversion_curves._spiking(net, train, "analog", 3, readout="rate"), test)
    for readout in ("potential", "rate"):
        spiking = conversion_curves._spiking(net, train, "analog", 3, readout=readout)
        assert found[readout] == accuracy(spiking, test)
    assert 0 < found["counts alone"] < 1
