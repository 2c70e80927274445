"""Pictures on disk: every kind of store, any mode and size, bit-equal whatever the workers, damage named."""

from __future__ import annotations

import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from threegen.datasets import picture_dataset, stored_pictures
from threegen.datasets.augmentation import Augmentation, TenCrops, principal_colours, ten_crops
from threegen.datasets.load import load_data, load_examples
from threegen.datasets.picture_dataset import PictureDataset, _in_unit_range
from threegen.datasets.picture_files import find_pictures
from threegen.errors import ConfigError, DataError, ShapeError, WorkerError

from ..pictures_on_disk import COLOURS, Image, break_picture, write_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("stored") / "colours")


def opened(folder: Path, **options: object) -> PictureDataset:
    return PictureDataset(find_pictures(folder)[0], **{"size": 16, "workers": 0, **options})  # type: ignore[arg-type]


def test_a_folder_is_read_batch_by_batch(folder: Path) -> None:
    data = opened(folder)
    assert data.shape == (3, 16, 16)
    assert data.classes == tuple(sorted(COLOURS))
    assert len(data) == 36
    batch = next(data.batches(36))
    assert batch.targets is not None
    means = batch.inputs.mean((2, 3))
    assert torch.equal(means.argmax(1), torch.tensor([2, 1, 0])[batch.targets])  # blue, green, red
    assert torch.equal(data[5][0], batch.inputs[5])
    assert torch.equal(data.subset([7, 3]).inputs, batch.inputs[[7, 3]])


def test_workers_change_nothing_and_the_seed_decides(folder: Path) -> None:
    index = torch.randperm(36, generator=torch.Generator().manual_seed(1))

    def shown(workers: int, epoch: int, seed: int = 5) -> list[torch.Tensor]:
        data = Augmentation(scale=0.2, colour=0.1)(opened(folder, workers=workers)).for_pass(seed, 0, epoch)
        return [batch.inputs for batch in data.walk(list(index.split(8)))]

    alone = shown(0, 0)
    assert all(torch.equal(a, b) for a, b in zip(alone, shown(2, 0), strict=True))
    assert not torch.equal(alone[0], shown(0, 1)[0])
    assert not torch.equal(alone[0], shown(0, 0, seed=6)[0])
    assert all(0.0 <= float(part.min()) <= float(part.max()) <= 1.0 for part in alone)
    late = Augmentation(scale=0.2, colour=0.1)(opened(folder)).for_pass(5, 0, 0)
    assert torch.equal(next(iter(late.walk([index[16:24]]))).inputs, alone[2])  # a resumed pass begins in its middle


def test_archives_and_lists_hold_the_same_pictures(folder: Path, tmp_path: Path) -> None:
    whole = opened(folder).inputs
    files = sorted(folder.rglob("*.png"))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"top/{file.relative_to(folder)}")
    with tarfile.open(tmp_path / "c.tar", "w") as packed:
        packed.add(folder, "top")
    lines = "".join(f"{file}\t{file.parent.name}\n" for file in files)
    (tmp_path / "c.lst").write_text("# all of them\n" + lines)
    for name in ("c.zip", "c.tar", "c.lst"):
        stored = opened(tmp_path / name, workers=2)
        assert stored.classes == tuple(sorted(COLOURS)), name
        assert torch.equal(stored.inputs, whole), name
        assert torch.equal(torch.cat([batch.inputs for batch in stored.batches(10)]), whole), name
    data = load_data(tmp_path / "c.zip", size=16, workers=0)
    assert len(data.train) + len(data.test) == 36
    again = load_data(tmp_path / "c.zip", size=16, workers=0)
    assert data.test.fingerprint() == again.test.fingerprint()


def test_a_training_and_a_test_part(folder: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_pictures(tmp_path / "both" / part, 4)
    data = load_data(tmp_path / "both", size=12, on_disk=True, workers=0)
    assert (len(data.train), len(data.test)) == (12, 12)
    assert len(load_examples(tmp_path / "both", size=12, on_disk=True, workers=0)) == 12
    (tmp_path / "both" / "val" / "white").mkdir()
    (tmp_path / "both" / "val" / "red" / "000.png").rename(tmp_path / "both" / "val" / "white" / "0.png")
    with pytest.raises(DataError, match="the class 'white', which the training part lacks"):
        load_data(tmp_path / "both", size=12, on_disk=True)


def test_large_folders_stay_on_disk_by_themselves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(load_data(folder, size=16).train, PictureDataset)
    monkeypatch.setattr(stored_pictures, "ON_DISK_BYTES", 36 * 3 * 16 * 16 * 4 - 1)
    assert isinstance(load_data(folder, size=16).train, PictureDataset)
    assert not isinstance(load_data(folder, size=16, on_disk=False).train, PictureDataset)
    with pytest.raises(ConfigError, match="on_disk=False takes a folder"):
        load_data(folder, size=16, on_disk=False, workers=1)


def test_modes_sizes_and_orientation(tmp_path: Path) -> None:
    """Each mode becomes 3 planes; a mark of orientation is followed; the aspect stays, the middle is kept."""
    kinds = tmp_path / "kinds" / "all"
    kinds.mkdir(parents=True)
    left = np.zeros((40, 80, 3), np.uint8)
    left[:, :40] = 255
    picture = Image.fromarray(left)
    for number, mode in enumerate(("1", "L", "P", "RGBA", "CMYK", "LA", "I;16")):
        converted = Image.fromarray(left[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
        converted.save(kinds / f"{number}.{'jpg' if mode == 'CMYK' else 'png'}")
    turned = picture.getexif()
    turned[0x0112] = 3  # upside down
    picture.save(kinds / "z.jpg", exif=turned, quality=95)
    values = opened(tmp_path / "kinds", size=8, margin=0, channels=3).inputs
    assert values.shape == (8, 3, 8, 8)
    assert bool((values[:7, :, :, :3] > 0.95).all()), "white on the left"
    assert bool((values[:7, :, :, 5:] < 0.1).all())
    assert bool((values[7, :, :, 5:] > 0.9).all()), "turned by its mark"


def test_a_broken_picture_is_refused_or_named(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "mixed", 6)
    break_picture(folder / "green" / "002.png")
    (folder / "red" / "001.png").write_bytes(b"no picture at all")
    with pytest.raises(DataError, match=r"green/002.png cannot be read as a picture.*on_error"):
        list(opened(folder, workers=2).batches(6))
    data = opened(folder, on_error="skip", workers=2)
    with pytest.warns(UserWarning, match="left out: ") as told:
        found = list(data.batches(6))
    assert len(told) == 2
    assert [len(batch) for batch in found] == [6, 5, 5]
    assert found[1].index is not None
    assert found[1].index.tolist() == [6, 7, 9, 10, 11]
    assert found[1].targets is not None
    assert found[1].targets.tolist() == [1] * 5
    assert set(data.skipped) == {"green/002.png", "red/001.png"}
    list(data.batches(6))  # they are named once


def test_a_hanging_worker_has_a_time_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_dataset, "read_window", lambda *_, **__: time.sleep(60))
    with pytest.raises(WorkerError, match=r"batch 0 did not come within 1 seconds.*blue/000.png"):
        list(opened(folder, workers=1, time_limit=1).batches(12))


def test_the_decoded_cache_is_bit_equal(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Augmentation()(opened(folder)).for_pass(0, 0, 0)
    index = list(torch.arange(36).split(12))
    wanted = [batch.inputs for batch in plain.walk(index)]
    cached = Augmentation()(opened(folder, cache=tmp_path / "cache")).for_pass(0, 0, 0)
    assert all(torch.equal(a.inputs, b) for a, b in zip(cached.walk(index), wanted, strict=True))
    monkeypatch.setattr(picture_dataset, "read_window", lambda *_, **__: pytest.fail("decoded twice"))
    assert all(torch.equal(a.inputs, b) for a, b in zip(cached.walk(index), wanted, strict=True))
    assert sorted(file.suffix for file in (tmp_path / "cache").iterdir()) == [".json", ".npy"]


def test_principal_colours_are_those_of_the_data(folder: Path) -> None:
    """Against numpy's covariance of all pixels at once; vectors up to their sign."""
    data = opened(folder, margin=0)
    values, vectors = principal_colours(data)
    pixels = data.inputs.permute(1, 0, 2, 3).reshape(3, -1).double().numpy()
    wanted, columns = np.linalg.eigh(np.cov(pixels, bias=True))
    assert np.allclose(values, wanted, atol=1e-9)
    assert np.allclose(np.abs((vectors.numpy() * columns).sum(0)), 1.0, atol=1e-6)
    grey = opened(folder, channels=1)
    with pytest.raises(ConfigError, match="principal colours need 3"):
        principal_colours(grey)


def test_colour_moves_along_the_principal_axes(folder: Path) -> None:
    """Over many draws the mean shift is 0 and its covariance colour^2 P L P^T."""
    chosen = Augmentation(colour=0.1)(opened(folder)).augmentation  # type: ignore[attr-defined]
    draws = torch.rand(20000, 8, generator=torch.Generator().manual_seed(0))
    moved = chosen.coloured(torch.full((20000, 3, 1, 1), 0.5), draws)[:, :, 0, 0] - 0.5
    values, vectors = principal_colours(opened(folder))
    wanted = 0.01 * (vectors * values) @ vectors.T
    assert torch.allclose(torch.cov(moved.double().T), wanted, atol=0.05 * float(wanted.abs().max()))


def test_ten_crops_are_the_corners_the_middle_and_their_mirrors() -> None:
    picture = torch.arange(36.0).view(1, 1, 6, 6)
    crops = list(ten_crops(picture, 4))
    assert [float(crop[0, 0, 0, 0]) for crop in crops] == [0, 3, 2, 5, 12, 15, 14, 17, 7, 10]
    with pytest.raises(ShapeError, match="do not fit"):
        list(ten_crops(picture, 7))

    class Corner(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[:, 0, 0, 0], torch.zeros(len(x))], 1)

    wanted = torch.stack([Corner()(crop).softmax(1) for crop in crops]).mean(0).log()
    assert torch.allclose(TenCrops(Corner(), 4)(picture), wanted)


def test_bytes_become_the_same_numbers_on_one_thread_and_many() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(_in_unit_range(every, alone=True), _in_unit_range(every, alone=False))


def test_memory_is_stated(folder: Path) -> None:
    data = opened(folder, workers=2)
    batch = 8 * 3 * 18 * 18
    assert data.memory_bytes(8) == 3 * 2 * batch + 8 * batch + 36 * 56


def test_what_is_wrong_with_a_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "list.lst").write_text("no.png red\n")
    with pytest.raises(DataError, match=r"list.lst, line 1: no.png does not exist"):
        load_data(tmp_path / "list.lst")
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"bad.zip cannot be read.*expected a .zip"):
        load_data(tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        archive.writestr("one.png", b"")
    with pytest.raises(DataError, match="no class folders"):
        load_data(tmp_path / "flat.zip")
    with pytest.raises(ConfigError, match="which has no workers="):
        load_data("mnist", workers=2)


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar.gz", "w:gz"), ("a.tgz", "w:gz"), ("a.tar.xz", "w:xz"), ("a.tar", "w:bz2")]
)
def test_a_compressed_archive_is_refused_with_what_to_do(folder: Path, tmp_path: Path, name: str, mode: str) -> None:
    with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
        archive.add(folder, arcname="colours")
    with pytest.raises(DataError, match=rf"{name} is a compressed archive.*mkdir pictures && tar -xf {name} -C"):
        load_data(tmp_path / name)
