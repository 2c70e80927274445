"""What the report shows of a model is what the model did."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.errors import DataError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP
from threegen.report.insides import collect_insides, epoch_curves, first_weights, spike_raster, worst_mistakes
from threegen.training.evaluate import evaluate, summarise

SHAPE = (1, 28, 28)
CLASSES = tuple("abcdefghij")


def dataset(count: int = 30) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, *SHAPE, generator=generator)
    return Dataset(images, torch.arange(count) % 10, CLASSES, "noise")


def test_worst_mistakes_are_the_surest_wrong_answers() -> None:
    data = dataset(4)  # labels 0 1 2 3
    scores = torch.zeros(4, 10)
    scores[0, 0] = 9.0  # right and sure
    scores[1, 5] = 1.0  # wrong
    scores[2, 6] = 3.0  # wrong and surer
    scores[3, 3] = 1.0  # right
    found = worst_mistakes(summarise(scores, data.targets), data)  # type: ignore[arg-type]
    assert [(one.index, one.truth, one.answer) for one in found] == [(2, 2, 6), (1, 1, 5)]
    assert found[0].confidence == pytest.approx(np.exp(3) / (np.exp(3) + 9))  # softmax by hand
    np.testing.assert_array_equal(found[0].image, data.inputs[2, 0].numpy())
    assert len(worst_mistakes(summarise(scores, data.targets), data, most=1)) == 1  # type: ignore[arg-type]


def test_worst_mistakes_refuse_another_data_set() -> None:
    data = dataset(4)
    evaluation = summarise(torch.zeros(4, 10), data.targets)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="4 answers"):
        worst_mistakes(evaluation, data.take(3))


def test_first_weights_of_each_kind_of_model() -> None:
    mlp = MLP([784, 100, 10])
    found = first_weights(mlp, SHAPE, CLASSES)
    assert found is not None
    assert (found.layer, found.total, found.pictures.shape) == ("layers.linear1", 100, (40, 28, 28))
    weight = mlp.get_submodule("layers.linear1").weight
    np.testing.assert_array_equal(found.pictures[-1], weight[99].detach().reshape(28, 28).numpy())
    assert found.names[-1] == "unit 100"
    found = first_weights(LeNet5Modern(), SHAPE, CLASSES)
    assert found is not None
    assert found.pictures.shape == (6, 5, 5)


def test_a_unit_for_each_class_takes_its_name_and_an_averaged_perceptron_its_average() -> None:
    model = Perceptron(784, 10, averaged=True)
    with torch.no_grad():
        model.weight.fill_(4.0)
        model.accumulate(1)
        model.weight.fill_(8.0)
        model.accumulate(1)
    found = first_weights(model, SHAPE, CLASSES)
    assert found is not None
    assert found.names == CLASSES
    assert (found.pictures == 6.0).all()  # (4 + 8) / 2
    assert model.training


def test_no_pictures_where_weights_form_none() -> None:
    assert first_weights(nn.Linear(20, 3), (20,)) is None
    assert first_weights(nn.ReLU(), SHAPE) is None


def test_raster_is_what_the_net_did_and_repeats() -> None:
    model = SpikingMLP([784, 30, 10], steps=7)
    data = dataset(3)
    look, again = spike_raster(model, data, seed=5), spike_raster(model, data, seed=5)
    assert look is not None
    assert again is not None
    assert [(layer.name, layer.spikes.shape) for layer in look.layers] == [
        ("hidden layer 1", (7, 30)),
        ("output layer", (7, 10)),
    ]
    assert look.layers[1].labels == CLASSES
    assert look.encoded is not None
    assert look.encoded.shape == (7, 28, 28)
    assert look.threshold == 0.5
    assert len(look.membranes) == 3
    assert {CLASSES[look.answer], CLASSES[look.truth]} <= {one.name for one in look.membranes}
    for one in look.membranes:  # a neuron fires exactly where its potential reaches the threshold
        np.testing.assert_array_equal(one.spikes, one.potential >= 0.5)
    np.testing.assert_array_equal(look.encoded, again.encoded)
    np.testing.assert_array_equal(look.layers[0].spikes, again.layers[0].spikes)


def test_models_without_spikes_have_no_raster() -> None:
    assert spike_raster(MLP([784, 10]), dataset(1), seed=0) is None


def test_insides_of_any_model_and_the_mode_stays() -> None:
    data = dataset()
    for model in (Perceptron(784, 10), MLP([784, 20, 10]), LeNet5Modern(), SpikingMLP([784, 20, 10], steps=3)):
        model.train()
        found = collect_insides(model, evaluate(model, data), data, seed=0, counting_rule="a rule")
        assert model.training
        assert found.confusion is not None
        assert found.confusion.sum() == len(data)
        assert found.filters is not None
        assert (found.raster is not None) == isinstance(model, SpikingMLP)
        assert found.counting_rule == "a rule"


def test_curves_are_counted_on_over_stages() -> None:
    log = [
        {"stage": 0, "epoch": 1, "loss": 2.0, "note": "text"},
        {"stage": 1, "epoch": 1, "loss": 1.0, "norm": float("inf")},
    ]
    assert epoch_curves(log) == (
        {"stage": 0, "epoch": 1, "train_loss": 2.0},
        {"stage": 1, "epoch": 2, "train_loss": 1.0},
    )


def test_curves_tell_mistakes_and_seconds_of_each_epoch() -> None:
    """Updates and seconds of a log run on; 30 updates on 100 examples, then 20 more, are 30 % and 20 %."""
    log = [
        {"epoch": 0, "updates": 30, "seconds": 2.0, "loss": 5.0},
        {"epoch": 1, "updates": 50, "seconds": 3.5, "loss": 9.0},
    ]
    assert epoch_curves(log, mistakes_of=100) == (
        {"epoch": 1, "updates": 30, "seconds": 2.0, "mistakes": 0.3},
        {"epoch": 2, "updates": 50, "seconds": 1.5, "mistakes": 0.2},
    )
