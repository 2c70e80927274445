"""The weights that ship: small, without pickle, checked by digest, and as good as their manifest says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.datasets.events import writers

import threegen as tg
from threegen.datasets.dataset import Data
from threegen.datasets.load import load_data
from threegen.datasets.saccades import simulate
from threegen.errors import CheckpointError, ConfigError, DataError
from threegen.gen3.diehl_cook import DiehlCook
from threegen.registry.entry import find_entry
from threegen.runs import pretrained as shipped
from threegen.runs.answer import evaluate_run, predict_run
from threegen.runs.explain import explain_run
from threegen.runs.pretrained import MANIFEST, WEIGHTS, pretrained, pretrained_models
from threegen.runs.run import load_run, open_run
from threegen.runs.spikes import spikes_run
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate
from threegen.web.lineup import for_drawings

NAMES = tuple(pretrained_models())
RECORDED = ("spiking-events",)  # trained on simulated recordings, tested on real ones
MOST_BYTES = 20_000_000  # issue 20: all weights together


@pytest.fixture(scope="module")
def data() -> Data:
    return load_data("mnist")


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_the_manifest(name: str, data: Data) -> None:
    """The first test images, counted when the weights were made; sums rounded otherwise may turn one answer over."""
    facts = pretrained_models()[name]
    checked = facts["checked"]
    reader = for_drawings(pretrained(name), facts)
    found = evaluate(reader, data.test.take(checked["images"]), seed=checked["seed"])
    assert abs(found.correct - checked["correct"]) <= 1
    low, high = facts["interval"]
    assert low <= facts["accuracy"] <= high
    assert facts["correct"] == round(facts["accuracy"] * facts["count"])
    assert facts["count"] == (1_000 if name in RECORDED else len(data.test))


@pytest.mark.parametrize("name", NAMES)
def test_manifest_agrees_with_the_registry(name: str, data: Data) -> None:
    facts, entry = pretrained_models()[name], find_entry(name)
    assert (facts["year"], facts["rule"], facts["paper"]) == (entry.year, entry.rule_name, entry.paper)
    if name not in RECORDED:
        assert facts["data_sha256"] == {"train": data.train.fingerprint(), "test": data.test.fingerprint()}
        assert facts["examples"] == 60_000
    assert facts["command"] == f"python scripts/pretrained_weights.py {name}"
    model = pretrained(name)
    assert facts["steps"] == (model.variant.steps if isinstance(model, DiehlCook) else getattr(model, "steps", None))


def test_files_are_few_small_and_no_pickles() -> None:
    """Only the manifest and the files that it names, each of which begins as safetensors files do: a length, JSON."""
    files = {path.name for path in WEIGHTS.iterdir()}
    assert files == {MANIFEST, *(facts["file"] for facts in pretrained_models().values())}
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < MOST_BYTES
    for facts in pretrained_models().values():
        content = (WEIGHTS / facts["file"]).read_bytes()
        assert len(content) == facts["bytes"]
        header = content[8 : 8 + int.from_bytes(content[:8], "little")]
        assert all({"dtype", "shape", "data_offsets"} == set(one) for one in json.loads(header).values())


def test_float16_costs_at_most_two_of_ten_thousand_answers() -> None:
    for facts in pretrained_models().values():
        right = facts["right_training_images"]
        assert facts["precision"] == "float32" or right["float16"] >= right["float32"] - 2


def test_a_loaded_model_computes_in_its_own_type_and_is_nobody_elses() -> None:
    first, second = pretrained("mlp"), pretrained("mlp")
    assert not first.training
    assert {one.dtype for one in first.parameters()} == {torch.float32}
    with torch.no_grad():
        next(first.parameters()).zero_()
    assert bool(next(second.parameters()).any())


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'mlp'"):
        tg.pretrained("mlpp")


# -- damaged files ----------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the manifest and of the perceptron's weights, from which `pretrained` reads."""
    for name in (MANIFEST, "perceptron.safetensors"):
        shutil.copy(WEIGHTS / name, tmp_path)
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    return tmp_path


def _flip_one_bit(folder: Path) -> None:
    path = folder / "perceptron.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


def _cut(folder: Path) -> None:
    path = folder / "perceptron.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def _no_number(folder: Path) -> None:
    found = json.loads((folder / MANIFEST).read_text())
    found["models"]["mlp"]["accuracy"] = "good"
    (folder / MANIFEST).write_text(json.dumps(found))


def _elsewhere(folder: Path) -> None:
    found = json.loads((folder / MANIFEST).read_text())
    found["models"]["perceptron"]["file"] = "../perceptron.safetensors"
    (folder / MANIFEST).write_text(json.dumps(found))


def _other_sizes(folder: Path) -> None:
    found = json.loads((folder / MANIFEST).read_text())
    found["models"]["perceptron"]["shape"] = [1, 14, 14]
    (folder / MANIFEST).write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_flip_one_bit, "SHA-256 differs.*install threegen again"),
        (_cut, "SHA-256 differs"),
        (lambda folder: (folder / "perceptron.safetensors").unlink(), "cannot read .*install threegen again"),
        (lambda folder: (folder / MANIFEST).unlink(), "cannot read .*manifest.json"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "is not JSON"),
        (lambda folder: (folder / MANIFEST).write_text('{"format": 2, "models": {}}'), "in format 1"),
        (_no_number, "accuracy of mlp must be a share"),
        (_elsewhere, "file of perceptron must be a file's name"),
        (_other_sizes, r"is \[10, 784\], the model has \[10, 196\]"),
    ],
)
def test_what_is_damaged_or_missing_is_said(copied: Path, damage: Callable[[Path], Any], words: str) -> None:
    pretrained("perceptron")
    shipped._manifest.cache_clear()
    damage(copied)
    with pytest.raises(CheckpointError, match=words):
        pretrained("perceptron")
    shipped._manifest.cache_clear()


# -- a name in place of a run's folder --------------------------------------------------------------------------------


def test_a_name_stands_where_a_folder_can(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = open_run("perceptron")
    assert run.folder is None
    assert run.source == "the weights of perceptron that ship with threegen"
    assert run.load_data().test.fingerprint() == data.test.fingerprint()
    assert torch.equal(load_run("perceptron")(data.test.inputs[:5]), pretrained("perceptron")(data.test.inputs[:5]))
    assert not list(tmp_path.iterdir())


def test_a_folder_of_that_name_wins_and_the_answer_says_so(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert predict_run("perceptron", "0")["source"] == "the weights of perceptron that ship with threegen"
    Path("perceptron").mkdir()  # no run is in it
    assert predict_run("perceptron", "0")["source"] == "the weights of perceptron that ship with threegen"
    train_run("perceptron", data, mode="quick", epochs=1, train=data.train.take(200), out="perceptron", overwrite=True)
    assert predict_run("perceptron", "0")["source"] == "the run in perceptron"
    assert evaluate_run("perceptron").source == "the run in perceptron"


def test_pictures_are_named_after_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = explain_run("mlp", "7")
    assert (found["file"], found["source"]) == ("mlp-saliency.svg", "the weights of mlp that ship with threegen")
    found = spikes_run("diehl-cook", "7")
    assert found["file"] == "diehl-cook-spikes.html"
    assert {path.name for path in tmp_path.iterdir()} == {
        "mlp-saliency.svg",
        "diehl-cook-spikes.html",
        "diehl-cook-spikes.gif",
    }


def test_a_net_without_a_gradient_is_explained_by_occlusion(tmp_path: Path) -> None:
    """The default method for Mozafari's net; asked for by name, saliency is refused."""
    found = explain_run("mozafari", "7", out=tmp_path / "why.svg")
    assert found["method"] == "occlusion"
    assert found["answer"] == found["target"]
    with pytest.raises(ConfigError, match="do not depend on its input by a gradient; occlusion"):
        explain_run("mozafari", "7", "saliency", out=tmp_path / "why.svg")


def test_a_picture_file_is_read_by_name(data: Data, tmp_path: Path) -> None:
    """Dark ink on light paper, a 0 four times as large: the digit itself is what the label says."""
    image_module = pytest.importorskip("PIL.Image")
    index = int((data.test.targets == 0).nonzero()[0])
    pixels = (255 - 255 * data.test.inputs[index, 0]).to(torch.uint8).numpy()
    image_module.fromarray(pixels).resize((112, 112)).save(tmp_path / "zero.png")
    assert predict_run("lenet-5-modern", str(tmp_path / "zero.png"))["answer"] == "0"


def test_a_recording_is_read_by_name(data: Data, tmp_path: Path) -> None:
    """A test digit shown to the simulated camera, written as a recording of N-MNIST: its label, and no number of it."""
    events = simulate(data.test.inputs[:1])[0]
    file = tmp_path / "seven.bin"
    file.write_bytes(writers.bin40([(int(e["t"]), int(e["x"]), int(e["y"]), int(e["p"])) for e in events.array]))
    assert predict_run("spiking-events", str(file))["answer"] == "7"
    assert spikes_run("spiking-events", str(file), tmp_path / "look.html")["answer"] == "7"
    found = explain_run("spiking-events", str(file), out=tmp_path / "why.svg")
    assert (found["answer"], found["target"]) == ("7", "7")


def test_a_wrong_name_lists_what_ships() -> None:
    with pytest.raises(CheckpointError, match=r"no weights ship by that name.*perceptron.*did you mean 'perceptron'"):
        open_run("perceptrom")
    with pytest.raises(DataError, match="there is no picture"):
        predict_run("perceptron", "nothing.png")
    with pytest.raises(ConfigError, match="leave model out"):
        open_run("perceptron", model=tg.Perceptron(784, 10))
