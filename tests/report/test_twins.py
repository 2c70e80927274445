"""A spiking network is set beside its like: same structure, else same kind, else none; accuracy in the sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from threegen.report.results import Insides, ModelResult
from threegen.report.twins import kind, price_of_spikes, structure, twin

MakeModel = Callable[..., ModelResult]
DENSE = (("linear", [800]), ("linear", [10]))
CONVOLUTIONAL = (("convolution", [15, 24, 24]), ("average pooling", [15, 12, 12]), ("linear", [10]))


@pytest.fixture
def make(model: MakeModel) -> Callable[..., ModelResult]:
    def build(name: str, generation: int, layers: Sequence[tuple[str, list[int]]], **changes: Any) -> ModelResult:
        rows = [
            {"kind": said, "output": shape, "parameters": 0 if "pooling" in said else 5, "operations": {}, "memory": {}}
            for said, shape in layers
        ]
        bare = model(name, generation, **changes)
        return dataclasses.replace(bare, insides=Insides(bill_rows=tuple(rows)))

    return build


def test_structure_and_kind_are_read_from_the_bill(make: Callable[..., ModelResult]) -> None:
    assert structure(make("a", 2, DENSE)) == (("linear", (800,)), ("linear", (10,)))
    assert kind(make("a", 2, DENSE)) == "fully connected"
    assert kind(make("a", 3, CONVOLUTIONAL)) == "convolutional"
    assert kind(make("a", 2, [("recurrent", [28, 9]), ("linear", [10])])) == "recurrent"
    assert kind(make("diehl-cook", 3, [("neurons", [400])])) == ""


def test_the_same_structure_goes_before_size(make: Callable[..., ModelResult]) -> None:
    spiking = make("spiking", 3, DENSE, parameters=1000)
    near = make("near", 2, (("linear", [30]), ("linear", [10])), parameters=1001)
    same = make("same", 2, DENSE, parameters=5000)
    found = twin(spiking, [near, spiking, same])
    assert found == (same, "of the same structure")


def test_the_same_kind_goes_before_size_and_its_size_is_said(make: Callable[..., ModelResult]) -> None:
    """A convolutional net is set beside a convolutional one, never beside the RBM that is nearest in size."""
    spiking = make("spiking-conv", 3, CONVOLUTIONAL, parameters=200_000)
    rbm = make("rbm-softmax", 2, DENSE, parameters=200_000)
    lenet = make("lenet", 2, (("convolution", [6, 28, 28]), ("linear", [10])), parameters=60_000)
    assert twin(spiking, [rbm, lenet]) == (lenet, "also convolutional (60,000 parameters against 200,000)")


def test_of_the_same_kind_the_one_that_learns_alike(make: Callable[..., ModelResult]) -> None:
    spiking = make("spiking", 3, (("linear", [90]), ("linear", [10])), rule="spatio-temporal back-propagation")
    rule = "contrastive divergence (CD-1), then back-propagation of the last layer"
    rbm = make("rbm", 2, DENSE, rule=rule)
    mlp = make("mlp", 2, DENSE, parameters=900_000)
    found = twin(spiking, [rbm, mlp])
    assert found is not None
    assert found[0] is mlp
    assert twin(spiking, [rbm]) is not None


def test_without_a_like_that_is_said(make: Callable[..., ModelResult]) -> None:
    """A Diehl and Cook net, whose layers are none of these, and a convolutional net in a report without others."""
    lenet = make("lenet", 2, CONVOLUTIONAL)
    cook = make("diehl-cook", 3, [("neurons", [400])])
    assert twin(cook, [lenet, cook]) is None
    said = price_of_spikes(cook, [lenet, cook])
    assert "No second-generation net of this report has its kind of layers" in said
    assert lenet.title not in said
    dense = make("spiking-mlp", 3, DENSE)
    assert "No second-generation net of this report is fully connected like it" in price_of_spikes(dense, [lenet])
    assert price_of_spikes(dense, [dense]) == ""  # no conventional net at all: there is nothing to say
    assert price_of_spikes(lenet, [lenet, cook]) == ""


@pytest.mark.parametrize(
    ("correct", "words"),
    [
        (9_800, "both are equally accurate"),
        (9_790, "it is 0.10 points less accurate (the intervals overlap)"),
        (9_700, "it is 1.00 points less accurate."),
        (9_900, "it is 1.00 points more accurate."),
    ],
)
def test_accuracy_is_in_the_sentence(correct: int, words: str, make: Callable[..., ModelResult]) -> None:
    # the fixture's intervals are 0.3 points to each side, so that 1.00 points are outside and 0.10 inside
    spiking, mlp = make("spiking", 3, DENSE, correct=correct), make("mlp", 2, DENSE)
    sentence = price_of_spikes(spiking, [mlp, spiking]).replace("\u00a0", " ").split(". ")[0] + "."
    for wanted in (f"{correct / 100:.2f} % right", "98.00 % right", "times as much", words):
        assert wanted in sentence
