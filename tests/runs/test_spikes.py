"""What `threegen spikes` writes, on a small untrained net; the animation is read back by another program."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from threegen.errors import ConfigError, ShapeError
from threegen.gen2.mlp import MLP
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP
from threegen.gif import animated_gif
from threegen.runs import spikes as room
from threegen.runs.spikes import spikes_run


@pytest.fixture(params=["mlp", "conv", "all options"])
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.Generator().manual_seed(0)
    if request.param == "mlp":
        model: torch.nn.Module = SpikingMLP([784, 30, 10], steps=5, generator=drawn)
    elif request.param == "conv":
        model = SpikingConvNet("3C5-P2-20-10", steps=5, generator=drawn)
    else:
        model = SpikingConvNet(
            "3C5-BN-R3C3-NN-P2-20-10V3", steps=5, encoder="direct", shortcut="spikes", adaptation=0.1, generator=drawn
        )
    run = SimpleNamespace(
        model=model,
        source="the run in a test",
        entry=SimpleNamespace(name="spiking-x"),
        facts={"classes": list("0123456789"), "shape": [1, 28, 28]},
    )
    picture = torch.rand(1, 28, 28, generator=drawn)
    monkeypatch.setattr(room, "open_run", lambda path: run)
    monkeypatch.setattr(room, "picture_of", lambda run, image: (picture, "7"))


@pytest.mark.usefixtures("opened")
def test_page_and_figures(tmp_path: Path) -> None:
    found = spikes_run("anything", "3", tmp_path / "look.html")
    page = (tmp_path / "look.html").read_text()
    assert page.count("<svg") == len(found["layers"]) + 1  # a raster a layer, and the potentials
    assert found["truth"] == "7"
    assert found["answer"] in "0123456789"
    assert found["layers"][0]["neurons"] in (784, 3 * 24 * 24)  # a direct input sends no spikes: no row
    assert all("silent" in one or "saturated" in one for one in found["warnings"])
    for row in found["layers"]:
        assert row["rate"] == pytest.approx(row["spikes"] / (5 * row["neurons"]))
        assert 0 <= row["silent"] <= row["neurons"]
    again = spikes_run("anything", "3", tmp_path / "again.html")
    assert again["layers"] == found["layers"]


@pytest.mark.usefixtures("opened")
def test_animation_has_a_frame_a_step(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    spikes_run("anything", "3", tmp_path / "look.gif")
    with pillow.open(tmp_path / "look.gif") as picture:
        assert picture.n_frames == 5
        assert picture.size[1] == 28 * room.ENLARGED


@pytest.mark.usefixtures("opened")
def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.html or a \.gif"):
        spikes_run("anything", "3", tmp_path / "look.txt")


def test_a_run_that_does_not_spike_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = SimpleNamespace(model=MLP([4, 2]), entry=SimpleNamespace(name="mlp"), facts={})
    monkeypatch.setattr(room, "open_run", lambda path: run)
    with pytest.raises(ConfigError, match="mlp has no spikes"):
        spikes_run("anything", "3", tmp_path / "look.html")


def test_a_gif_reads_back_as_it_was_written() -> None:
    pillow = pytest.importorskip("PIL.Image")
    frames = np.random.default_rng(0).integers(0, 256, (3, 37, 41), dtype=np.uint8)
    with pillow.open(io.BytesIO(animated_gif(frames, seconds=0.5))) as picture:
        assert picture.n_frames == 3
        assert picture.info["duration"] == 500
        for number in range(3):
            picture.seek(number)
            seen = np.asarray(picture.convert("L")).astype(int)
            assert abs(seen - frames[number].astype(int)).max() <= 2  # 128 greys for 256
    with pytest.raises(ShapeError, match="uint8 frames"):
        animated_gif(np.zeros((2, 3, 4)))
