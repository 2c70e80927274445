"""Training on the page: one at a time, held and prolonged, and what it leaves is an ordinary run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from threegen.datasets.dataset import Data, Dataset
from threegen.errors import ConfigError
from threegen.randomness import make_generator
from threegen.registry.entry import find_entry
from threegen.runs.run import open_run
from threegen.web.comparing import compare_members
from threegen.web.state import PageState
from threegen.web.training import LiveTraining, Order, trainable


def bars(count: int, seed: int) -> Dataset:
    """Return images that a perceptron can learn: class k is a bright row 2 k."""
    generator = make_generator(seed, "bars")
    labels = torch.randint(0, 10, (count,), generator=generator)
    images = 0.1 * torch.rand(count, 1, 28, 28, generator=generator)
    images[torch.arange(count), 0, 2 * labels] = 1.0
    return Dataset(images, labels, tuple("0123456789"), "bars")


@pytest.fixture
def live(tmp_path: Path) -> LiveTraining:
    data = Data("bars", bars(2_000, 0), bars(100, 1))
    return LiveTraining(lambda: data, tmp_path / "runs")


def wait(live: LiveTraining) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while live.busy and time.monotonic() < deadline:
        time.sleep(0.02)
    return live.describe()


def order(model: str, rule: str = "", **options: Any) -> Order:
    usual = {"epochs": 1, "images": 500, "seed": 0, "rate": None}
    return Order(model, rule or find_entry(model).rule_name, **{**usual, **options})


def test_it_learns_and_leaves_a_run(live: LiveTraining) -> None:
    live.start(order("perceptron", epochs=2))
    found = wait(live)
    assert (found["state"], found["problem"]) == ("done", "")
    assert found["accuracy"][-1][1] > 0.95
    run = open_run(found["folder"])
    assert (run.entry.name, run.plan["epochs"]) == ("perceptron", 2)
    assert Path(found["folder"]).name == "perceptron-1"


@pytest.mark.parametrize("rule", ["back-propagation of the squared error", ""])
def test_another_rule_and_another_rate(live: LiveTraining, rule: str) -> None:
    live.start(order("mlp", rule, rate=0.003))
    found = wait(live)
    assert (found["state"], found["problem"]) == ("done", "")
    assert found["rate"] == 0.003
    assert found["accuracy"][-1][1] > 0.5
    assert found["fields"]["of"] == 512


def test_an_epoch_is_added_to_what_is_done(live: LiveTraining) -> None:
    live.start(order("perceptron"))
    wait(live)
    live.add_epoch()
    found = wait(live)
    assert (found["state"], found["epochs"], found["epoch"]) == ("done", 2, 2)
    assert open_run(found["folder"]).log.epochs[-1]["epoch"] == 1


def test_it_is_paused_and_stopped(live: LiveTraining) -> None:
    live.start(order("perceptron", epochs=50, images=1500))
    live.pause()
    time.sleep(0.3)
    with pytest.raises(ConfigError, match="running"):
        live.start(order("mlp"))
    before = live.watched.batches
    time.sleep(0.3)
    assert live.watched.batches == before
    assert live.describe()["state"] == "paused"
    live.go_on()
    live.stop()
    found = wait(live)
    assert found["state"] == "stopped"
    assert found["epoch"] < 50


def test_unknown_rules_are_refused_by_name(live: LiveTraining) -> None:
    with pytest.raises(ConfigError, match="choose perceptron rule"):
        live.start(order("perceptron", "no such rule"))
    assert not live.busy


def test_every_model_of_the_lineage_can_be_chosen() -> None:
    found = {one["name"]: one for one in trainable()}
    assert {"perceptron", "mlp", "dbn", "lenet-5-modern", "diehl-cook", "spiking-mlp"} <= set(found)
    assert found["dbn"]["rate"] is False  # it learns in stages, which carry their own rates
    assert all(one["rules"] for one in found.values())


@pytest.mark.parametrize(
    "body",
    [
        {"action": "start", "model": "../mlp", "rule": "x"},
        {"action": "start", "model": 3, "rule": "x"},
        {"action": "start", "model": "mlp", "rule": "x", "epochs": 1000},
        {"action": "start", "model": "mlp", "rule": "x", "images": 10},
        {"action": "rate", "rate": -1},
        {"action": "no such"},
        {"action": "join"},
        {"action": "add_epoch"},
        [],
    ],
)
def test_what_the_tab_does_not_send_is_refused(client: TestClient, body: Any) -> None:
    assert client.post("/api/train", json=body).status_code in (400, 422)
    assert client.get("/api/training").json()["state"] == "idle"


def test_a_trained_run_joins_the_answers(state: PageState, live: LiveTraining, client: TestClient) -> None:
    state.live = live
    live.start(order("perceptron"))
    wait(live)
    assert client.post("/api/train", json={"action": "join"}).status_code == 200
    assert [one["name"] for one in client.get("/api/models").json()["models"]][-1] == "perceptron-1"
    assert client.post("/api/train", json={"action": "join"}).status_code == 422


def test_the_comparison_is_the_card(state: PageState, client: TestClient) -> None:
    """The figures are those of `tg.compare` on the same images; here the products of two layers, by hand."""
    members = [state.by_name["mlp"], state.by_name["spiking-mlp"]]
    found = compare_members(members, state.data.test, 40)
    lines = {line["label"]: line["values"] for part in found["sections"] for line in part["lines"]}
    assert lines["multiplications C_mul"][0] == f"{784 * 12 + 12 * 10:,}"
    assert len(found["verdict"]) == 1
    assert client.post("/api/compare", json={"models": ["mlp"]}).status_code == 400
    answer = client.post("/api/compare", json={"models": ["mlp", "perceptron"], "images": 50})
    assert answer.status_code == 200
    assert answer.json()["models"] == ["mlp", "perceptron"]
