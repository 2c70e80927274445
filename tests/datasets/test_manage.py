"""The list, the check and the preview of data sets."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from threegen.datasets.catalogue import KnownData
from threegen.datasets.download import import_data
from threegen.datasets.manage import check_data, list_data, preview_data
from threegen.errors import ConfigError


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", content[16:24])


def test_the_list_says_what_is_here(fashion: KnownData, fashion_files: Path) -> None:
    states = {row.name: row.state for row in list_data()}
    events = dict.fromkeys(("n-mnist", "cifar10-dvs", "dvs-gesture", "shd"), "absent")
    assert states == {"mnist": "bundled", "fashion-mnist": "absent", "cifar10": "absent", **events}
    assert "threegen data get fashion-mnist" in next(r.advice for r in list_data() if r.name == "fashion-mnist")
    folder = import_data("fashion-mnist", fashion_files)
    row = next(row for row in list_data() if row.name == "fashion-mnist")
    assert (row.state, row.folder, row.advice) == ("here", str(folder), "")
    assert json.loads(json.dumps(row.as_dict()))["shape"] == [1, 28, 28]
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert {row.name: row.state for row in list_data()}["fashion-mnist"] == "incomplete"


def test_bundled_mnist_is_all_right() -> None:
    check = check_data("mnist")
    assert check.ok
    assert sum(check.train_counts) == 60_000
    # The rarest and the commonest digit of the test part: 892 fives and 1,135 ones.
    assert (min(check.test_counts), max(check.test_counts)) == (892, 1135)
    assert str(check).endswith("mnist: all right")
    assert json.loads(json.dumps(check.as_dict()))["ok"] is True


def test_damage_is_told_file_by_file(fashion: KnownData, fashion_files: Path) -> None:
    absent = check_data("fashion-mnist")
    assert not absent.ok
    assert "threegen data get fashion-mnist" in absent.lines[0]
    folder = import_data("fashion-mnist", fashion_files)
    assert check_data("fashion-mnist").train_counts == (3,) * 10
    images = folder / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    (folder / "train-labels-idx1-ubyte").unlink()
    check = check_data("fashion-mnist")
    assert not check.ok
    assert "the body has 15,679" in str(check)
    assert "train-labels-idx1-ubyte: missing" in str(check)
    assert str(check).endswith("fashion-mnist: NOT all right")


def test_cifar_is_checked(cifar: tuple[KnownData, dict[str, bytes]], tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for name, content in cifar[1].items():
        (given / name).write_bytes(content)
    import_data("cifar10", given)
    check = check_data("cifar10")
    assert check.ok
    assert (check.train_counts, check.test_counts) == ((5,) * 10, (1,) * 10)
    assert png_size(preview_data("cifar10", tmp_path / "c.png"))[0] == 800


def test_own_data_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("".join(f"{2 * (k % 2)},{k},1,2,3\n" for k in range(20)))
    check = check_data(path)
    assert not check.ok
    assert check.lines[-1] == "no training example of the classes 1"
    with pytest.raises(ConfigError, match="did you mean 'mnist'"):
        check_data("mmnist")


def test_preview_draws_a_picture(fashion: KnownData, fashion_files: Path, tmp_path: Path) -> None:
    import_data("fashion-mnist", fashion_files)
    path = preview_data("fashion-mnist", tmp_path / "new" / "x.png", split="test")
    assert png_size(path) == (800, 720)
    with pytest.raises(ConfigError, match="split is 'tset'; choose train, test"):
        preview_data("fashion-mnist", split="tset")
    with pytest.raises(ConfigError, match="cannot write"):
        preview_data("fashion-mnist", path / "below.png")


def test_preview_writes_into_the_current_folder(
    fashion: KnownData, fashion_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_data("fashion-mnist", fashion_files)
    monkeypatch.chdir(tmp_path)
    assert preview_data("fashion-mnist") == Path("fashion-mnist-preview.png")


def test_preview_of_flat_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("".join(f"{k % 2},{k},2\n" for k in range(40)))
    with pytest.raises(ConfigError, match="only labelled pictures"):
        preview_data(path)
