"""Each class picture of the report is answered by its class, for every model of the lineage that has them."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch

from threegen.conversion.convert import ConversionWarning
from threegen.cost.count import count
from threegen.datasets.dataset import Data
from threegen.datasets.load import load_data
from threegen.explanations.explain import explain
from threegen.registry.entry import lineage_entries
from threegen.report.insides import collect_explanations
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate

WITHOUT = {"diehl-cook", "mozafari"}  # no gradient by the image, so the report shows no class pictures of them


IMAGES = {"dbn": 6000}  # with 1,500 it knows no picture at all that it takes for a five


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("mnist")


@pytest.mark.parametrize("name", [entry.name for entry in lineage_entries()])
def test_each_class_picture_is_answered_by_its_class(name: str, digits: Data) -> None:
    some = dataclasses.replace(digits, train=digits.train.take(IMAGES.get(name, 1500)), test=digits.test.take(60))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConversionWarning)  # of few digits few are learnt
        run = train_run(name, some, mode="quick", seed=0)
    assert count(run.model, some.test.inputs[:2]).complete  # the report's totals need no "at least"
    explanations = collect_explanations(run.model, evaluate(run.model, some.test, seed=0), some.test, seed=0)
    if name in WITHOUT:
        assert explanations is None
        return
    assert explanations is not None
    pictures = torch.from_numpy(explanations.wanted)[:, None]
    assert explain(run.model).subject.scores(pictures).argmax(1).tolist() == list(range(10))
