"""A disk that is full, or a limit on files: the last good checkpoint is left, and the message says what is missing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from threegen.training.persistence.checkpoint import list_checkpoints, load_checkpoint
from threegen.training.persistence.files import PARTIAL

PROGRAM = """
import json, os, resource, sys
from pathlib import Path
import torch
from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit

torch.set_num_threads(1)
out, limit = Path(sys.argv[1]), int(sys.argv[2])
x = torch.rand(64, 100, generator=torch.Generator().manual_seed(0))
class Fill:
    def on_epoch(self, run, record):
        if record["epoch"] == 1:
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            else:
                ballast = os.open(out.parent / "ballast", os.O_WRONLY | os.O_CREAT)
                try:
                    while True:
                        os.write(ballast, bytes(4096))
                except OSError:
                    os.close(ballast)
try:
    fit(MLP([100, 300, 4], generator=torch.Generator().manual_seed(1)), Backprop(), Dataset(x, torch.arange(64) % 4),
        optimizer="adam", epochs=3, batch_size=16, out=out, callbacks=[Fill()])
except CheckpointError as problem:
    print(json.dumps(str(problem)))
"""


def run_until_full(out: Path, limit: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(out), str(limit)],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: str = json.loads(done.stdout)
    return told


def assert_unharmed(out: Path) -> None:
    newest = list_checkpoints(out / "checkpoints")[-1]
    assert load_checkpoint(newest).facts["progress"]["epoch"] == 1
    assert not list(out.rglob(f"{PARTIAL}*"))


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """Weights and Adam's state are 3 x 31,504 x 4 bytes and more; the limit lets the log through, these not."""
    out = tmp_path / "run"
    told = run_until_full(out, 100_000)
    assert told.startswith(f"{out}/checkpoints/00000002 (needs 4")
    assert told.endswith(
        " kB) is larger than this process may write; earlier checkpoints are intact; "
        "raise the limit (ulimit -f) and resume"
    )
    assert_unharmed(out)


def test_a_limit_that_stops_the_log(tmp_path: Path) -> None:
    out = tmp_path / "run"
    told = run_until_full(out, 200)
    assert "is larger than this process may write" in told
    assert_unharmed(out)


@pytest.fixture
def small_disk(tmp_path: Path) -> object:
    """A file system of 1.5 MB: two checkpoints of half a megabyte fit, a third beside them not."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    out = small_disk / "run"
    told = run_until_full(out, 0)
    assert told.startswith("no space left for ")
    assert "(needs " in told
    assert " free); earlier checkpoints are intact; free some space and resume" in told
    assert_unharmed(out)
    (small_disk / "ballast").unlink()


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "no space left for {path} (needs 1 bytes, "),
        (errno.EDQUOT, "no space left for {path} (needs 1 bytes, "),
        (errno.EFBIG, "{path} (needs 1 bytes) is larger than this process may write"),
        (errno.EIO, "cannot write {path}: Input/output error; earlier checkpoints are intact"),
    ],
)
def test_the_former_content_stays(number: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threegen.errors import CheckpointError
    from threegen.training.persistence.files import write_whole

    path = tmp_path / "file"
    write_whole(path, "old")

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError) as caught:
        write_whole(path, "n")
    assert str(caught.value).startswith(sentence.format(path=path))
    assert path.read_text() == "old"
    assert [part.name for part in tmp_path.iterdir()] == ["file"]
