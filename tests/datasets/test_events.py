"""Recordings as data sets: read lazily from a cache, split as published; and real N-MNIST where it is at hand."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from tests.datasets.events import writers

from threegen.datasets.dataset import Dataset
from threegen.datasets.download import get_data, import_data
from threegen.datasets.events.recordings import EventDataset
from threegen.datasets.events.spike_hdf5 import SpikeFile
from threegen.datasets.load import load_data
from threegen.datasets.manage import check_data, list_data, preview_data
from threegen.errors import ConfigError, DataError, ResourceError
from threegen.gen2.mlp import MLP
from threegen.gen3.ordered_conv import OrderedConv
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.rules.backprop import Backprop
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.rule import Rule
from threegen.rules.triplet_stdp import TripletSTDP
from threegen.training.fit import fit

REAL = Path(os.environ.get("THREEGEN_DATA", "")) / "nmnist" / "Train-first-1000.zip"
needs_recordings = pytest.mark.skipif(
    not os.environ.get("THREEGEN_DATA") or not REAL.is_file(),
    reason="the 1,000 real N-MNIST recordings are not here: set THREEGEN_DATA to the folder with nmnist/",
)


def digit(label: int, number: int) -> list[writers.Event]:
    """A recording whose every event lies in the row of its label."""
    return [(1000 * n + number, (7 * n + number) % 34, label, n % 2) for n in range(300)]


@pytest.fixture
def n_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive with 30 training and 10 test recordings; an empty data folder."""
    path = tmp_path / "n-mnist.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1, 31):
            archive.writestr(f"Train/{number % 10}/{number:05d}.bin", writers.bin40(digit(number % 10, number)))
        for number in range(1, 11):
            archive.writestr(f"Test/{number % 10}/{number:05d}.bin", writers.bin40(digit(number % 10, number + 50)))
        archive.writestr("Train/readme.txt", "no recording")
    monkeypatch.setenv("THREEGEN_DATA", str(tmp_path / "data"))
    return path


def test_an_archive_is_gathered_once_and_read_lazily(n_mnist: Path, tmp_path: Path) -> None:
    data = load_data("n-mnist", root=n_mnist)
    assert (len(data.train), len(data.test), data.shape) == (30, 10, (10, 2, 34, 34))
    assert isinstance(data.train, EventDataset)
    assert data.train.targets is not None
    assert data.train.targets.tolist() == [n % 10 for n in range(1, 31)]
    assert writers.as_tuples(data.train.recording(6).array) == digit(7, 7)
    batch = data.train.batch(torch.tensor([6, 2]))
    assert batch.inputs.shape == (2, 10, 2, 34, 34)
    assert batch.inputs[0].sum() == 300
    assert batch.inputs[0, :, :, 7].sum() == 300
    caches = list((tmp_path / "data" / "event-cache").iterdir())
    changed = {path: path.stat().st_mtime_ns for path in caches[0].iterdir()}
    again = load_data("n-mnist", root=n_mnist, frames=[0, 100, 200, 300], binary=True)
    assert again.shape == (3, 2, 34, 34)
    assert float(again.test.inputs.max()) == 1
    assert {path: path.stat().st_mtime_ns for path in caches[0].iterdir()} == changed
    assert again.train.fingerprint() != data.train.fingerprint()
    assert load_data("n-mnist", root=n_mnist).train.fingerprint() == data.train.fingerprint()


def test_parts_of_recordings(n_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load_data("n-mnist", root=n_mnist).train
    split = train.holdout(10, seed=3)
    assert (len(split.train), len(split.validation)) == (20, 10)
    some = train.subset([5, 1])
    assert torch.equal(some.inputs, train.inputs[[5, 1]])
    assert torch.equal(train.take(4).inputs, train.inputs[:4])
    assert [len(batch) for batch in train.batches(8)] == [8, 8, 8, 6]
    assert torch.equal(train[3][0], train.inputs[3])
    assert type(train.to(dtype=torch.float64)) is Dataset
    monkeypatch.setattr("threegen.datasets.lazy.MOST_BYTES", 1000)
    with pytest.raises(ResourceError, match="GiB at once; use batches"):
        _ = train.inputs
    with pytest.raises(ConfigError, match="index 30 is outside"):
        train.subset([30])


def test_a_net_learns_from_recordings_batch_by_batch(n_mnist: Path) -> None:
    data = load_data("n-mnist", root=n_mnist, frames=1)
    model = MLP([2 * 34 * 34, 10], generator=torch.Generator().manual_seed(0))
    log = fit(
        model, Backprop(), data.train, optimizer="adam", lr=0.01, epochs=20, batch_size=10, seed=0, progress=False
    )
    assert log.epochs[-1]["loss"] < log.epochs[0]["loss"] / 5


def test_import_check_list_and_preview(n_mnist: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="threegen data import n-mnist PATH"):
        load_data("n-mnist")
    with pytest.raises(DataError, match=r"get a folder or archive .*import"):
        get_data("n-mnist")
    assert {row.name: row.state for row in list_data()}["n-mnist"] == "absent"
    folder = import_data("n-mnist", n_mnist)
    assert folder == tmp_path / "data" / "n-mnist"
    assert {row.name: row.state for row in list_data()}["n-mnist"] == "here"
    found = check_data("n-mnist")
    assert found.ok
    assert "30 recordings of 34 x 34 pixels, 300 events each" in str(found)
    assert "the published set has 60,000" in str(found)
    assert found.train_counts == (3,) * 10
    picture = preview_data("n-mnist", tmp_path / "a.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF89a")
    (folder / "train.events").write_bytes(b"short")
    assert not check_data("n-mnist").ok
    with pytest.raises(DataError, match="import the data again"):
        load_data("n-mnist")


def test_without_a_test_part_one_is_drawn_and_said(n_mnist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "only" / "Train" / "3"
    folder.mkdir(parents=True)
    for number in range(10):
        (folder / f"{number}.bin").write_bytes(writers.bin40(digit(3, number)))
    with pytest.warns(UserWarning, match="has no test part; 20% of the recordings"):
        data = load_data("n-mnist", root=tmp_path / "only")
    assert (len(data.train), len(data.test)) == (8, 2)
    (folder / "9.bin").write_bytes(b"odd")
    with pytest.raises(DataError, match=r"9\.bin: the events have 3 bytes, 3 more than whole events"):
        import_data("n-mnist", tmp_path / "only")


def test_cifar10_dvs_splits_each_class_by_number(n_mnist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dvs"
    for name in ("airplane", "truck"):
        (folder / name).mkdir(parents=True)
        for number in (0, 899, 900, 999):
            raw = writers.aedat2_dvs128([(5 + n, number % 128, n, n % 2) for n in range(9)])
            (folder / name / f"cifar10_{name}_{number}.aedat").write_bytes(raw)
    data = load_data("cifar10-dvs", root=folder)
    assert (len(data.train), len(data.test)) == (4, 4)
    assert data.test.targets is not None
    assert sorted(data.test.targets.tolist()) == [0, 0, 9, 9]
    assert data.shape == (10, 2, 128, 128)


def test_dvs_gesture_is_cut_by_its_labels(n_mnist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gesture"
    folder.mkdir()
    for part, user in (("train", "user01_led"), ("test", "user24_led")):
        (folder / f"trials_to_{part}.txt").write_text(f"{user}.aedat\n")
        raw = writers.AEDAT3_HEADER + writers.aedat3_packet([(100 * n, n, 3, 1) for n in range(100)])
        (folder / f"{user}.aedat").write_bytes(raw)
        rows = "class,startTime_usec,endTime_usec\n1,1000,2000\n11,5000,5500\n"
        (folder / f"{user}_labels.csv").write_text(rows)
    data = load_data("dvs-gesture", root=folder)
    assert data.train.targets is not None
    assert data.train.targets.tolist() == [0, 10]
    assert isinstance(data.train, EventDataset)
    assert data.train.recording(1).t.tolist() == [5000, 5100, 5200, 5300, 5400]
    (folder / "trials_to_test.txt").write_text("../../etc/passwd\n")
    with pytest.raises(DataError, match=r"names '\.\./\.\./etc/passwd'"):
        import_data("dvs-gesture", folder)


def test_shd_by_speakers(n_mnist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shd"
    folder.mkdir()
    for part in ("train", "test"):
        with h5py.File(folder / f"shd_{part}.h5", "w") as file:
            for name, dtype in (("spikes/times", np.float64), ("spikes/units", np.int64)):
                made = file.create_dataset(name, (3,), dtype=h5py.vlen_dtype(dtype))
                for n in range(3):
                    made[n] = np.array([0.5, 0.25, 0.25]) if "times" in name else np.array([699, n, 5])
            file["labels"] = np.array([0, 7, 19])
            file["extra/speaker"] = np.array([4, 4, 9])
    data = load_data("shd", root=folder)
    assert data.shape == (100, 2, 1, 700)
    assert isinstance(data.train, EventDataset)
    assert data.train.recording(1).t.tolist() == [250_000, 250_000, 500_000]
    assert data.train.recording(1).x.tolist() == [1, 5, 699]
    assert data.train.store.speakers.tolist() == [4, 4, 9]
    import_data("shd", folder)
    picture = preview_data("shd", tmp_path / "shd.png")
    with Image.open(picture) as drawn, Image.open(picture.with_suffix(".gif")) as film:
        assert drawn.size == (10 * 702, 20 * 26)  # a row of ten recordings, drawn 24 pixels tall, for each class
        assert (film.size, film.n_frames) == ((700, 3 * 24), 30)  # the three classes that have recordings
    (tmp_path / "bad.h5").write_bytes(struct.pack("<8Q", *range(8)))
    with pytest.raises(DataError, match="expected HDF5 with spikes/times"):
        SpikeFile(tmp_path / "bad.h5")


@needs_recordings
def test_real_recordings() -> None:
    """Their labels are MNIST's first, and events gather on the edges of the paired digit, not of another one.

    facts: 4,133 events each, half of them ON; correlation of the summed frame with the blurred digit is far higher for
    the paired image than for the next one.
    """
    from threegen.datasets.real_recordings import real_pairs
    from threegen.studies.camera_measures import correlation, volume

    pairs = real_pairs()
    names = load_data("mnist").train.take(1000)
    assert names.targets is not None
    assert torch.equal(pairs.labels, names.targets)
    counts = [len(events) for events in pairs.recordings]
    assert round(float(np.mean(counts))) == 4133
    assert 0.49 < float(np.mean([events.p.mean() for events in pairs.recordings[:100]])) < 0.51
    blurred = torch.nn.functional.avg_pool2d(pairs.digits[:50], 9, 1, 4)[:, 0]
    frames = [volume(events).sum((0, 1))[3:31, 3:31] for events in pairs.recordings[:50]]
    own = [correlation(frame, blurred[n].numpy()) for n, frame in enumerate(frames)]
    other = [correlation(frame, blurred[(n + 1) % 50].numpy()) for n, frame in enumerate(frames)]
    assert np.mean(own) > np.mean(other) + 0.2


@needs_recordings
@pytest.mark.filterwarnings("ignore:n-mnist in")
@pytest.mark.parametrize("rule", [TripletSTDP(backend="plain"), TripletSTDP(backend="fused"), OrderBasedSTDP(0.05)])
def test_rules_learn_from_real_recordings(rule: Rule, tmp_path: Path) -> None:
    with zipfile.ZipFile(REAL) as archive:
        for name in sorted(archive.namelist(), key=lambda text: text[-9:])[:5]:
            archive.extract(name, tmp_path / "some")
    data = load_data("n-mnist", root=tmp_path / "some", frames=30)
    generator = torch.Generator().manual_seed(0)
    layer: PlasticLayer | OrderedConv
    if isinstance(rule, OrderBasedSTDP):
        layer = OrderedConv(2, 4, 5, steps=30, threshold=10.0, winners=4, radius=2, generator=generator)
    else:
        layer = PlasticLayer([2, 34, 34], 10, dt=10.0, threshold=5.0, inhibition=5.0, winners=1, generator=generator)
    before = layer.weight.detach().clone()
    fit(layer, rule, Dataset(data.train.inputs), epochs=1, batch_size=2, seed=0, progress=False)
    moved = (layer.weight.detach() - before).abs()
    assert float(moved.max()) > 1e-3
    assert torch.isfinite(moved).all()
    assert float(layer.weight.detach().min()) >= 0


@needs_recordings
def test_real_recordings_from_the_imported_set(tmp_path: Path) -> None:
    """What `threegen data import n-mnist` stores serves as well as the archive of the first 1,000 recordings."""
    from threegen.datasets.real_recordings import real_pairs

    with pytest.raises(DataError, match="threegen data import n-mnist PATH"):
        real_pairs(tmp_path)
    import_data("n-mnist", REAL, root=tmp_path)
    stored, archived = real_pairs(tmp_path), real_pairs()
    assert torch.equal(stored.labels, archived.labels)
    for one, other in zip(stored.recordings, archived.recordings, strict=True):
        assert np.array_equal(one.array, other.array)


def test_other_recordings_are_not_taken_for_the_first_thousand(n_mnist: Path, tmp_path: Path) -> None:
    from threegen.datasets.real_recordings import real_pairs

    import_data("n-mnist", n_mnist, root=tmp_path / "other")
    with pytest.raises(DataError, match="labels are not MNIST's; import the whole published set"):
        real_pairs(tmp_path / "other")
