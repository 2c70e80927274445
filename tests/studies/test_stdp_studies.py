"""The studies of spike timing: curves as the formulas say, digits by reward alone, a verdict that comes late."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from threegen.studies.entries import delayed_reward, one_step_or_fifteen, reward_modulated_stdp, stdp_curves
from threegen.studies.registry import study_names
from threegen.studies.study import Settings

QUICK = Settings(quick=True)


def test_they_are_there() -> None:
    assert {"stdp-curves", "reward-modulated-stdp", "delayed-reward", "one-step-or-fifteen"} <= set(study_names())


def test_curves(tmp_path: Path) -> None:
    """At one lag each, from the equations: +-20 ms at 20 ms is e^-1; order knows no distance."""
    found = stdp_curves.measure(QUICK)
    at = {lag: place for place, lag in enumerate(found["lags in ms"])}
    curves = found["curves"]
    assert curves["pair"]["all pairs"][at[20]] == pytest.approx(0.005 * math.exp(-1))
    assert curves["post-pre"]["nearest"][at[-20]] == pytest.approx(-0.005 * math.exp(-1))
    assert curves["power law"]["w = 0.2"][at[20]] == pytest.approx(0.01 * (math.exp(-1) - 0.4) * 0.8)
    assert curves["triplet"]["two spikes"][at[20]] == 0
    assert curves["triplet"]["neuron fired before"][at[20]] > 0
    assert curves["mstdp"]["blame"] == pytest.approx([-dw for dw in curves["mstdp"]["reward"]])
    late = 0.1 * math.exp(-1) / 25 * math.exp(-20 / 25)
    assert curves["mstdpet"]["reward 20 ms later"][at[20]] == pytest.approx(late)
    order = found["curves of order"]["order-based"]["winner"]
    assert sorted({round(dw, 9) for dw in order}) == [-0.00075, 0.001]
    for name, measured in found["sixty pairs"]["measured"].items():
        error = found["sixty pairs"]["error"][name]
        model = found["sixty pairs"]["triplet"][name]
        assert all(abs(m - d) < 1.5 * e for m, d, e in zip(model, measured, error, strict=True))
    assert stdp_curves.draw(found, tmp_path) == ["curves.png", "curves.svg"]


def test_digits_by_reward_alone(tmp_path: Path) -> None:
    found = reward_modulated_stdp.measure(QUICK)
    assert min(found["reward"]["after"]) > 0.8
    assert max(found["meaningless reward"]["after"]) < min(found["reward"]["after"]) - 0.2
    assert found["no reward"]["after"] == found["no reward"]["before"]
    assert reward_modulated_stdp.draw(found, tmp_path) == ["reward.png", "reward.svg"]


def test_late_reward(tmp_path: Path) -> None:
    found = delayed_reward.measure(QUICK)
    assert found["mstdp, at once"]["mean after"] > 0.8
    assert found["mstdp, late"]["after"] == found["mstdp, late"]["before"]
    assert found["mstdpet, late"]["mean after"] > found["mstdpet, late"]["mean before"] + 0.15
    assert delayed_reward.draw(found, tmp_path) == ["late.png", "late.svg"]


def test_one_step_answers_like_fifteen(tmp_path: Path) -> None:
    found = one_step_or_fifteen.measure(QUICK)
    assert found["bits that differ"] == found["answers that differ"] == 0
    assert found["bits"] == 50 * 30 * 16
    assert found["share of C2 that has fired"][0] < found["share of C2 that has fired"][-1]
    names = one_step_or_fifteen.draw(found, tmp_path)
    assert names == ["first-spikes.png", "first-spikes.svg", "s1.png", "s2.png", "s3.png", "first-spikes.gif"]
    assert (tmp_path / "first-spikes.gif").read_bytes()[:6] == b"GIF89a"
    assert (tmp_path / "s3.png").read_bytes()[:4] == b"\x89PNG"
