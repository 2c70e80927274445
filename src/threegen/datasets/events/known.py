"""The published sets of recordings: contents, file layouts and splits."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from threegen.datasets.events.aedat2 import read_aedat2
from threegen.datasets.events.aedat3 import cut_gesture, read_aedat3, read_gestures
from threegen.datasets.events.aedat4 import read_aedat4
from threegen.datasets.events.archive import read_member, recording_names
from threegen.datasets.events.bin40 import read_bin
from threegen.datasets.events.cache import Example
from threegen.datasets.events.spike_hdf5 import SpikeFile
from threegen.errors import DataError

_CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"),
)
CIFAR10_DVS_TRAIN = 900  # recordings per class, by number; the others are the test part


@dataclass(frozen=True)
class KnownEvents:
    """A published set of recordings: `train` and `test` are its published sizes, `read` goes through its files.

    `steps` and `milliseconds` are the defaults for the frames of `load_data`.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    size: tuple[int, int]
    train: int
    test: int
    licence: str
    citation: str
    files: str
    read: Callable[[Sequence[Path]], Iterator[Example]]
    steps: int
    milliseconds: float | None


def _members(paths: Sequence[Path], endings: tuple[str, ...]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield (name, how to read it) of all recordings in folders and zip archives; a folder's archives are opened."""
    found = 0
    for path in paths:
        inside = sorted(path.glob("*.zip")) if path.is_dir() else []
        for one in [path, *inside]:
            names = recording_names(one, endings)
            found += len(names)
            label = f"{one.stem}/" if one.suffix.lower() == ".zip" else ""
            if one.is_dir():
                for name in names:
                    yield name, (one / name).read_bytes
                continue
            with zipfile.ZipFile(one) as archive:
                for name in names:
                    yield label + name, _reader(archive, name, one.name)
    if not found:
        raise DataError(f"no recordings ({', '.join(endings)}) in {', '.join(path.name for path in paths)}")


def _reader(archive: zipfile.ZipFile, name: str, label: str) -> Callable[[], bytes]:
    return lambda: read_member(archive, name, label)


def _n_mnist(paths: Sequence[Path]) -> Iterator[Example]:
    """Train/LABEL/NUMBER.bin and Test/LABEL/NUMBER.bin."""
    for name, read in _members(paths, (".bin", ".bs2")):
        match = re.search(r"(?:^|/)(\d)/[^/]*$", name)
        if match is None:
            raise DataError(f"{name} is not in a folder 0 to 9 named after its digit; expected Train/5/00001.bin")
        part = "test" if re.search(r"(?:^|/)test", name.lower()) else "train"
        yield Example(part, int(match[1]), read_bin(read(), name=name))


def _cifar10_dvs(paths: Sequence[Path]) -> Iterator[Example]:
    """CLASS/cifar10_CLASS_NUMBER.aedat, the authors' AEDAT 2.0 files, or .aedat4."""
    for path in paths:
        for name, read in _members([path], (".aedat", ".aedat4")):
            match = re.search(r"([a-z]+)_(\d+)$", PurePosixPath(name).stem.lower())
            if match is None or match[1] not in _CIFAR:
                raise DataError(f"{name} does not name its class; expected cifar10_airplane_0.aedat")
            number = int(match[2])
            part = "train" if number < CIFAR10_DVS_TRAIN else "test"
            kind = read_aedat4 if name.lower().endswith("4") else read_aedat2
            yield Example(part, _CIFAR.index(match[1]), kind(read(), size=(128, 128), name=name))


def _dvs_gesture(paths: Sequence[Path]) -> Iterator[Example]:
    """userNN_LIGHT.aedat with userNN_LIGHT_labels.csv, trials_to_train.txt and trials_to_test.txt."""
    if len(paths) != 1 or not paths[0].is_dir():
        raise DataError("DVS128 Gesture is read from its unpacked folder, the one with trials_to_train.txt")
    folder = paths[0]
    for part in ("train", "test"):
        trials = folder / f"trials_to_{part}.txt"
        if not trials.is_file():
            raise DataError(f"{trials.name} is missing in {folder}; give the folder that holds it")
        for line in trials.read_text(encoding="utf-8").splitlines():
            name = line.strip()
            if not name:
                continue
            if not re.fullmatch(r"[\w.-]+\.aedat", name):
                raise DataError(f"{trials.name} names {name!r}; expected lines such as user01_fluorescent.aedat")
            events = read_aedat3(folder / name)
            for gesture in read_gestures(folder / f"{name.removesuffix('.aedat')}_labels.csv"):
                yield Example(part, gesture.label, cut_gesture(events, gesture))


def _shd(paths: Sequence[Path]) -> Iterator[Example]:
    """shd_train.h5 and shd_test.h5."""
    files = [file for path in paths for file in (sorted(path.glob("*.h5")) if path.is_dir() else [path])]
    for part in ("train", "test"):
        found = [file for file in files if part in file.stem.lower()]
        if len(found) != 1:
            raise DataError(f"expected one file shd_{part}.h5, found {[file.name for file in found]}")
        with SpikeFile(found[0]) as spikes:
            for number in range(len(spikes)):
                speaker = -1 if spikes.speakers is None else int(spikes.speakers[number])
                yield Example(part, int(spikes.labels[number]), spikes.read(number), speaker)


EVENT_SETS: dict[str, KnownEvents] = {
    known.name: known
    for known in (
        KnownEvents(
            "n-mnist",
            "N-MNIST, digits seen by a moving event camera",
            tuple("0123456789"),
            (34, 34),
            60_000,
            10_000,
            "CC BY-SA 4.0",
            "Orchard, Jayawant, Cohen and Thakor, Frontiers in Neuroscience 9:437 (2015)",
            "a folder or archive with Train/5/00001.bin ... and Test/...",
            _n_mnist,
            10,
            300.0,
        ),
        KnownEvents(
            "cifar10-dvs",
            "CIFAR10-DVS, photographs seen by an event camera",
            _CIFAR,
            (128, 128),
            9_000,
            1_000,
            "CC BY 4.0",
            "Li, Liu, Ji, Li and Shi, Frontiers in Neuroscience 11:309 (2017)",
            "a folder with the ten archives, or with airplane/cifar10_airplane_0.aedat ...",
            _cifar10_dvs,
            10,
            None,
        ),
        KnownEvents(
            "dvs-gesture",
            "DVS128 Gesture, hand and arm gestures",
            _GESTURES,
            (128, 128),
            1_176,
            288,
            "CC BY 4.0",
            "Amir et al., CVPR 2017; the counts are those of the label files",
            "the unpacked folder with trials_to_train.txt, user01_fluorescent.aedat ...",
            _dvs_gesture,
            20,
            None,
        ),
        KnownEvents(
            "shd",
            "SHD, spoken digits as spikes of an artificial cochlea",
            _WORDS,
            (1, 700),
            8_156,
            2_264,
            "CC BY 4.0",
            "Cramer, Stradmann, Schemmel and Zenke, IEEE TNNLS 33 (2022)",
            "a folder with shd_train.h5 and shd_test.h5",
            _shd,
            100,
            1400.0,
        ),
    )
}
