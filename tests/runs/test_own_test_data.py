"""`evaluate --data`: a table of test data is read whole, with the classes and the scale of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from threegen.errors import DataError
from threegen.runs.answer import evaluate_run
from threegen.runs.train import train_run


def test_a_table_of_test_data_is_read_whole(tmp_path: Path) -> None:
    """Two classes that one bright pixel tells apart; the test table alone would not be divided by 255."""
    rows = [f"{'left' if k % 2 else 'right'},{255 * (k % 2)},{255 * (1 - k % 2)},{k % 90}\n" for k in range(120)]
    (tmp_path / "train.csv").write_text("".join(rows))
    train_run("perceptron", tmp_path / "train.csv", mode="quick", epochs=3, batch_size=16, out=tmp_path / "run")
    (tmp_path / "test.csv").write_text("right,0,1,0\nleft,1,0,0\nright,0,1,1\n")
    found = evaluate_run(tmp_path / "run", data=str(tmp_path / "test.csv"))
    assert (found.found.count, found.found.correct) == (3, 3)
    (tmp_path / "other.csv").write_text("up,0,1,0\nleft,1,0,0\n")
    with pytest.raises(DataError, match="no class is called 'up'; the classes are left, right"):
        evaluate_run(tmp_path / "run", data=str(tmp_path / "other.csv"))
    with (tmp_path / "train.csv").open("a") as file:
        file.write("".join(f"left,255,0,{k}\nright,0,255,{k}\n" for k in range(100, 120)))  # some go to the test part
    with pytest.raises(DataError, match="has changed since perceptron was trained"):
        evaluate_run(tmp_path / "run")
