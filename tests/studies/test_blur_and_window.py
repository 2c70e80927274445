"""Blur against window length: what still digits must give by the variance of spikes, and what motion adds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from threegen.datasets.load import load_data
from threegen.studies.entries import blur_and_window
from threegen.studies.registry import run_study


def test_a_digit_moves_at_its_speed() -> None:
    digit = torch.zeros(1, 3, 5)
    digit[0, 1, 2] = 1.0
    frames = blur_and_window.moving(digit, 0.25)
    middle = blur_and_window.STEPS // 2
    column = middle + 1 + 2  # a border of half the steps and one
    assert frames[middle, 0, 1].nonzero().flatten().tolist() == [column]
    assert frames[middle + 1, 0, 1, column : column + 2].tolist() == [0.75, 0.25]
    assert frames[middle + 8, 0, 1].nonzero().flatten().tolist() == [column + 2]
    assert frames[middle - 4, 0, 1].nonzero().flatten().tolist() == [column - 1]
    torch.testing.assert_close(frames.sum((1, 2, 3)), torch.ones(blur_and_window.STEPS))


def test_each_speed_has_its_best_window(tmp_path: Path) -> None:
    result = run_study("blur-and-window", quick=True, out=tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == result
    assert len(result["files"]) == 4
    windows, speeds = result["figures"]["windows"], list(result["figures"]["speeds"].values())
    still = speeds[0]
    # The mean of w spikes of chance p is off by sqrt(p (1 - p) / w); wider pictures have more dark pixels.
    digits = load_data("mnist").train.inputs[:20, 0]
    spread = float((digits * (1 - digits)).mean()) * 28 / (28 + 2 * (blur_and_window.STEPS // 2 + 1))
    for window, noise, error in zip(windows, still["noise"], still["error"], strict=True):
        assert noise == pytest.approx(math.sqrt(spread / window), rel=0.03)
        assert error == pytest.approx(noise, rel=0.05)  # a pixel of full brightness fires at every step
    assert max(still["blur"]) < 1e-6  # nothing moves
    assert still["best window"] == windows[-1]
    best = [facts["best window"] for facts in speeds]
    assert best == sorted(best, reverse=True)  # the faster, the shorter
    assert best[-1] <= 5
    for facts in speeds[1:]:
        assert facts["blur"] == sorted(facts["blur"])
        assert facts["error"][-1] > min(facts["error"])
        assert facts["wrong pixels"][-1] > still["wrong pixels"][-1]
