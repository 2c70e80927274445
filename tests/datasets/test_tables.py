"""CSV files: headers, separators, scales, square rows, and a line number for every mistake."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data, load_examples
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
        ("0,2,3\n1,nan,3\n", NumericError, "first in row 2, value 1"),
        ("-1,2,3\n", DataError, "label -1 at index 0 is outside"),
        ("cat,2,3\ndog,2,x\n", DataError, "digits.csv, line 2, column 3: 'x' is not a number"),
        ("0,,0.2\n1,0.5,0.1\n", DataError, "digits.csv, line 1, column 2: '' is not a number"),
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
    assert len(data.train) + len(data.test) == 50
    assert 5 <= len(data.test) <= 25  # each row by its own hash: 15 on average, standard deviation 3.2
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


def test_rows_that_are_added_move_no_other(tmp_path: Path) -> None:
    """Each example's part follows from its own content and the seed; equal rows go to one part."""
    rows = [f"{k % 3},{k},1,2,3\n" for k in range(200)]
    before = load_data(csv_of(tmp_path, "".join(rows)))
    after = load_data(csv_of(tmp_path, "".join([*rows[:50], "1,255,9,9,9\n", *rows[50:], rows[7]])))

    def ids(part: Dataset) -> list[float]:
        return sorted(round(255 * float(x)) for x in part.inputs[:, 0, 0, 0])

    assert set(ids(before.test)) - {255} == set(ids(after.test)) - {255}
    assert set(ids(before.train)) - {255} == set(ids(after.train)) - {255}
    assert not set(ids(after.train)) & set(ids(after.test))
    assert abs(len(before.test) - 40) < 4 * 5.7
    with pytest.warns(UserWarning, match="the test part of digits has no example of 9"):
        load_data(csv_of(tmp_path, "".join(rows) + "9,3,3,3,3\n"), seed=5)


@pytest.mark.parametrize(
    "text",
    [
        "a,b,label\n1,2,cat\n3,4,dog\n0,255,cat\n",
        ",a,b,label\n0,1,2,cat\n1,3,4,dog\n2,0,255,cat\n",  # pandas with its index
        ",0,1,label\n0,1,2,cat\n1,3,4,dog\n2,0,255,cat\n",
        '"label","a","b"\n"cat","1","2"\n"dog","3","4"\n"cat","0","255"\n',
        "cat,1,2\ndog,3,4\ncat,0,255\n",
    ],
)
def test_headers_index_columns_and_texts(tmp_path: Path, text: str) -> None:
    data = read_csv(csv_of(tmp_path, text))
    assert data.classes == ("cat", "dog")
    assert data.targets.tolist() == [0, 1, 0]
    assert (255 * data.inputs).round().tolist() == [[1, 2], [3, 4], [0, 255]]


def test_pandas_without_names_and_without_a_header(tmp_path: Path) -> None:
    """DataFrame(values).to_csv(): names 0, 1, 2 and an index; with header=False twelve rows that are numbered."""
    named = read_csv(csv_of(tmp_path, ",0,1,2\n0,1,7,8\n1,0,9,5\n"))
    assert (named.targets.tolist(), named.shape) == ([1, 0], (2,))
    bare = read_csv(csv_of(tmp_path, "".join(f"{k},{k % 2},7,8\n" for k in range(12))))
    assert (bare.targets.tolist(), bare.shape) == ([0, 1] * 6, (2,))


def test_the_label_by_name_or_position(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = csv_of(tmp_path, "a,kind,b\n1,0,2\n3,1,4\n")
    for label in ("kind", 1, "1", -2):
        with caplog.at_level("INFO", "threegen.data"):
            assert read_csv(path, label=label, scale=1).targets.tolist() == [0, 1]
    assert caplog.messages[-1] == "digits.csv: 2 rows, 2 columns, label column 1 ('kind'), values as they are"
    with pytest.raises(ConfigError, match=r"no column called 'knd'; it has a, kind, b \(did you mean 'kind'\?\)"):
        read_csv(path, label="knd")
    with pytest.raises(ConfigError, match=re.escape("has the columns 0..2, label= is 7")):
        read_csv(path, label=7)


def test_one_scale_and_one_list_of_classes_for_both_parts(tmp_path: Path) -> None:
    """The training file alone would be divided by 255, the test file alone left as it is."""
    csv_of(tmp_path, "cat,0,200\ndog,3,4\nemu,1,1\n", "train.csv")
    csv_of(tmp_path, "emu,0,1\n", "test.csv")
    data = load_data(tmp_path)
    assert data.classes == ("cat", "dog", "emu")
    assert data.test.targets.tolist() == [2]
    assert data.test.inputs.tolist() == [[0.0, pytest.approx(1 / 255)]]
    whole = load_examples(tmp_path / "test.csv", classes=["cat", "dog", "emu"], scale=255.0)
    assert (whole.targets.tolist(), whole.inputs.tolist()) == ([2], data.test.inputs.tolist())
    with pytest.raises(DataError, match="no class is called 'emu'; the classes are cat, dog"):
        load_examples(tmp_path / "test.csv", classes=["cat", "dog"])


def test_arrays_in_one_file(tmp_path: Path) -> None:
    x = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2)
    y = np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=x[:30], y_train=y[:30], x_test=x[30:], y_test=y[30:])
    data = load_data(tmp_path / "a.npz")
    assert (len(data.train), len(data.test), data.shape) == (30, 10, (1, 2, 2))
    assert float(data.test.inputs.max()) == pytest.approx(159 / 255)
    np.savez(tmp_path / "b.npz", images=x, labels=np.where(y, "odd", "even"))
    data = load_data(tmp_path / "b.npz")
    assert data.classes == ("even", "odd")
    assert len(load_examples(tmp_path / "b.npz")) == 40
    np.savez(tmp_path / "c.npz", pictures=x)
    with pytest.raises(DataError, match="holds pictures; expected x and y"):
        load_data(tmp_path / "c.npz")
    np.savez(tmp_path / "d.npz", x=np.array([{}], object), y=y[:1])
    with pytest.raises(DataError, match=r"not a complete \.npz of arrays of numbers"):
        load_data(tmp_path / "d.npz")
