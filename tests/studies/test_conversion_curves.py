"""Converted nets against the number of steps, on few images."""

from pathlib import Path

from threegen.studies.registry import run_study


def test_conversion_curves(tmp_path: Path) -> None:
    result = run_study("conversion-curves", quick=True, out=tmp_path)
    figures = result["figures"]
    assert list(figures) == ["T", "average pooling", "maximum pooling"]
    for name in ("average pooling", "maximum pooling"):
        assert figures[name]["network"] > 0.7
        assert figures[name]["analog, potential"][-1] > figures[name]["network"] - 0.1
    assert len(figures["average pooling"]) == 7
    assert figures["average pooling"]["analog, potential"][0] > figures["average pooling"]["bernoulli, rate"][0]
    assert all((tmp_path / name).exists() for name in result["files"])
