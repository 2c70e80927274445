"""64 pictures by heart, in the study's narrow form."""

from __future__ import annotations

import json
from pathlib import Path

from threegen.studies.registry import run_study


def test_a_narrow_alexnet_learns_64_pictures_by_heart(tmp_path: Path) -> None:
    """The loss in evaluation mode falls below .01. By hand: an eighth of planes and units, one place is left."""
    result = run_study("alexnet-by-heart", quick=True, out=tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == result
    assert result["files"] == ["loss.png", "loss.svg"]
    figures = result["figures"]
    convolutions = 12 * (3 * 121 + 1) + 32 * (6 * 25 + 1) + 48 * (32 * 9 + 1) + 48 * (24 * 9 + 1) + 32 * (24 * 9 + 1)
    assert figures["parameters"] == convolutions + 512 * (32 + 1) + 512 * (512 + 1) + 1000 * (512 + 1)
    assert figures["loss"] < 0.01
    assert figures["right"] == 64
    assert figures["loss curve"][0] > 1.0
