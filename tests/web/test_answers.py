"""What the page is told: answers, heat maps, hidden units, spikes, and that nothing of a model stays changed."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from threegen.cost.count import count
from threegen.datasets.strokes import mnist_form_of_strokes
from threegen.gen3.diehl_cook import DiehlCook
from threegen.randomness import make_generator
from threegen.tracing.inputs import answer as answer_of_model
from threegen.web.answers import bill
from threegen.web.calibrate import temperature_for
from threegen.web.damage import Damage, damaged, thickened
from threegen.web.request import Asked, encoded_image
from threegen.web.spiking import _layer, record_of
from threegen.web.state import PageState
from threegen.web.units import activations, hidden_layers, switched_off


def lines(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_every_model_answers_what_it_says_when_it_is_called(
    client: TestClient, state: PageState, seven: dict[str, Any]
) -> None:
    """The page's digit is the arg max of the module itself on the prepared image."""
    found = lines(client.post("/api/answer", json=seven))
    image = mnist_form_of_strokes(seven["strokes"])
    assert found[0] == {"seen": encoded_image(image)}
    assert found[-1] == {"done": True}
    answers = {one["name"]: one for one in found[1:-1]}
    assert set(answers) == set(state.by_name)
    for name, member in state.by_name.items():
        with torch.no_grad():
            scores = answer_of_model(member.model, image[None], make_generator(0, "page"))[0]
        silent = bool((scores == scores[0]).all())
        assert answers[name]["digit"] == (None if silent else int(scores.argmax()))
        assert answers[name]["shares"] == pytest.approx(scores.float().softmax(0).tolist(), abs=1e-4)


def test_the_plain_way_gives_the_same_answer_as_the_kernels(state: PageState) -> None:
    """Until kernels are compiled, spiking cards answer by the plain way: same spikes, same answer."""
    image = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(3))
    for name in ("spiking-mlp", "diehl-cook", "mozafari"):
        member = state.by_name[name]
        assert member.plain
        slow = member.scores(image)
        member.plain = False
        torch.testing.assert_close(member.scores(image), slow, rtol=1e-4, atol=1e-4)


def test_the_cost_is_that_of_this_image(client: TestClient, state: PageState, seven: dict[str, Any]) -> None:
    found = {one["name"]: one for one in lines(client.post("/api/cost", json=seven)) if "name" in one}
    image = mnist_form_of_strokes(seven["strokes"])[None]
    for name in ("mlp", "spiking-mlp"):
        counted = count(state.by_name[name].model, image, generator=make_generator(0, "page"))
        assert found[name]["total"] == counted.compute["total"]
        assert found[name]["memory"]["total"] == counted.memory["total"]
    assert found["mlp"]["multiplications"] == 784 * 12 + 12 * 10  # by hand: two layers of products
    assert found["mlp"]["spikes"] is None
    assert found["spiking-mlp"]["spikes"] is not None


def test_nothing_drawn_is_no_digit(client: TestClient) -> None:
    answer = client.post("/api/answer", json={"strokes": []})
    assert (answer.status_code, answer.json()["code"]) == (422, "empty")


def test_a_test_image_comes_as_it_is(client: TestClient, state: PageState) -> None:
    found = client.post("/api/test-image", json={"index": 13}).json()
    values = np.frombuffer(base64.b64decode(found["image"]), np.uint8)
    expected = (state.data.test.inputs[13] * 255).round().to(torch.uint8).numpy().ravel()
    assert np.array_equal(values, expected)
    assert found["label"] == 3


def test_one_that_a_model_gets_wrong_is_wrong(client: TestClient, state: PageState) -> None:
    member = state.by_name["mlp"]
    found = client.post("/api/test-image", json={"wrong_for": "mlp", "digit": 4}).json()
    assert found["label"] == 4
    image = state.data.test.inputs[found["index"]]
    assert int(member.scores(image[None]).argmax()) != 4


@pytest.mark.parametrize("method", ["saliency", "guided", "grad-cam", "occlusion"])
def test_heat_maps_come_or_a_sentence_says_why_not(
    client: TestClient, state: PageState, seven: dict[str, Any], method: str
) -> None:
    found = {
        one["name"]: one for one in lines(client.post("/api/heat", json={**seven, "method": method})) if "name" in one
    }
    assert set(found) == set(state.by_name)
    for one in found.values():
        if "error" in one:
            assert one["code"] in ("cannot", "flat")
        else:
            values = np.frombuffer(base64.b64decode(one["map"]), np.int8)
            assert values.shape == (784,)
            assert np.abs(values.astype(int)).max() == 127
    drawn = {name for name, one in found.items() if "map" in one}
    expected = {
        "saliency": {"perceptron", "mlp", "lenet-5-modern"},
        "guided": {"mlp", "lenet-5-modern"},
        "grad-cam": {"lenet-5-modern"},
        "occlusion": {"mlp"},
    }
    assert expected[method] <= drawn


def test_saliency_of_a_perceptron_is_its_weights(client: TestClient, state: PageState, seven: dict[str, Any]) -> None:
    """ds_k/dx is row k of W: known without any of our code for heat maps."""
    found = [
        one
        for one in lines(client.post("/api/heat", json={**seven, "method": "saliency", "models": ["perceptron"]}))
        if "map" in one
    ]
    row = state.by_name["perceptron"].model.weight[found[0]["target"]].detach()  # type: ignore[index,union-attr]
    expected = (row / row.abs().max() * 127).round().to(torch.int8).numpy()
    assert np.array_equal(np.frombuffer(base64.b64decode(found[0]["map"]), np.int8), expected)


@pytest.mark.parametrize("name", ["mlp", "lenet-5-modern", "dbn", "diehl-cook", "spiking-mlp", "mozafari"])
def test_hidden_units_can_be_switched_off_and_come_back(state: PageState, name: str) -> None:
    """With all units of a layer off the scores do not depend on the image; afterwards every weight is as it was."""
    member = state.by_name[name]
    before = {key: value.clone() for key, value in member.model.state_dict().items()}
    one, other = torch.rand(2, 1, 1, 28, 28, generator=torch.Generator().manual_seed(5)).unbind(0)
    with member.lock:
        layer, known = next(iter(hidden_layers(member).items()))
        was = member.scores(one)
        with switched_off(member, {layer: tuple(range(known.units))}):
            values = activations(member, one[0])[layer]
            off, off_too = member.scores(one), member.scores(other)
        again = member.scores(one)
    assert torch.equal(was, again)
    torch.testing.assert_close(off, off_too)
    assert float(values.abs().max()) < 1e-6
    after = member.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_hidden_layers_of_known_networks(state: PageState) -> None:
    units = {name: {path: one.units for path, one in hidden_layers(m).items()} for name, m in state.by_name.items()}
    assert units["perceptron"] == {}
    assert list(units["mlp"].values()) == [12]
    assert list(units["dbn"].values()) == [20, 20, 30]
    assert units["diehl-cook"] == {"neurons": 8}
    assert units["spiking-mlp"] == {"neurons.0": 14}
    assert units["mozafari"] == {"s1": 6, "s2": 8}
    assert list(units["lenet-5-modern"].values()) == [6, 6, 16, 16, 120, 84]  # LeCun et al. 1998, figure 2


def test_inside_shows_units_and_fields(client: TestClient, seven: dict[str, Any]) -> None:
    found = client.post("/api/inside", json={**seven, "model": "dbn"}).json()
    assert [layer["of"] for layer in found["layers"]] == [20, 20, 30]
    assert len(base64.b64decode(found["reconstruction"])) == 784
    assert found["fields"]["of"] == 20
    assert len(base64.b64decode(found["fields"]["values"])) == 20 * 784
    assert client.post("/api/inside", json={**seven, "model": "perceptron"}).json()["layers"] == []


def test_a_dream_is_a_film_of_one_digit(client: TestClient) -> None:
    found = client.post("/api/dream", json={"model": "dbn", "digit": 7, "seed": 1}).json()
    assert len(found["images"]) == 20
    refused = client.post("/api/dream", json={"model": "mlp", "digit": 7, "seed": 1})
    assert (refused.status_code, refused.json()["code"]) == (422, "cannot")


@pytest.mark.parametrize("name", ["spiking-mlp", "diehl-cook"])
def test_the_record_of_a_spiking_network(state: PageState, name: str) -> None:
    """Spikes are counted from the network's own record; the decision ends where the answer is."""
    member = state.by_name[name]
    image = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(7))
    found = record_of(member, Asked(image))
    with torch.no_grad():
        record = member.model.run(image[None], generator=make_generator(0, "page"))  # type: ignore[operator]
    assert found["steps"] == len(record.inputs)
    assert [layer["spikes"] for layer in found["layers"]] == [int(spikes.sum()) for spikes in record.spikes]
    assert len(found["decision"]) == -(-found["steps"] // found["bin"]) <= 120
    assert found["decision"][-1] == pytest.approx(record.scores[0].float().softmax(0).tolist(), abs=1e-3)
    if not isinstance(member.model, DiehlCook):
        sent = sum(len(row) for layer in found["layers"] for row in layer["raster"])
        assert sent == sum(int(spikes.sum()) for spikes in record.spikes)


def test_the_record_of_single_spikes(state: PageState, seven: dict[str, Any]) -> None:
    """A neuron fires once, in the step that its own layer says; after the last step the answer is that of the net."""
    member = state.by_name["mozafari"]
    model, image = member.model, mnist_form_of_strokes(seven["strokes"])
    found = record_of(member, Asked(image))
    encoded = model.encode(image[None])  # type: ignore[operator]
    fired = model.s1.fire(encoded.long())[0]  # type: ignore[union-attr,operator]
    assert (found["steps"], found["bin"]) == (15, 1)
    assert found["layers"][0]["neurons"] == 6 * 28 * 28
    assert found["layers"][0]["spikes"] == int((fired < 15).sum()) > 0
    assert bill(member, image)["spikes"] == sum(layer["spikes"] for layer in found["layers"])
    times = fired.flatten()
    shown = found["layers"][0]["shown"]
    raster = [[shown[neuron] for neuron in row] for row in found["layers"][0]["raster"]]
    assert all(times[neuron] == step for step, row in enumerate(raster) for neuron in row)
    expected = member.shares(member.scores(image[None]))[0].tolist()
    assert found["decision"][-1] == pytest.approx(expected, abs=1e-3)


def test_a_raster_draws_neurons_from_all_over_the_layer() -> None:
    """More fire than are drawn: an even choice; fewer: all of them, and silent ones beside them."""
    many = _layer(0, torch.ones(2, 1000), 1)
    assert len(many["shown"]) == 120
    assert (many["shown"][0], many["shown"][-1]) == (0, 999)
    few = torch.zeros(2, 400)
    few[0, [3, 250]] = 1
    drawn = _layer(0, few, 1)
    assert len(drawn["shown"]) == len(set(drawn["shown"])) == 120
    assert {3, 250} <= set(drawn["shown"])
    assert (drawn["spikes"], drawn["silent"]) == (2, 398)


@pytest.mark.parametrize(("name", "frames"), [("spiking-mlp", 3), ("mozafari", 15), ("diehl-cook", 84)])
def test_accuracy_against_the_number_of_steps_ends_with_that_of_all_steps(
    state: PageState, name: str, frames: int
) -> None:
    """Diehl and Cook's 250 steps are told in bins of three: 84 frames, the last of them the whole presentation."""
    member = state.by_name[name]
    found = state.accuracy_by_steps(member)
    images, labels = state.data.test.inputs, state.data.test.targets
    right = float((member.scores(images).argmax(1) == labels).float().mean())
    assert (len(found["accuracy"]), found["images"]) == (frames, 40)
    assert found["accuracy"][-1] == pytest.approx(right, abs=0.2)  # other random spikes


def test_damage_moves_the_image_as_its_sliders_say() -> None:
    image = torch.zeros(1, 28, 28)
    image[0, 10, 12] = 1.0
    moved = damaged(image, Damage(right=3, down=-4))
    assert moved[0, 6, 15] == pytest.approx(1.0, abs=1e-5)
    # a quarter turn clockwise around the middle (13.5, 13.5): (x, y) -> (27 - y, x)
    turned = damaged(image, Damage(rotation=90))
    assert turned[0, 12, 17] == pytest.approx(1.0, abs=1e-4)
    noisy = damaged(image, Damage(noise=0.5))
    assert torch.equal(noisy, damaged(image, Damage(noise=0.5)))
    assert 0.0 <= float(noisy.min()) <= float(noisy.max()) <= 1.0


def test_strokes_of_a_picture_become_thicker_and_thinner() -> None:
    image = torch.zeros(1, 28, 28)
    image[0, 5:23, 12:16] = 1.0
    assert float(thickened(image, 2.0).sum()) == 20 * 6  # a pixel more on every side
    assert float(thickened(image, 0.5).sum()) == 16 * 2
    assert torch.equal(thickened(image, 1.0), image)


def test_temperature_is_that_of_the_likelihood() -> None:
    """Scores drawn from the model itself, made too large by 4: the temperature that undoes it is 4."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4_000, 10, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    assert temperature_for(4 * logits, labels) == pytest.approx(4.0, rel=0.15)
    assert temperature_for(torch.zeros(10, 10), torch.arange(10)) == 1.0
