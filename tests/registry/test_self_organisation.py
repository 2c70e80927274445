"""Neocognitrons learn layer by layer in the common loop: all three forms, resuming, costs, explanations, names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError
from threegen.gen1.neocognitron_2003 import Neocognitron2003
from threegen.gen1.neocognitron_cells import GrowingSCells
from threegen.registry.self_organisation import cells_below, lessons, self_organisation, typical_examples
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return tg.load_data("mnist").train.take(60)


def small() -> Neocognitron2003:
    return Neocognitron2003(planes=(12, 16, 60), thinning=3)


@pytest.fixture(scope="module")
def grown(digits: Dataset) -> Neocognitron2003:
    model = small()
    fit(model, self_organisation(model, top_epochs=4, batch_size=20), digits)
    return model


def test_2003_learns_its_training_digits_and_counts_its_planes(grown: Neocognitron2003, digits: Dataset) -> None:
    """The paper repeats until every training digit is right; untrained, all scores are zero."""
    assert evaluate(grown, digits).accuracy >= 0.98
    planes = {name: layer for name, layer in grown.layers.items() if isinstance(layer, GrowingSCells)}
    assert all(0 < int(layer.count) <= layer.planes for layer in planes.values())
    top = planes["S4"]
    assert set(top.labels[: int(top.count)].tolist()) <= set(range(10))
    assert bool((top.labels[int(top.count) :] == -1).all())
    assert bool((top.a[int(top.count) :] == 0).all())
    assert not small().eval()(digits.inputs[:2]).any()


def test_two_runs_are_the_same_and_a_resumed_one_too(grown: Neocognitron2003, digits: Dataset, tmp_path: Path) -> None:
    class Stop(tg.training.Callback):
        def on_epoch(self, run: object, record: dict[str, object]) -> None:
            raise KeyboardInterrupt

    model = small()
    with pytest.raises(KeyboardInterrupt):
        fit(
            model, self_organisation(model, top_epochs=4, batch_size=20), digits, out=tmp_path / "run", callbacks=Stop()
        )
    again = small()
    fit(again, self_organisation(again, top_epochs=4, batch_size=20), digits, out=tmp_path / "run", resume=True)
    for name, value in grown.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_layer_sees_the_cached_cells_below(grown: Neocognitron2003, digits: Dataset) -> None:
    cached = cells_below(grown.train(), "S3", digits)
    assert grown.training
    assert torch.equal(cached.inputs[:5], grown.eval().maps(digits.inputs[:5])["C2"])


@pytest.mark.filterwarnings("ignore:no plane has the class")
@pytest.mark.parametrize(("form", "least"), [("1980", 0.2), ("1988", 0.3)])
def test_the_older_forms_learn(form: str, least: float, digits: Dataset) -> None:
    """Better than chance, 10 %, on what they learnt from: the papers give no figure on digits of this kind."""
    model: tg.models.Neocognitron1980 | tg.models.Neocognitron1988
    model = (
        tg.models.Neocognitron1980(generator=torch.Generator().manual_seed(0))
        if form == "1980"
        else tg.models.Neocognitron1988()
    )
    before = {name: layer.a.detach().clone() for name, layer in model.layers.items() if hasattr(layer, "a")}
    fit(model, self_organisation(model, batch_size=20), digits)
    for name, old in before.items():
        assert not torch.equal(old, model.s_cells(name).a), name
    assert evaluate(model, digits).accuracy > least
    if isinstance(model, tg.models.Neocognitron1980):
        assert model.examples.sum().item() == len(digits)
        assert bool((model.labels >= 0).any())


def test_the_teacher_of_1988_gives_every_plane_a_lesson(digits: Dataset) -> None:
    model = tg.models.Neocognitron1988()
    fit(model, self_organisation(model, batch_size=20)[:1], digits)
    for name, planes in (("S1", 12), ("S2", 38), ("S3", 35), ("S4", 20)):
        given = lessons(model, name)(digits)
        assert given.targets is not None
        assert given.targets[:, 0].tolist() == list(range(planes))
    with pytest.raises(DataError, match="by their labels"):
        lessons(model, "S2")(Dataset(digits.inputs))
    with pytest.raises(DataError, match="the teacher needs 50"):
        typical_examples(digits, 10, 50)


def test_costs_and_explanations(grown: Neocognitron2003, digits: Dataset) -> None:
    bill = tg.count(grown, digits.inputs[:2])
    assert bill.uncounted == ()
    s2 = next(row for row in bill.rows if row.name.startswith("layers.S2") and "mac" in row.operations)
    made = int(grown.layers["S2"].count)  # type: ignore[arg-type]
    convolutions = [
        row.operations["mac"] for row in bill.rows if row.name.startswith("layers.S2") and "mac" in row.operations
    ]
    assert 14 * 14 * 9 * 16 * made in convolutions, (s2, convolutions)
    look = tg.explain(grown, example=digits.inputs[:1])
    assert look.summary().parameters == sum(p.numel() for p in grown.parameters())
    assert list(look.feature_maps("layers.C1", digits.inputs[:2]).shape) == [2, 16, 14, 14]
    assert len(look.filters("layers.S1")) == 16
    heat = look.occlusion(digits.inputs[:1], window=7, stride=7)
    assert bool(torch.isfinite(heat).all())


def test_a_classifier_of_scikit_learn(digits: Dataset) -> None:
    pytest.importorskip("sklearn")
    rows, labels = digits.inputs[:40].flatten(1).numpy(), digits.targets
    assert labels is not None
    clf = tg.Classifier("neocognitron", options={"planes": [12, 16, 60]}).fit(rows, labels[:40].numpy())
    assert clf.score(rows, labels[:40].numpy()) >= 0.9


def test_other_models_are_refused() -> None:
    with pytest.raises(ConfigError, match="1980, 1988 or 2003"):
        self_organisation(tg.MLP([4, 2]))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="digits"):
        self_organisation(small(), digits=0)
