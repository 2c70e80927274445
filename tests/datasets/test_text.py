"""Texts as sequences of characters: the alphabet, the streams, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from threegen.datasets.text import read_text
from threegen.errors import ConfigError, DataError


def spelt(text: object, numbers: torch.Tensor) -> str:
    return "".join(text.alphabet[number] for number in numbers.tolist())  # type: ignore[attr-defined]


def test_the_story_that_ships() -> None:
    text = read_text()
    whole = spelt(text, torch.cat([text.train, text.test]))
    assert whole.startswith("THE LAMP AND THE TIDE\n")
    assert whole.endswith("and wrote down the hour.\n")
    assert len(text.test) == pytest.approx(len(whole) / 10, abs=1)


def test_streams_go_on_from_batch_to_batch(tmp_path: Path) -> None:
    """27 characters, the last 2 for the test; 2 streams of 12 next characters, 5 at a time: 2 batches, 2 left out."""
    path = tmp_path / "letters.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyz.")
    text = read_text(path, test_share=2 / 27)
    data = text.streams(2, 5)
    first, second = data.batches(2)
    letters = [[spelt(text, row.argmax(1)) for row in batch.inputs] for batch in (first, second)]
    assert letters == [["abcde", "mnopq"], ["fghij", "rstuv"]]
    targets = [[spelt(text, row) for row in batch.targets] for batch in (first, second)]
    assert targets == [["bcdef", "nopqr"], ["ghijk", "stuvw"]]
    assert data.inputs.sum().item() == 20


def test_what_cannot_work_is_named(tmp_path: Path) -> None:
    (tmp_path / "same.txt").write_text("aaaa")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"same\.txt has 1 different characters"):
        read_text(tmp_path / "same.txt")
    with pytest.raises(DataError, match=r"bytes\.txt cannot be read as a UTF-8 text"):
        read_text(tmp_path / "bytes.txt")
    with pytest.raises(DataError, match=r"absent\.txt cannot be read"):
        read_text(tmp_path / "absent.txt")
    text = read_text()
    with pytest.raises(ConfigError, match="are too few for 10 streams of 5000 steps"):
        text.streams(10, 5000)
    with pytest.raises(DataError, match="the alphabet of this text has no 'é'"):
        text.encode("é")
