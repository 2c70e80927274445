"""Kheradpisheh's net of 2018: its sizes, what S2 learns from, what it sees, its read-out by scikit-learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.gen3.kheradpisheh import Kheradpisheh2018
from threegen.gen3.parts import Use
from threegen.registry.stdp_features import fit_svm, kheradpisheh_stages
from threegen.testing import check_model
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit

IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return tg.load_data("mnist").train.take(300)


def small(seed: int = 0) -> Kheradpisheh2018:
    return Kheradpisheh2018(maps=(8, 20), generator=torch.Generator().manual_seed(seed))


def test_sizes_are_those_of_the_script() -> None:
    model = Kheradpisheh2018(generator=torch.Generator().manual_seed(0))
    assert [tuple(layer.weight.shape) for layer in (model.s1, model.s2)] == [(32, 2, 5, 5), (150, 32, 2, 2)]
    assert model.readout.weight.shape == (10, 150 * 9 * 9)
    encoded = model.encode(IMAGES[:1])
    assert encoded.shape == (1, 2, 28, 28)
    assert model.c1(encoded).shape == (1, *model.c1_shape) == (1, 32, 15, 15)
    assert model.features(IMAGES[:1]).shape == (1, *model.c2_shape) == (1, 150, 9, 9)
    assert Kheradpisheh2018(shape=(1, 9, 12), maps=(2, 3)).features(torch.rand(2, 1, 9, 12)).shape[1:] == (3, 4, 5)


def test_it_keeps_the_contract_of_models() -> None:
    def make(generator: torch.Generator) -> Kheradpisheh2018:
        model = Kheradpisheh2018(maps=(4, 6), generator=generator)
        with torch.no_grad():
            model.readout.weight.normal_(generator=generator)
        return model

    assert check_model(make, IMAGES, classes=10, without_gradient=("s1.weight", "s2.weight"))


def test_s2_learns_from_one_map_a_place(digits: Dataset) -> None:
    """The earliest map of each place by a plain loop; of several in one step the first."""
    model = small()
    encoded = model.encode(digits.inputs[:2])
    times, alone = model.c1(encoded), model.c1_alone(encoded)
    for b, y, x in [(0, 5, 7), (0, 0, 0), (1, 7, 7), (1, 9, 4)]:
        here = times[b, :, y, x].tolist()
        first = here.index(min(here))
        assert alone[b, :, y, x].tolist() == [here[f] if f == first else model.steps for f in range(8)]
    assert int((times < model.steps).sum()) > int((alone < model.steps).sum()) > 0


def test_what_c2_sees_is_what_fifteen_steps_give(digits: Dataset) -> None:
    """Potentials only grow, so whether a neuron has fired by the last step is whether its last potential is above."""
    model = small()
    times = model.c1(model.encode(digits.inputs[:3]))
    fired, _ = model.s2.fire(times.long())  # plain tensors, step by step
    pooled = torch.nn.functional.max_pool2d((fired < model.steps).float(), 2, padding=1)
    assert torch.equal(model.features(digits.inputs[:3]), pooled)


def test_it_learns_and_a_linear_svm_reads_it(digits: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    model = small()
    before = model.s2.weight.detach().clone()
    fit(model, kheradpisheh_stages(model, passes=(2, 3), batch_size=100, folder=tmp_path), digits)
    assert float(model.s2.weight.detach().mean()) < float(before.mean()) - 0.1  # most inputs are not its map's
    assert len(list(tmp_path.iterdir())) == 2
    assert torch.equal(model(digits.inputs[:2]), torch.zeros(2, 10))
    fit_svm(model, digits, most_passes=20)
    assert evaluate(model, digits).accuracy > 0.8
    assert evaluate(model, tg.load_data("mnist").test.take(200)).accuracy > 0.5  # chance is .1
    again = small()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(digits.inputs[:2]), model(digits.inputs[:2]))


def test_two_classes_have_two_scores(digits: Dataset) -> None:
    pytest.importorskip("sklearn")
    assert digits.targets is not None
    few = Dataset(digits.inputs[:80], (digits.targets[:80] > 4).long(), ("low", "high"), "two")
    model = Kheradpisheh2018(2, maps=(8, 20), generator=torch.Generator().manual_seed(0))
    fit(model, kheradpisheh_stages(model, passes=(1, 1), batch_size=40), few)
    fit_svm(model, few, most_passes=20)
    assert evaluate(model, few).accuracy > 0.8


def test_what_cannot_work_is_refused(digits: Dataset) -> None:
    with pytest.raises(ConfigError, match="grey images"):
        Kheradpisheh2018(shape=(3, 28, 28))
    with pytest.raises(ConfigError, match="at most 255"):
        Kheradpisheh2018(steps=300)
    with pytest.raises(ShapeError, match="expects images"):
        small()(torch.rand(2, 1, 27, 28))
    with pytest.raises(ConfigError, match="two numbers"):
        kheradpisheh_stages(small(), passes=(1,))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="trains a Kheradpisheh2018"):
        kheradpisheh_stages(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="labels of all 10 classes"):
        fit_svm(small(), Dataset(digits.inputs[:5], None, digits.classes, "none"))


def test_the_cost_of_an_answer(digits: Dataset) -> None:
    """S2's additions by a plain product of the spikes with ones; the read-out adds one weight per bit and class."""
    model, images = small(), digits.inputs[:2]
    rows = {row.kind: row for row in model.cost(Use((images,), model(images), ("values",)))}
    fired = (model.c1(model.encode(images)) < model.steps).double()
    reached = torch.nn.functional.conv2d(fired, torch.ones(20, 8, 2, 2, dtype=torch.float64), padding=1)
    assert rows["neurons"].operations == {"ac": int(reached.sum()), "threshold": 15 * 2 * 20 * 16 * 16}
    assert rows["read-out"].operations == {"ac": int(model.features(images).sum()) * 10 + 20}
    assert "not counted" not in str(tg.count(model, images))
