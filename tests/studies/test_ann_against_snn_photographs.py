"""`threegen study ann-against-snn` on CIFAR-10 and CIFAR10-DVS, from files in the published formats to the drawings."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.datasets.events import writers

from threegen.cli import run
from threegen.conversion.convert import ConversionWarning
from threegen.datasets.catalogue import CIFAR10, KNOWN, KnownFile
from threegen.datasets.events.stream import make_events
from threegen.datasets.load import load_data
from threegen.errors import DataError
from threegen.figures import ways_on_cifar10_dvs
from threegen.figures.ways import Plan
from threegen.figures.ways_on_cifar10_dvs import QUARTERS, camera, counted, structure_of, to_counts
from threegen.figures.ways_on_images import artificial, cifar10_structure
from threegen.figures.workflows import WORKFLOWS
from threegen.gen3.conv_networks import SpikingConvNet

pytestmark = pytest.mark.filterwarnings(f"ignore::{ConversionWarning.__module__}.{ConversionWarning.__name__}")

NAMES = CIFAR10.classes
TINY = Plan(examples=20, dense=1, spiking=1, tested=10, part=16)


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, another working folder, and tiny networks for --quick."""
    monkeypatch.setenv("THREEGEN_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for name in ("cifar10", "cifar10-dvs"):
        monkeypatch.setitem(WORKFLOWS, name, dataclasses.replace(WORKFLOWS[name], quick=TINY))
    counted.cache_clear()
    return tmp_path


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """cifar-10-binary.tar.gz with twenty photographs a file, as if published: one label byte, then 3,072 of pixels."""
    random = np.random.default_rng(0)
    path = tmp_path / "cifar-10-binary.tar.gz"
    files = []
    with tarfile.open(path, "w:gz") as tar:
        for file in CIFAR10.files:
            body = b"".join(bytes([n % 10]) + random.bytes(3072) for n in range(20))
            files.append(KnownFile(file.name, len(body), hashlib.sha256(body).hexdigest()))
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{file.name}")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    known = dataclasses.replace(CIFAR10, files=tuple(files), train=100, test=20)
    monkeypatch.setitem(KNOWN, "cifar10", known)
    return path


def recording(label: int, number: int) -> list[writers.Event]:
    """Events from 1 s on, spread over the sensor and over 300 ms."""
    random = np.random.default_rng([label, number])
    times = np.sort(random.integers(0, 300_000, 400)) + 1_000_000
    return [(int(t), *(int(v) for v in random.integers(0, 128, 2)), int(random.integers(0, 2))) for t in times]


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """The ten archives of CIFAR10-DVS with four recordings each, two of which are for testing."""
    folder = tmp_path / "dvs"
    folder.mkdir()
    for label, name in enumerate(NAMES):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            for number in (0, 899, 900, 999):
                raw = writers.aedat2_dvs128(recording(label, number))
                archive.writestr(f"{name}/cifar10_{name}_{number}.aedat", raw)
    return folder


def study(data: str, capsys: pytest.CaptureFixture[str], arguments: Sequence[str] = ()) -> tuple[int, str, str]:
    code = run(["study", "ann-against-snn", "--data", data, "--quick", "--quiet", *arguments])
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def written(data: str) -> dict[str, Any]:
    """The figures of the study's folder, after a look at its drawings."""
    folder = Path("runs/studies") / f"ann-against-snn-{data}"
    result = json.loads((folder / "results.json").read_text())
    assert set(result["files"]) == {"ann-against-snn.png", "ann-against-snn.svg"}
    assert (folder / "ann-against-snn.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "ann-against-snn.svg").read_bytes().startswith(b"<?xml")
    assert result["figures"]["data"] == data
    return dict(result["figures"])


def test_absent_data_are_refused_with_the_commands_that_bring_them(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = study("cifar10", capsys)
    assert code == 2
    assert out == ""
    assert "cifar10 is not in" in err
    assert "`threegen data get cifar10`" in err
    assert "`threegen data import cifar10 PATH`" in err
    code, _, err = study("cifar10-dvs", capsys)
    assert code == 2
    assert "neither cifar10-dvs nor cifar10 is in" in err
    assert "`threegen data import cifar10-dvs PATH`" in err
    assert "`threegen data get cifar10`" in err
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("typed", "meant"), [("cifr10", "cifar10"), ("cifar10dvs", "cifar10-dvs"), ("nmnist", "n-mnist"), ("MNIST", None)]
)
def test_a_mistyped_name_is_answered_with_the_nearest(
    typed: str, meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = study(typed, capsys)
    assert code == 2
    assert f"data is {typed!r}; choose mnist, cifar10, n-mnist, cifar10-dvs" in err
    assert ("did you mean" in err) == (meant is not None)
    assert meant is None or f"(did you mean {meant!r}?)" in err


def test_the_structures() -> None:
    """64C3-AP2-128C3-128C3-AP2-256-10 on 3 x 32 x 32 and 64C3-AP2-128C3-AP2-256-10, weights counted by hand."""
    last = 256 * (128 * 8 * 8 + 1) + 10 * 257
    images = 64 * (3 * 9 + 1) + 128 * (64 * 9 + 1) + 128 * (128 * 9 + 1) + last
    assert cifar10_structure() == "64C3S-AP2-128C3S-128C3S-AP2-256-10"
    for net in (
        artificial(cifar10_structure(), (3, 32, 32), 0),
        SpikingConvNet(cifar10_structure(), shape=(3, 32, 32), steps=2),
    ):
        assert sum(one.numel() for one in net.parameters()) == images
    events = 64 * (2 * 9 + 1) + 128 * (64 * 9 + 1) + last
    spiking = SpikingConvNet(structure_of(), shape=(2, 32, 32), steps=2)
    assert sum(one.numel() for one in spiking.parameters()) == events
    assert artificial(structure_of(), (8, 32, 32), 0)(torch.zeros(2, 8, 32, 32)).shape == (2, 10)


def test_on_cifar10_from_the_archive_to_the_drawing(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "import", "cifar10", str(archive), "--json"]) == 0
    capsys.readouterr()
    code, out, err = study("cifar10", capsys)
    assert code == 0, err
    assert "tested on" in out
    found = written("cifar10")
    assert found["tested on"] == "the test images of CIFAR-10"
    assert found["test examples"] == 10
    assert list(found["ways"]) == [
        "ANN",
        "ANN converted, Bernoulli input",
        "ANN converted, analog input",
        "SNN, Bernoulli input",
        "SNN, trained encoder",
    ]
    assert set(found["structures"].values()) == {"4C3S-AP2-8C3S-8C3S-AP2-16-10"}
    first, rest = 1024 * 4 * 27, 256 * 8 * 36 + 256 * 8 * 72 + 16 * 8 * 64 + 160
    ways = found["ways"]
    assert ways["ANN"]["compute"]["multiplications"] >= first + rest
    assert len({way["parameters"] for way in ways.values()}) == 1
    assert {way["time steps"] for way in ways.values()} == {1, 10}
    assert found["T"] == [1, 2, 4, 6, 8, 10]
    for name, curve in found["accuracy against T"].items():
        assert name != "ANN"
        assert curve[-1] == pytest.approx(ways[name]["accuracy"])
    for way in ways.values():
        low, high = way["interval of the first seed"]
        assert low <= way["accuracy"] <= high
        assert {"weights", "total"} <= set(way["memory, bytes"])


def test_on_cifar10_dvs_simulated_from_cifar10(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "import", "cifar10", str(archive), "--json"]) == 0
    capsys.readouterr()
    code, _, err = study("cifar10-dvs", capsys)
    assert code == 0, err
    found = written("cifar10-dvs")
    assert found["tested on"] == "simulated recordings of the test images of CIFAR-10"
    assert list(found["ways"]) == ["ANN, frames of intensities", "ANN, frames of 0 and 1", "SNN on events"]
    assert set(found["structures"].values()) == {"4C3S-AP2-8C3S-AP2-16-10"}
    assert found["T"] == [1, 2, 4, 6, 8]
    assert found["accuracy against T"]["SNN on events"][-1] == found["ways"]["SNN on events"]["accuracy"]
    assert found["ways"]["SNN on events"]["time steps"] == 8


def test_the_simulated_camera_is_that_of_the_loop(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every frame has events, counts are bytes, and a recording does not depend on how many others are made."""
    run(["data", "import", "cifar10", str(archive), "--json"])
    assert (camera().height, camera().width, camera().motion.lasts) == (128, 128, 200)
    train, test = counted(False, 3, 2)
    assert train.frames.shape == (3, 8, 2, 32, 32)
    assert train.frames.dtype == torch.uint8
    assert (train.frames.flatten(3).sum((2, 3)) > 0).all()
    again = counted.__wrapped__(False, 2, 2)
    assert torch.equal(again[0].frames, train.frames[:2])
    assert torch.equal(again[1].frames, test.frames)
    data = load_data("cifar10")
    assert train.targets is not None
    assert data.train.targets is not None
    assert torch.equal(train.targets, data.train.targets[:3])


def test_on_original_recordings(archives: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are preferred to a simulation, and number 900 and above are the test part."""
    for name, path in (("cifar10-dvs", archives), ("cifar10", archive)):
        assert run(["data", "import", name, str(path), "--json"]) == 0
    assert run(["data", "check", "cifar10-dvs"]) == 0
    assert "20 recordings of 128 x 128 pixels" in capsys.readouterr().out
    train, test = counted(True, 6, None)
    assert len(train) == 6
    assert test.targets is not None
    assert torch.bincount(test.targets).tolist() == [2] * 10
    for place, label in enumerate(test.targets.tolist()):
        expected = by_hand(recording(label, (900, 999)[place % 2]))
        assert np.array_equal(test.frames[place].numpy(), expected)
    assert train.targets is not None
    assert len(set(train.targets.tolist())) > 1  # drawn from all classes, which are stored one after another
    code, _, err = study("cifar10-dvs", capsys)
    assert code == 0, err
    found = written("cifar10-dvs")
    assert found["tested on"] == "the last 100 original recordings of each class"
    assert found["test examples"] == 10


def by_hand(events: Sequence[writers.Event]) -> Any:
    """Counts of 25 ms from the first event on, over 4 x 4 pixels."""
    frames = np.zeros((8, 2, 32, 32), np.uint8)
    for t, x, y, p in events:
        step = (t - events[0][0]) // 25_000
        if step < 8:
            frames[step, p, y // 4, x // 4] += 1
    return frames


def test_counts_of_one_recording() -> None:
    """Time begins with the first event; 300 events of one pixel are 255; what comes after 200 ms is left out."""
    assert to_counts(make_events([], [], [], [], height=128, width=128)).sum() == 0
    made = recording(3, 7)
    t, x, y, p = zip(*made, strict=True)
    assert np.array_equal(to_counts(make_events(t, x, y, p, height=128, width=128)).numpy(), by_hand(made))
    times = [5_000_000] * 300 + [5_000_000 + 199_999, 5_000_000 + 200_000]
    counts = to_counts(make_events(times, [127] * 302, [0] * 302, [1] * 302, height=128, width=128))
    assert counts[0, 1, 0, 31] == 255
    assert counts.sum(dtype=torch.int64) == 256
    assert counts[7, 1, 0, 31] == 1
    assert [edge * 25 for pair in QUARTERS for edge in pair] == [0, 50, 50, 100, 100, 150, 150, 200]


def test_a_damaged_cache_is_named_not_passed_over(archives: Path, archive: Path) -> None:
    """Recordings that are there but damaged are an error, not a reason to simulate."""
    run(["data", "import", "cifar10", str(archive), "--json"])
    run(["data", "import", "cifar10-dvs", str(archives), "--json"])
    (Path("data") / "cifar10-dvs" / "about.json").write_text("{")
    with pytest.raises(DataError, match=r"about\.json is damaged"):
        ways_on_cifar10_dvs.cifar10_dvs_ways(0, TINY)
