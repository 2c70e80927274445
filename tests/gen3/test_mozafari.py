"""Mozafari's net of 2019: its sizes, 15 steps against one, its stages, resuming in the middle of a cached pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import Distortions
from threegen.datasets.spike_times import SpikeCopies
from threegen.errors import ConfigError, Interrupted, ShapeError
from threegen.functional.plasticity.rank_order import rank_latencies
from threegen.gen3.mozafari import Mozafari2019
from threegen.gen3.parts import Use
from threegen.registry.deep_reward import SpikeCache, deep_reward_stages, falling_rates
from threegen.registry.entry import build_model, find_entry
from threegen.rules.rule import Step
from threegen.testing import check_model
from threegen.training.fit import fit
from threegen.training.loop import Callback, Training
from threegen.training.reward_monitor import RewardMonitor

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
SMALL = (50, 50, 50)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return tg.load_data("mnist").train.take(120)


def small(seed: int = 0) -> Mozafari2019:
    return Mozafari2019(maps=(8, 20, 40), generator=torch.Generator().manual_seed(seed))


def test_sizes_are_those_of_the_script() -> None:
    model = Mozafari2019(generator=torch.Generator().manual_seed(0))
    assert [tuple(layer.weight.shape) for layer in (model.s1, model.s2, model.s3)] == [
        (30, 6, 5, 5),
        (250, 30, 3, 3),
        (200, 250, 5, 5),
    ]
    encoded = model.encode(IMAGES)
    assert encoded.shape == (4, 6, 28, 28)
    assert model.c1(encoded).shape == (4, *model.c1_shape) == (4, 30, 14, 14)
    assert model.c2(model.c1(encoded)).shape == (4, *model.c2_shape) == (4, 250, 4, 4)
    assert Mozafari2019(whole_pools=True).c2_shape == (250, 5, 5)


@pytest.mark.parametrize("whole_pools", [False, True])
def test_a_last_layer_that_sees_all_of_c2(digits: Dataset, whole_pools: bool) -> None:
    """One position per map: the scores are products of all bits and all weights."""
    model = Mozafari2019(
        maps=(4, 8, 20),
        whole_pools=whole_pools,
        whole_view=True,
        bounds=(0.0, 1.0),
        generator=torch.Generator().manual_seed(0),
    )
    side = 5 if whole_pools else 4
    assert tuple(model.s3.weight.shape) == (20, 8, side, side)
    assert model.s3.bounds == (0.0, 1.0)
    fired = (model.features(model.encode(digits.inputs[:7])) < 15).flatten(1).double()
    potentials = (fired @ model.s3.weight.detach().flatten(1).double().t()).view(7, 10, 2).amax(2)
    expected = 1 + potentials / (8 * side * side + 1)
    assert torch.allclose(model(digits.inputs[:7]).double(), expected)
    with pytest.raises(ConfigError, match="square"):
        Mozafari2019(shape=(1, 28, 40), whole_view=True)


def test_the_registry_sees_all_of_c2_in_square_images_only() -> None:
    square = build_model(find_entry("mozafari"), (1, 28, 28), 10, 0, {"maps": (4, 8, 20)})
    oblong = build_model(find_entry("mozafari"), (1, 28, 40), 10, 0, {"maps": (4, 8, 20)})
    assert square(IMAGES).shape == (4, 10)
    assert oblong(torch.rand(2, 1, 28, 40)).shape == (2, 10)
    assert [net.s3.weight.shape[-2:] for net in (square, oblong)] == [(5, 5), (5, 5)]
    assert [net.s3.padding for net in (square, oblong)] == [0, 2]


@pytest.mark.parametrize(
    ("passes", "rates"),
    [(1, [1.0]), (2, [1.0, 0.25]), (10, [1.0] * 4 + [0.5] * 3 + [0.25] * 2 + [0.1])],
)
def test_rates_fall_by_shares_of_the_passes(passes: int, rates: list[float]) -> None:
    """Ten passes have the rates of docs/mozafari.md; the first pass always has the full rate."""
    schedule = falling_rates(passes)
    assert [schedule.values[max(at for at in schedule.values if at <= epoch)] for epoch in range(passes)] == rates


def test_it_keeps_the_contract_of_models() -> None:
    def make(generator: torch.Generator) -> Mozafari2019:
        return Mozafari2019(maps=(4, 6, 20), generator=generator)

    without = ("s1.weight", "s2.weight")  # thresholds have no gradient
    assert len(check_model(make, IMAGES, classes=10, without_gradient=without)) == 15


def test_equal_bins_leave_the_weakest_out() -> None:
    """38 values in 15 steps: two in each, the eight weakest never fire; a blank image is silent."""
    values = torch.arange(1.0, 39.0).view(1, 1, 2, 19)
    times = rank_latencies(values, 15, equal_bins=True).flatten()
    assert times.flip(0)[:30].tolist() == [step for step in range(15) for _ in range(2)]
    assert (times[:8] == 15).all()
    assert (rank_latencies(values[..., :7], 15, equal_bins=True) == 15).all()  # 14 values: none fires
    assert (rank_latencies(torch.zeros(1, 1, 4, 4), 15, equal_bins=True) == 15).all()


@pytest.mark.parametrize("converged", [False, True])
def test_one_step_answers_as_fifteen_do(digits: Dataset, converged: bool) -> None:
    """The step-by-step potentials of plain tensors against one shot, also with weights of 0 and 1 on the thresholds."""
    model = small()
    if converged:
        for layer in (model.s1, model.s2):
            with torch.no_grad():
                layer.weight.copy_((layer.weight > 0.8).float() * (1 - 1e-6))
    encoded = model.encode(digits.inputs[:6])
    times = model.s1.fire(encoded.long())[0]
    pooled = -torch.nn.functional.max_pool2d(-times.float(), 2)
    above = -torch.nn.functional.max_pool2d(-model.s2.fire(pooled.long())[0].float(), 3)
    assert torch.equal(above < 15, model.features(encoded) < 15)
    assert torch.equal(model.c2(model.c1(encoded)).float(), above)
    assert bool((above < 15).any())


def test_scores_are_potentials_of_the_best_neuron(digits: Dataset) -> None:
    model = small()
    features = model.features(model.encode(digits.inputs[:5]))
    plain = model.s3(features)
    assert torch.allclose(model(digits.inputs[:5]), plain)
    silent = model(torch.zeros(1, 1, 28, 28))
    assert silent.tolist() == [[0.0] * 10]


def test_three_stages_learn_and_caches_are_found_again(digits: Dataset, tmp_path: Path) -> None:
    model = small()
    stages = deep_reward_stages(model, passes=(2, 2, 15), batch_sizes=SMALL, folder=tmp_path / "spikes")
    first = model.s3.weight.detach().clone()
    monitor = RewardMonitor()
    log = fit(model, stages, digits, callbacks=monitor)
    assert [report.stage for report in monitor.reports] == ["S1"] * 2 + ["S2"] * 2 + ["S3"] * 15
    assert [report.maps for report in monitor.reports[::4]] == [8, 40, 40, 40, 40]
    assert 0 < monitor.reports[-1].dead < 40
    assert "maps dead, reward" in str(monitor.reports[-1])
    assert 0 < monitor.reports[0].figures["winners"] <= 5
    rewards = [record["reward"] for record in log.epochs if record["stage"] == 2]
    assert rewards[-1] > rewards[0] + 0.2
    assert not torch.equal(first, model.s3.weight)
    files = sorted(path.name for path in (tmp_path / "spikes").iterdir())
    assert len(files) == 3
    kept = SpikeCache(model, tmp_path / "spikes").features(digits)
    assert sorted(path.name for path in (tmp_path / "spikes").iterdir()) == files
    assert kept.kept.shape == (120, 40)  # 20 x 4 x 4 bits
    expected = model.features(model.encode(digits.inputs))
    assert torch.equal(kept.batch(torch.arange(120)).inputs, expected)
    with torch.no_grad():
        model.s2.weight.mul_(0.5)
    SpikeCache(model, tmp_path / "spikes").features(digits)  # other weights, another file
    assert len(list((tmp_path / "spikes").iterdir())) == 4


def test_passes_of_s3_show_distorted_versions_in_turn(digits: Dataset, tmp_path: Path) -> None:
    """Version 0 is what the images give; the others are drawn once, found again and cover images of their own."""
    model = small()
    few = digits.take(30)
    cache = SpikeCache(model, tmp_path)
    found = cache.versions(few, Distortions(), 2)
    plain = cache.features(few)
    shown = [found.for_pass(0, 2, epoch).batch(torch.arange(30)) for epoch in range(4)]
    assert torch.equal(shown[0].inputs, plain.batch(torch.arange(30)).inputs)
    assert torch.equal(shown[3].inputs, shown[0].inputs)
    assert not torch.equal(shown[1].inputs, shown[0].inputs)
    assert not torch.equal(shown[1].inputs, shown[2].inputs)
    assert few.targets is not None
    assert shown[1].targets is not None
    assert torch.equal(shown[1].targets, few.targets)
    assert len(list(tmp_path.iterdir())) == 3
    assert SpikeCache(model, tmp_path).versions(few, Distortions(), 2).fingerprint() == found.fingerprint()
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ShapeError, match="equal shape and number"):
        SpikeCopies([plain, cache.features(digits.take(20))])


class Kill(Callback):
    """Ctrl-C after so many batches."""

    def __init__(self, after: int) -> None:
        self.left = after

    def on_step(self, run: Training, step: Step) -> None:
        self.left -= 1
        if self.left == 0:
            run.interrupts.asked = True


@pytest.mark.parametrize("after", [1, 3, 6, 9])
def test_a_killed_run_resumes_bit_equal(digits: Dataset, tmp_path: Path, after: int) -> None:
    """In the passes of S1, S2 and S3, between two batches of one pass."""
    options: Any = {"passes": (1, 1, 3), "batch_sizes": SMALL}
    whole, parts = small(), small()
    fit(whole, deep_reward_stages(whole, **options), digits)
    with pytest.raises(Interrupted):
        fit(parts, deep_reward_stages(parts, **options), digits, out=tmp_path / "run", callbacks=Kill(after))
    resumed = small(seed=1)
    fit(resumed, deep_reward_stages(resumed, **options), digits, out=tmp_path / "run", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_cost_of_an_answer(digits: Dataset) -> None:
    """Additions against a loop over the spikes; S3's 200 x 16 potentials are compared once, the others 15 times."""
    model, images = small(), digits.inputs[:2]
    rows = model.cost(Use((images,), model(images), ("values",)))
    encoded = model.encode(images)
    expected = 0
    for _, _, row, column in (encoded < 15).nonzero().tolist():
        high = sum(0 <= row + 2 - i < 28 for i in range(5))
        expected += 8 * high * sum(0 <= column + 2 - j < 28 for j in range(5))
    assert rows[1].operations == {"ac": expected, "threshold": 15 * 2 * 8 * 28 * 28}
    assert rows[3].operations["threshold"] == 2 * 40 * 16
    assert "not counted" not in str(tg.count(model, images))


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match="grey images"):
        Mozafari2019(shape=(3, 28, 28))
    with pytest.raises(ConfigError, match="too small"):
        Mozafari2019(shape=(1, 4, 4))
    with pytest.raises(ConfigError, match="at most 255"):
        Mozafari2019(steps=300)
    with pytest.raises(ConfigError, match="cannot be divided evenly"):
        Mozafari2019(maps=(4, 6, 25))
    with pytest.raises(ShapeError, match="expects images"):
        small()(torch.rand(2, 1, 27, 28))
    with pytest.raises(ConfigError, match="three numbers"):
        deep_reward_stages(small(), passes=(1, 2))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="trains a Mozafari2019"):
        deep_reward_stages(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
