"""CSV files: headers, separators, scales, square rows, and a line number for every mistake."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from threegen.datasets.load import load_data
from threegen.datasets.tables import read_csv
from threegen.errors import ConfigError, DataError, NumericError


def csv_of(folder: Path, text: str, name: str = "digits.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "1,0,51,204,255\n0,255,0,0,0\n",
        "label,a,b,c,d\n1,0,51,204,255\n0,255,0,0,0",
        "\ufefflabel,0,1,2,3\r\n1,0,51,204,255\r\n\r\n0,255,0,0,0\r\n",
        '"label";"a";"b";"c";"d"\n"1";"0";"51";"204";"255"\n0;255;0;0;0\n',
        "1\t0\t51\t204\t255\n0\t255\t0\t0\t0\n",
        "1, 0, 51.0, 2.04e2, 255\n0, 255, 0, 0, 0\n",
    ],
)
def test_one_table_in_many_dresses(tmp_path: Path, text: str) -> None:
    data = read_csv(csv_of(tmp_path, text))
    assert data.name == "digits"
    assert data.shape == (1, 2, 2)
    assert data.targets.tolist() == [1, 0]
    assert data.inputs.flatten().tolist() == pytest.approx([0, 0.2, 0.8, 1, 1, 0, 0, 0])


def test_scales_and_shapes(tmp_path: Path) -> None:
    within_one = csv_of(tmp_path, "0,0.5,1\n1,0,0.25\n")
    assert read_csv(within_one).inputs.tolist() == [[0.5, 1.0], [0.0, 0.25]]
    features = csv_of(tmp_path, "0,-5,1000\n1,3,4\n")
    with pytest.raises(DataError, match=re.escape("values -5..1000; expected pixels 0..255")):
        read_csv(features)
    assert read_csv(features, scale=1).inputs.tolist() == [[-5.0, 1000.0], [3.0, 4.0]]
    four = csv_of(tmp_path, "0,16,0,8,4\n")
    assert read_csv(four, scale=16, image=False).inputs.tolist() == [[1.0, 0.0, 0.5, 0.25]]
    assert read_csv(four, image=(1, 1, 4)).shape == (1, 1, 4)
    with pytest.raises(ConfigError, match="scale"):
        read_csv(four, scale=0)


@pytest.mark.parametrize(
    ("text", "error", "sentence"),
    [
        ("", DataError, "the data set is empty"),
        ("\n\n", DataError, "the data set is empty"),
        ("label,a\n", DataError, "has a header but no rows"),
        ("1\n2\n", DataError, "found one column"),
        ("1,2,3\n1,2\n", DataError, "digits.csv, line 2: 2 columns; expected 3"),
        ("l,a,b\n1,2,3\n\n1,x,3\n", DataError, "digits.csv, line 4, column 2: 'x' is not a number"),
        ("l,a,b\n1,2,3\n1,,3\n", DataError, "digits.csv, line 3, column 2: '' is not a number"),
        ("0.5,2,3\n", DataError, "label 0.5 in row 1 is not a whole number"),
        ("nan,2,3\n", DataError, "label nan in row 1"),
        ("0,2,3\n1,nan,3\n", NumericError, "first in row 2, column 2"),
        ("-1,2,3\n", DataError, "label -1 at index 0 is outside"),
        ("cat,2,3\ndog,2,3\n", DataError, "'dog' is not a number"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=re.escape(sentence)):
        read_csv(csv_of(tmp_path, text))


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\x89PNG\xff\xfe\x00" * 10)
    with pytest.raises(DataError, match="not a text file in UTF-8"):
        read_csv(path)
    with pytest.raises(DataError, match="cannot read"):
        read_csv(tmp_path / "nothing.csv")


def test_any_text_is_read_or_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    letters = list('0123456789,,,,\n\n.-ex;\t" #')
    for _ in range(500):
        text = "".join(random.choice(letters, int(random.integers(0, 40))))
        try:
            read_csv(csv_of(tmp_path, text))
        except (DataError, NumericError):
            continue


def test_load_data_divides_one_table(tmp_path: Path) -> None:
    path = csv_of(tmp_path, "".join(f"{k % 3},{k},1,2,3\n" for k in range(50)))
    data = load_data(path, test_share=0.3, seed=1)
    assert (len(data.train), len(data.test)) == (35, 15)
    assert (data.name, data.train.name, data.test.name) == ("digits", "digits-train", "digits-test")
    assert len({float(x) for part in (data.train, data.test) for x in part.inputs[:, 0, 0, 0]}) == 50
    assert load_data(str(path), test_share=0.3, seed=1).test.fingerprint() == data.test.fingerprint()
    assert load_data(path, test_share=0.3, seed=2).test.fingerprint() != data.test.fingerprint()
    with pytest.raises(ConfigError, match="test_share"):
        load_data(path, test_share=1.5)
    with pytest.raises(ConfigError, match="too few"):
        load_data(csv_of(tmp_path, "0,1,2\n"))


def test_load_data_takes_train_and_test_tables(tmp_path: Path) -> None:
    csv_of(tmp_path, "0,1,2\n1,3,4\n2,0,255\n", "train.csv")
    csv_of(tmp_path, "1,1,2\n", "test.csv")
    data = load_data(tmp_path)
    assert (len(data.train), len(data.test)) == (3, 1)
    assert data.test.classes == data.train.classes == ("0", "1", "2")
    csv_of(tmp_path, "1,1,2,3\n", "test.csv")
    with pytest.raises(DataError, match=re.escape("training examples are [2], test examples [3]")):
        load_data(tmp_path)
