"""Diehl and Cook's network where users meet it: as a classifier, in the bill, in the report, as pictures."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from threegen.cost.count import count
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, ShapeError
from threegen.explanations.competition import class_colours, receptive_fields, theta_histogram
from threegen.explanations.explain import explain
from threegen.gen3.diehl_cook import DiehlCook
from threegen.randomness import make_generator
from threegen.report.insides import first_weights, spike_raster
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.runs import spikes
from threegen.runs.classifier import Classifier
from threegen.training.schedules import Progress, RuleValue


@pytest.fixture(scope="module")
def model() -> DiehlCook:
    """An untrained net of 8 neurons for pictures of 6 x 6; the first seven have classes."""
    net = DiehlCook(8, inputs=36, classes=3, variant="faster", generator=make_generator("pictures")).double()
    counts = torch.eye(8)[:7] * 5
    net.add_responses(counts, torch.arange(7) % 3)
    return net.eval()


PICTURES = torch.rand(4, 1, 6, 6, generator=make_generator("pictures"), dtype=torch.float64)


def test_classifier_learns_rows_of_any_width() -> None:
    """Two bumps in 20 values; the registry's net, with fewer neurons."""
    generator = np.random.default_rng(0)
    labels = np.array(["left", "right"] * 30)
    rows = generator.random((60, 20)) * 0.1
    rows[labels == "left", :10] += 0.8
    rows[labels == "right", 10:] += 0.8
    found = Classifier("diehl-cook", options={"neurons": 8}, epochs=4).fit(rows, labels)
    assert found.score(rows, labels) >= 0.9
    assert not hasattr(found, "predict_proba")  # votes are no probabilities


def test_the_bill_is_that_of_the_spikes(model: DiehlCook) -> None:
    bill = count(model, PICTURES, generator=make_generator("bill"))
    _, outcome = model.count_spikes(PICTURES, make_generator("bill"))
    repeats, sent, fired = (float(outcome[:, column].double().mean()) for column in (1, 3, 4))
    rows = {row.kind: row for row in bill.rows}
    assert set(rows) == {"encoder", "neurons", "read-out"}
    sites = (1 + repeats) * 250 * 8
    assert rows["neurons"].operations == pytest.approx(
        {
            "ac": sent * 8 + fired * 7,
            "mul": 4 * sites,
            "leak": 3 * sites,
            "integrate": sites,
            "threshold": sites,
            "reset": fired,
        }
    )
    assert rows["neurons"].memory == {"potentials": 8 * 3 * 8}  # eight neurons, three float64 each
    assert rows["read-out"].operations["mac"] == 8 * 3
    assert bill.memory["weights"] == 36 * 8 * 8
    assert not bill.uncounted
    assert bill.spiking


def test_the_report_names_the_neurons_classes(model: DiehlCook) -> None:
    found = first_weights(model, (1, 6, 6), ["a", "b", "c"])
    assert found is not None
    assert found.pictures.shape == (8, 6, 6)
    assert found.names[:4] == ("unit 1, a", "unit 2, b", "unit 3, c", "unit 4, a")
    assert found.names[7] == "unit 8"
    np.testing.assert_allclose(found.pictures[2].ravel(), model.weight[2].detach().numpy(), rtol=1e-6)


def test_the_raster_is_of_one_example(model: DiehlCook) -> None:
    data = Dataset(PICTURES, torch.tensor([0, 1, 2, 0]), ["a", "b", "c"], "pictures")
    look = spike_raster(model, data, seed=0)
    assert look is not None
    assert look.layers[0].spikes.shape == (250, 8)
    assert look.encoded is not None
    assert look.encoded.shape == (250, 6, 6)


def test_receptive_fields_have_their_classes_colours(model: DiehlCook) -> None:
    sheet = receptive_fields(model, (6, 6), scale=1)
    assert sheet[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", sheet[16:24])
    assert (width, height) == (3 * 8 - 2, 3 * 8 - 2)  # three columns of 6 pixels with gaps of 2
    assert len({tuple(colour) for colour in class_colours(10).round(3).tolist()}) == 10
    with pytest.raises(ShapeError, match="do not form a picture of 7 x 7"):
        receptive_fields(model, (7, 7))


def test_the_histogram_counts_every_threshold(model: DiehlCook) -> None:
    drawn = theta_histogram(torch.linspace(10, 30, 50))
    assert "Thresholds of 50 neurons, 10.0 to 30.0 mV" in drawn
    assert theta_histogram(model.theta).count("<line") == 1  # all are the same at first


def test_pictures_by_gradients_are_refused_and_occlusion_works(model: DiehlCook) -> None:
    look = explain(model)
    with pytest.raises(ConfigError, match="no gradient by the input"):
        look.maximise(unit=0, steps=2, example=PICTURES[:1])
    assert look.occlusion(PICTURES[:1], target=0, window=3).shape[-2:] == (6, 6)


def test_diagnosis_says_what_is_wrong() -> None:
    net = DiehlCook(12, inputs=36, classes=3, variant="faster", generator=make_generator("ill")).double()
    found = net.diagnose(PICTURES, make_generator("ill"))
    assert "no neuron has a class" in " ".join(found.findings)
    assert found.theta_drift == 0.0
    assert found.spikes >= 5
    net.theta.fill_(70.0)  # higher than any input can lift the potential
    deaf = net.diagnose(PICTURES * 0.01, make_generator("ill"))
    assert deaf.dead == 1.0
    assert "do not make the neurons fire" in deaf.findings[0]
    assert str(deaf).startswith("0.0 spikes")
    together = DiehlCook(40, inputs=36, classes=3, variant="grouped", generator=make_generator("ill")).double()
    with torch.no_grad():
        together.weight.fill_(0.3)  # all are alike, and alike within a group of delays
    assert "fire in the same step" in " ".join(together.diagnose(PICTURES, make_generator("ill")).findings)


def test_a_value_of_the_rule_moves_evenly() -> None:
    rule, move = DiehlCookSTDP(), RuleValue("rate", 1.0, 0.1)
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    seen = []
    for done in range(4):
        move(Progress(batches_done=done, batches_total=4), sgd, rule)
        seen.append(rule.rate)
    assert seen == pytest.approx([1.0, 0.775, 0.55, 0.325])
    with pytest.raises(ConfigError, match="has no 'rat'"):
        RuleValue("rat", 1.0, 0.1)(Progress(batches_total=4), sgd, rule)


def test_spikes_are_drawn(model: DiehlCook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = SimpleNamespace(
        model=model, entry=SimpleNamespace(name="diehl-cook"), facts={"classes": ["a", "b", "c"]}, source=""
    )
    monkeypatch.setattr(spikes, "open_run", lambda path: run)
    monkeypatch.setattr(spikes, "picture_of", lambda run, image: (PICTURES[0], "a"))
    found = spikes.spikes_run("anything", "0", tmp_path / "look.html")
    page = (tmp_path / "look.html").read_text()
    assert page.count("<svg") == 3  # two rasters and the potentials
    assert "unit 8, no class" in page or "unit 1, a" in page or ", b" in page
    assert found["layers"][1]["neurons"] == 8
    assert found["layers"][1]["spikes"] >= 5
