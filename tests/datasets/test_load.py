"""`load_data`: the bundled MNIST against its published facts, and data sets in the user's folder."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch

from threegen.datasets.catalogue import KNOWN, MNIST, KnownData
from threegen.datasets.dataset import Data
from threegen.datasets.download import import_data
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def mnist() -> Data:
    return load_data("mnist")


def test_mnist_is_complete(mnist: Data) -> None:
    assert (len(mnist.train), len(mnist.test)) == (60_000, 10_000)
    assert mnist.shape == (1, 28, 28)
    assert mnist.classes == tuple("0123456789")
    assert mnist.train.inputs.dtype == torch.float32
    assert mnist.train.targets.dtype == torch.int64
    assert (mnist.train.name, mnist.test.name) == ("mnist-train", "mnist-test")


def test_mnist_is_the_published_one(mnist: Data) -> None:
    # The first labels, the class counts and the mean of all training pixels (0.1307) are common knowledge.
    assert mnist.train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.targets[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.train.targets.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert float(mnist.train.inputs.double().mean()) == pytest.approx(0.1306604, abs=1e-6)
    assert (float(mnist.train.inputs.min()), float(mnist.train.inputs.max())) == (0.0, 1.0)


def test_holdout_leaves_the_test_part_alone(mnist: Data) -> None:
    split = mnist.holdout(10_000, seed=0)
    assert (len(split.train), len(split.validation)) == (50_000, 10_000)
    assert split.validation.targets.bincount().min() > 800


def test_the_sums_beside_the_bundled_files_are_the_pinned_ones() -> None:
    folder = Path(load_data.__code__.co_filename).parent / "bundled" / "mnist"
    rows = (line.split() for line in (folder / "SHA256SUMS-decompressed").read_text().splitlines())
    assert {name: digest for digest, name in rows} == {file.name: file.sha256 for file in MNIST.files}
    assert "CC BY-SA 3.0" in (folder / "ATTRIBUTION.txt").read_text()


def test_unknown_names_get_a_hint() -> None:
    with pytest.raises(
        ConfigError,
        match=re.escape(
            "choose mnist, fashion-mnist, cifar10, n-mnist, cifar10-dvs, dvs-gesture, shd (did you mean 'mnist'?)"
        ),
    ):
        load_data("minst")
    with pytest.raises(ConfigError, match="no data set is called ''"):
        load_data("")
    with pytest.raises(DataError, match="does not exist"):
        load_data("nowhere/digits.csv")


def test_absent_data_says_how_to_get_it(fashion: KnownData) -> None:
    with pytest.raises(
        DataError, match=r"`threegen data get fashion-mnist`.*`threegen data import fashion-mnist PATH`"
    ):
        load_data("fashion-mnist")


def test_fashion_loads_after_import(fashion: KnownData, fashion_files: Path, tmp_path: Path) -> None:
    import_data("fashion-mnist", fashion_files)
    data = load_data("fashion-mnist")
    assert (len(data.train), len(data.test)) == (30, 20)
    assert data.classes[9] == "Ankle boot"
    elsewhere = tmp_path / "elsewhere"
    import_data("fashion-mnist", fashion_files, root=elsewhere)
    assert load_data("fashion-mnist", root=elsewhere).train.fingerprint() == data.train.fingerprint()


def test_missing_and_changed_files_are_named(fashion: KnownData, fashion_files: Path) -> None:
    folder = import_data("fashion-mnist", fashion_files)
    load_data("fashion-mnist")
    images = folder / "train-images-idx3-ubyte"
    content = bytearray(images.read_bytes())
    content[100] ^= 1
    images.write_bytes(content)  # verified before, but no longer the same file
    with pytest.raises(DataError, match=r"train-images sha256 .* delete it or pass verify=False"):
        load_data("fashion-mnist")
    assert len(load_data("fashion-mnist", verify=False).train) == 30
    images.unlink()
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte missing in .*threegen data get"):
        load_data("fashion-mnist")


def test_bundled_data_can_be_overridden_by_a_root_only(
    fashion_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mnist"
    fashion_files.rename(folder)
    with pytest.raises(DataError, match="sha256"):
        load_data("mnist", root=tmp_path)
    assert len(load_data("mnist", root=tmp_path, verify=False).train) == 30
    monkeypatch.setitem(KNOWN, "mnist", dataclasses.replace(MNIST, name="mnist"))
    assert len(load_data("mnist", root=tmp_path / "empty").train) == 60_000


def test_cifar_records(cifar: tuple[KnownData, dict[str, bytes]], tmp_path: Path) -> None:
    _, contents = cifar
    given = tmp_path / "given"
    given.mkdir()
    for name, content in contents.items():
        (given / name).write_bytes(content)
    import_data("cifar10", given)
    data = load_data("cifar10")
    assert (len(data.train), len(data.test)) == (50, 10)
    assert data.shape == (3, 32, 32)
    assert data.train.targets.tolist() == list(range(10)) * 5
    # Record 12 lies in the second file; its first pixel byte is the red value of the top left corner.
    red = contents["data_batch_2.bin"][2 * 3073 + 1]
    blue_last = contents["data_batch_2.bin"][3 * 3073 - 1]
    assert float(data.train.inputs[12, 0, 0, 0]) == pytest.approx(red / 255)
    assert float(data.train.inputs[12, 2, 31, 31]) == pytest.approx(blue_last / 255)


def test_cifar_damage_is_named(cifar: tuple[KnownData, dict[str, bytes]], tmp_path: Path) -> None:
    _, contents = cifar
    folder = tmp_path / "data" / "cifar10"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    batch = folder / "data_batch_3.bin"
    batch.write_bytes(contents["data_batch_3.bin"][:-1])
    with pytest.raises(DataError, match=r"data_batch_3\.bin: 30,729 bytes; expected 30,730"):
        load_data("cifar10")
    batch.write_bytes(b"\x0b" + contents["data_batch_3.bin"][1:])
    with pytest.raises(DataError, match=r"label 11 at index 0 is outside 0\.\.9"):
        load_data("cifar10")
    batch.write_bytes(contents["data_batch_3.bin"][:-1] + b"\x00\x01"[:1])
    with pytest.raises(DataError, match=r"data_batch_3\.bin sha256"):
        load_data("cifar10")


def test_installed_fashion_mnist_is_the_pinned_one(tmp_path: Path) -> None:
    folder = Path("/usr/share/datasets/fashion-mnist")
    if not folder.is_dir():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    import_data("fashion-mnist", folder, root=tmp_path)
    data = load_data("fashion-mnist", root=tmp_path)
    assert data.train.targets.bincount().tolist() == [6000] * 10
    assert data.test.targets.bincount().tolist() == [1000] * 10
