"""One net through three generations, on few images."""

from pathlib import Path

from threegen.studies.registry import run_study


def test_one_net_three_generations(tmp_path: Path) -> None:
    result = run_study("one-net-three-generations", quick=True, out=tmp_path)
    figures = result["figures"]
    assert figures["sigmoid, pre-trained"]["converted"].startswith("refused")
    assert "sigmoid" in figures["sigmoid, pre-trained"]["converted"]
    for name in ("rectified, pre-trained", "rectified, random start"):
        station = figures[name]
        assert station["accuracy"] > 0.8
        # 784 x 500 + 500 x 500 + 500 x 10 products, each a multiplication and an addition, and 1,010 biases
        assert station["operations"] == 2 * (784 * 500 + 500 * 500 + 500 * 10) + 1_010
        assert station["spiking, T = 2"]["accuracy"] > station["accuracy"] - 0.1
        assert station["spiking, T = 1"]["operations"] < station["spiking, T = 2"]["operations"]
    assert all((tmp_path / name).exists() for name in result["files"])
