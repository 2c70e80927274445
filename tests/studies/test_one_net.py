"""One net through three generations, on few images."""

from pathlib import Path

import pytest

from threegen.studies.entries import one_net_three_generations
from threegen.studies.registry import run_study


def test_one_net_three_generations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_net_three_generations, "HIDDEN", (200, 200))  # instead of twice 500
    result = run_study("one-net-three-generations", quick=True, out=tmp_path)
    figures = result["figures"]
    assert figures["sigmoid, pre-trained"]["converted"].startswith("refused")
    assert "sigmoid" in figures["sigmoid, pre-trained"]["converted"]
    for name in ("rectified, pre-trained", "rectified, random start"):
        station = figures[name]
        assert station["accuracy"] > 0.8
        # 784 x 200 + 200 x 200 + 200 x 10 products, each a multiplication and an addition, and 410 biases
        assert station["operations"] == 2 * (784 * 200 + 200 * 200 + 200 * 10) + 410
        assert station["spiking, T = 2"]["accuracy"] > station["accuracy"] - 0.1
        assert station["spiking, T = 1"]["operations"] < station["spiking, T = 2"]["operations"]
    assert all((tmp_path / name).exists() for name in result["files"])
