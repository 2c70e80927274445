"""A run on event data from the command line: frames as asked for, answers to a recording's file, spikes drawn."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from tests.datasets.events import writers

from threegen.cli import run as command
from threegen.cli.printing import parse_frames
from threegen.errors import ConfigError
from threegen.runs.answer import predict_run
from threegen.runs.run import open_run
from threegen.runs.spikes import spikes_run

EDGES = (0.0, 100.0, 200.0, 300.0)  # milliseconds


def digit(label: int, number: int) -> list[writers.Event]:
    """A recording whose events are in the three rows that begin with its label's, some of them behind the last edge."""
    return [(1013 * n + number, (7 * n + number) % 34, 3 * label + n % 3, n % 2) for n in range(320)]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a run on thirty recordings and the file of one of them, a 4."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THREEGEN_DATA", str(tmp_path / "data"))
    with zipfile.ZipFile("n-mnist.zip", "w") as archive:
        for number in range(1, 41):
            part = "Train" if number <= 30 else "Test"
            archive.writestr(f"{part}/{number % 10}/{number:05d}.bin", writers.bin40(digit(number % 10, number)))
    Path("four.bin").write_bytes(writers.bin40(digit(4, 14)))
    assert command(["data", "import", "n-mnist", "n-mnist.zip"]) == 0
    words = "train spiking-events --data n-mnist --frames 0,100,200,300 --binary --epochs 12 --batch-size 10 --lr .01"
    assert command([*words.split(), "--set", "hidden=[40]", "--set", "threshold=0.4", "--quiet", "--out", "run"]) == 0
    return tmp_path


def by_hand(events: list[writers.Event]) -> torch.Tensor:
    """Binary frames of the three parts, event by event."""
    frames = torch.zeros(3, 2, 34, 34)
    for t, x, y, p in events:
        for n in range(3):
            if 1000 * EDGES[n] <= t < 1000 * EDGES[n + 1]:
                frames[n, p, y, x] = 1.0
    return frames


def test_frames_are_those_asked_for(made: Path) -> None:
    run = open_run(made / "run")
    assert run.facts["shape"] == [3, 2, 34, 34]
    assert "--frames 0,100,200,300 --binary" in run.command
    test = run.load_data().test
    assert torch.equal(test[4][0], by_hand(digit(5, 35)))  # the fifth of 31 ... 40


def test_a_recording_s_file_is_answered_as_the_same_frames_are(made: Path) -> None:
    found = predict_run(made / "run", str(made / "four.bin"))
    scores = open_run(made / "run").model(by_hand(digit(4, 14))[None])[0].detach()
    assert {row["class"]: row["score"] for row in found["scores"]} == {
        str(k): pytest.approx(float(scores[k])) for k in range(10)
    }
    assert (found["answer"], found["truth"]) == ("4", None)
    assert predict_run(made / "run", "4")["truth"] == "5"


def test_spikes_of_a_recording(made: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    found = spikes_run(made / "run", str(made / "four.bin"), made / "look.html")
    frames = by_hand(digit(4, 14))
    assert found["layers"][0]["spikes"] == int(frames.sum())
    assert found["layers"][0]["silent"] == 2 * 34 * 34 - int((frames.sum(0) > 0).sum())
    assert [row["neurons"] for row in found["layers"]] == [2 * 34 * 34, 40, 10]
    assert (made / "look.html").read_text().count("<svg") == 4  # a raster per layer, and the potentials
    with pillow.open(made / "look.gif") as film:
        assert film.n_frames == 3
        levels = film.convert("L")
        enlarged = levels.height // 34
        for y, x in ((12, 7), (20, 20)):  # ON white, OFF black, both or none grey
            level = levels.getpixel((x * enlarged + 1, y * enlarged + 1))
            assert level == pytest.approx(127.5 * (1 + frames[0, 1, y, x] - frames[0, 0, y, x]), abs=3)


def test_what_frames_takes() -> None:
    assert parse_frames("10") == 10
    assert parse_frames("0,103.5,206") == [0.0, 103.5, 206.0]
    with pytest.raises(ConfigError, match=r"0,103,206,310.*'ten'"):
        parse_frames("ten")
