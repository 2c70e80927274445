"""The figures of nets that learn from reward, from end to end with a tiny plan; killed runs are continued bit-equal."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import threegen as tg
from threegen.datasets.distortions import Distortions
from threegen.figures import mozafari, reproduce
from threegen.figures.entries import kheradpisheh_2018, mozafari_2018, mozafari_2019, mozafari_best
from threegen.figures.mozafari import ChooseWeights, Recipe
from threegen.gen3.kheradpisheh import Kheradpisheh2018
from threegen.gen3.mozafari import Mozafari2019
from threegen.registry.shallow_reward import shallow_reward_stages
from threegen.registry.stdp_features import kheradpisheh_stages
from threegen.rules.reward_stdp import RewardSTDP
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.loop import Callback, Training
from threegen.training.schedules import EpochSteps

MAPS = {"maps": (4, 12, 20)}
PLANS = {
    "the script's rule": Recipe("mozafari-2019", passes=(1, 1, 4), options=MAPS, look_every=1),
    "all options": Recipe(
        "mozafari-2019",
        passes=(1, 1, 4),
        options=MAPS,
        reward=lambda model: RewardSTDP(model.classes, tries=2),
        schedule=EpochSteps("rate", {0: 1.0, 3: 0.5}),
        mean_from=1,
        distortions=Distortions(),
        copies=1,
        batch_sizes=(40, 40, 40),
        look_every=1,
    ),
}


class Killed(Exception):
    """Stands for a power cut."""


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = tg.load_data("mnist")
    small = tg.Data("mnist", whole.train.take(130), whole.test.take(40))
    for module in (mozafari, kheradpisheh_2018, mozafari_2018):
        monkeypatch.setattr(module, "load_data", lambda name: small)
    monkeypatch.setattr(mozafari, "HELD_OUT", 30)
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:batch_size")
@pytest.mark.parametrize("plan", PLANS)
def test_reproduce_from_end_to_end_and_after_a_kill(
    plan: str, few_digits: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record; then the same after a run that died between two passes of S3: equal weights in every bit."""
    figure = dataclasses.replace(mozafari_2019.FIGURE, make=PLANS[plan].accuracy, seeds=(0,))
    monkeypatch.setattr(reproduce, "all_figures", lambda: {figure.name: figure})
    tested: list[Tensor] = []
    look = ChooseWeights._look

    def watched(model: Mozafari2019, *args: Any, **options: Any) -> Any:
        tested.append(model.s3.weight.detach().clone())
        return evaluate(model, *args, **options)

    def dies(self: ChooseWeights, model: Mozafari2019, weight: Tensor, done: int) -> dict[str, float]:
        found = look(self, model, weight, done)
        if done == 3:
            raise Killed
        return found

    monkeypatch.setattr(mozafari, "evaluate", watched)
    record = reproduce.reproduce_figure("mozafari-2019")
    assert record is not None
    assert record["seeds"] == [0]
    assert 0 <= record["mean"] <= 100
    assert reproduce.read_record(tmp_path / "reproduction" / "mozafari-2019.json") == record
    assert not (tmp_path / "runs/reproduce/mozafari-2019-0").exists()
    with monkeypatch.context() as patch:
        patch.setattr(ChooseWeights, "_look", dies)
        with pytest.raises(Killed):
            reproduce.reproduce_figure("mozafari-2019")
    assert (tmp_path / "runs/reproduce/mozafari-2019-0/checkpoints").is_dir()
    again = reproduce.reproduce_figure("mozafari-2019")
    assert again is not None
    assert again["ours"] == record["ours"]
    assert torch.equal(tested[0], tested[1])


@pytest.mark.filterwarnings("ignore:batch_size")
def test_all_images_and_the_last_weights_after_a_kill(few_digits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of `mozafari-best` on a small net: equal weights after a power cut; the read-out is stored too."""
    best = mozafari_best.RECIPE
    plan = dataclasses.replace(best, passes=(1, 1, 4), options={**best.options, **MAPS}, batch_sizes=(40, 40, 40))
    tested: list[Tensor] = []

    def watched(model: Mozafari2019, *args: Any, **options: Any) -> Any:
        tested.append(model.s3.weight.detach().clone())
        return evaluate(model, *args, **options)

    class Dies(Callback):
        def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
            if (record["stage"], record["epoch"]) == (2, 2):
                raise Killed

    def dying(*args: Any, **options: Any) -> Any:
        return fit(*args, **{**options, "callbacks": Dies()})

    monkeypatch.setattr(mozafari, "evaluate", watched)
    made = plan.accuracy(0)
    with monkeypatch.context() as patch:
        patch.setattr(mozafari, "fit", dying)
        with pytest.raises(Killed):
            plan.accuracy(0)
    assert Path("runs/reproduce/mozafari-best-0/checkpoints").is_dir()
    assert plan.accuracy(0).value == made.value
    assert torch.equal(tested[0], tested[1])
    lines = [json.loads(line) for line in Path("runs/reproduce/mozafari-best.jsonl").read_text().splitlines()]
    assert [line["accuracy"] for line in lines] == [made.value] * 2
    assert lines[0] == lines[1]
    assert 0 <= lines[0]["softmax"] <= 100


@pytest.mark.filterwarnings("ignore:batch_size")
def test_kheradpisheh_from_end_to_end(few_digits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")

    def small(**options: Any) -> nn.Module:
        return Kheradpisheh2018(maps=(4, 12), **options)

    monkeypatch.setattr(kheradpisheh_2018, "Kheradpisheh2018", small)
    monkeypatch.setattr(
        kheradpisheh_2018,
        "kheradpisheh_stages",
        lambda model, **options: kheradpisheh_stages(model, passes=(1, 1), **options),
    )
    made = kheradpisheh_2018.accuracy(0)
    assert made.value > 20  # chance is 10
    assert not Path("runs/reproduce/kheradpisheh-2018-0").exists()


@pytest.mark.filterwarnings("ignore:batch_size")
def test_the_shallow_net_from_end_to_end(few_digits: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        mozafari_2018,
        "shallow_reward_stages",
        lambda model, **options: shallow_reward_stages(model, passes=2, window=65, **options),
    )
    made = mozafari_2018.accuracy(0)
    assert 0 <= made.value <= 100
    assert not Path("runs/reproduce/mozafari-2018-0").exists()
