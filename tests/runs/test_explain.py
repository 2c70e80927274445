"""`explain_run`: every method on a small trained run, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from threegen.datasets.dataset import Data
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, ThreegenError
from threegen.runs.explain import EXPLANATIONS, explain_run
from threegen.runs.train import train_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "lenet"
    data = load_data("mnist")
    small = Data("mnist", data.train.take(256), data.test)
    train_run("lenet-5-modern", small, mode="quick", epochs=1, out=folder)
    return folder


NOT_FOR_LENET = {
    "class-activation-map": "grad_cam, saliency and occlusion work",
    "spike-activation-maps": "no spiking neurons",
    "neurons": "diagram",
}


@pytest.mark.parametrize("method", EXPLANATIONS)
def test_every_method(run: Path, tmp_path: Path, method: str) -> None:
    options = {"steps": 3} if method in ("maximise", "integrated-gradients") else {}
    out = tmp_path / "picture.svg"
    if method in NOT_FOR_LENET:
        with pytest.raises(ConfigError, match=NOT_FOR_LENET[method]):
            explain_run(run, "0", method, out=out)
        return
    found = explain_run(run, "0", method, out=out, options=options)
    assert out.read_text().startswith("<svg")
    assert found["file"] == str(out)
    if "answer" in found:
        assert found["truth"] == "7"  # the first test image
    json.dumps(found)


def test_settings_reach_the_method_and_the_picture_stands_in_the_run(run: Path) -> None:
    found = explain_run(run, "3", "grad-cam", target="4", layer="layers.conv1", modifier="relu")
    assert (found["target"], found["layer"]) == ("4", "layers.conv1")
    assert Path(found["file"]) == run / "grad-cam.svg"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"image": "0", "method": "gradcam"}, "did you mean 'grad-cam'"),
        ({"image": None, "method": "saliency"}, "needs a picture"),
        ({"image": "0", "method": "occlusion", "modifier": "guided"}, "has no modifier"),
        ({"image": "0", "method": "saliency", "layer": "conv1"}, "has no layer"),
        ({"image": "0", "method": "saliency", "target": "ten"}, "is not a class"),
        ({"image": "0", "method": "occlusion", "options": {"windows": 3}}, "windows"),
        ({"image": "0", "method": "saliency", "options": {"depth": 1}}, "depth"),
        ({"image": None, "method": "summary", "drawing": {"overlay": True}}, "not a heat map; leave out --overlay"),
        ({"image": "0", "method": "saliency", "drawing": {"scale": 0.0}}, "scale must be"),
        ({"image": "0", "method": "saliency", "drawing": {"colormap": "virids"}}, "did you mean 'viridis'"),
        ({"image": "0", "method": "saliency", "out": "map.gif"}, "png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_done_is_said(run: Path, arguments: dict[str, object], text: str) -> None:
    with pytest.raises(ThreegenError, match=text):
        explain_run(run, **arguments)  # type: ignore[arg-type]


def test_a_heat_map_for_a_slide_into_a_folder_that_is_not_there_yet(run: Path, tmp_path: Path) -> None:
    drawing = {"overlay": True, "scale": 12.0, "bar": True, "colormap": "magma"}
    out = tmp_path / "slides" / "one" / "heat.pdf"
    found = explain_run(run, "0", "occlusion", out=out, drawing=drawing, options={"window": 14, "stride": 14})
    assert found["file"] == str(out)
    assert out.read_bytes().startswith(b"%PDF")
    table = explain_run(run, None, "summary", out=tmp_path / "deep" / "table.svg", options={"depth": 1})
    assert "at least" not in table["text"]
    assert (tmp_path / "deep" / "table.svg").exists()
