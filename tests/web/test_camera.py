"""A net for recordings on the page: the simulated camera records the drawing, and the net gets its events."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from threegen.cost.count import count
from threegen.datasets.events.frames import to_frames
from threegen.datasets.saccades import simulate
from threegen.datasets.strokes import mnist_form_of_strokes
from threegen.errors import ConfigError
from threegen.gen3.networks import SpikingMLP
from threegen.web.camera import BehindCamera, behind_camera, reads_recordings_of_digits
from threegen.web.lineup import warm_up
from threegen.web.state import PageState

RECORDED: dict[str, Any] = {
    "name": "spiking-events",
    "data": "n-mnist",
    "data_options": {"frames": 3, "binary": True},
    "shape": [3, 2, 34, 34],
}


@pytest.fixture
def net() -> BehindCamera:
    generator = torch.Generator().manual_seed(4)
    return behind_camera(SpikingMLP([2 * 34 * 34, 14, 10], steps=3, threshold=0.3, generator=generator), RECORDED)


def drawing(seed: int) -> torch.Tensor:
    strokes = [[[40.0, 40.0 + seed], [200.0, 40.0]], [[200.0, 40.0], [110.0, 240.0 - seed]]]
    return mnist_form_of_strokes(strokes)[None]


def test_the_net_gets_the_frames_of_the_simulated_recording(net: BehindCamera) -> None:
    """300 ms in three binary frames, by the functions that make the training recordings."""
    x = drawing(0)
    frames = to_frames(simulate(x)[0], 3, milliseconds=300.0, binary=True)[None]
    assert frames.sum() > 100
    torch.testing.assert_close(net(x), net(frames))
    assert torch.equal(net.encode(x), frames.transpose(0, 1).flatten(2))
    assert torch.equal(net.run(x).inputs, net.encode(x))


def test_equal_drawings_give_equal_events_wherever_they_stand(net: BehindCamera) -> None:
    together = net.encode(torch.cat([drawing(0), drawing(30), drawing(0)])).transpose(0, 1)
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert torch.equal(net.encode(drawing(30))[:, 0], together[1])


def test_the_cost_is_one_accumulate_per_event_and_connection(net: BehindCamera) -> None:
    """By hand: each event reaches 14 units, each of their spikes 10; the camera is no computation of the net."""
    x = drawing(0)
    record = net.run(x)
    rows = {row.name: row for row in count(net, x).rows}
    assert rows["synapses.0"].operations["ac"] == 14 * int(record.inputs.sum())
    assert rows["synapses.1"].operations["ac"] == 10 * int(record.spikes[0].sum())
    assert not any("mac" in row.operations for row in rows.values())
    assert not rows["encoder"].operations


def test_the_layers_are_the_net_s_own_and_their_fields_are_on_less_off() -> None:
    inner = SpikingMLP([2 * 34 * 34, 4, 10], steps=3)
    found = behind_camera(inner, RECORDED)
    assert found.synapses is inner.synapses
    weight = inner.synapses[0].weight.detach()
    expected = weight[:, 34 * 34 :] - weight[:, : 34 * 34]
    assert torch.equal(found.receptive_fields(), expected.reshape(4, 34, 34))


def test_which_nets_can_stand_behind_it() -> None:
    assert reads_recordings_of_digits(RECORDED)
    assert not reads_recordings_of_digits({"data": "cifar10-dvs", "shape": [3, 2, 128, 128]})
    assert not reads_recordings_of_digits({"data": "mnist", "shape": [1, 28, 28]})
    with pytest.raises(ConfigError, match="a SpikingMLP trained on binary"):
        behind_camera(torch.nn.Linear(3, 2), RECORDED)
    with pytest.raises(ConfigError, match="binary"):
        behind_camera(SpikingMLP([2312, 4, 10]), {**RECORDED, "data_options": {"frames": 3}})


def test_its_card_shows_events_and_no_gradient(client: TestClient, state: PageState, seven: dict[str, Any]) -> None:
    told = next(one for one in client.get("/api/models").json()["models"] if one["name"] == "spiking-events")
    assert told["camera"] == {"planes": [2, 34, 34], "milliseconds": 300.0}
    assert told["spiking"]
    played = client.post("/api/spikes", json={**seven, "model": "spiking-events"}).json()
    events = state.by_name["spiking-events"].model.encode(mnist_form_of_strokes(seven["strokes"])[None])  # type: ignore[operator]
    assert [len(fired) for fired in played["input"]] == events[:, 0].sum(1).int().tolist()
    inside = client.post("/api/inside", json={**seven, "model": "spiking-events"}).json()
    assert (inside["fields"]["height"], inside["fields"]["width"]) == (34, 34)
    asked = {**seven, "models": ["spiking-events"], "method": "saliency"}
    assert '"code":"cannot"' in client.post("/api/heat", json=asked).text
    assert '"map"' in client.post("/api/heat", json={**asked, "method": "occlusion"}).text


def test_warming_up_leaves_the_answer_as_it_is(state: PageState) -> None:
    member = state.by_name["spiking-events"]
    before = member.scores(drawing(0))
    warm_up(member)
    assert not member.plain
    torch.testing.assert_close(member.scores(drawing(0)), before)
