"""The first 1,000 real training recordings of N-MNIST with the digits that they show.

Half of them, drawn at random, fitted the simulated camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from threegen.datasets.events.archive import recording_files
from threegen.datasets.events.bin40 import read_bin
from threegen.datasets.events.cache import Store
from threegen.datasets.events.stream import Events
from threegen.datasets.folders import Root, data_root
from threegen.datasets.load import load_data
from threegen.errors import DataError
from threegen.randomness import make_generator

RECORDINGS = 1000


@dataclass(frozen=True)
class Pairs:
    """Real recordings, the digits `[N, 1, 28, 28]` that were shown, their labels and their places in MNIST."""

    recordings: list[Events]
    digits: Tensor
    labels: Tensor
    places: Tensor

    def pick(self, index: Tensor) -> Pairs:
        """Return the pairs at `index`."""
        chosen = [self.recordings[int(n)] for n in index]
        return Pairs(chosen, self.digits[index], self.labels[index], self.places[index])


def real_pairs(root: Root = None) -> Pairs:
    """Return the first 1,000 training recordings of N-MNIST: number n shows image n - 1 of MNIST.

    They are read from `nmnist/Train-first-1000.zip` in the data folder, else from the published set as
    `threegen data import n-mnist` stores it. Raises `DataError` if neither is there, or the labels are not MNIST's.
    """
    shown = load_data("mnist").train.batch(torch.arange(RECORDINGS))
    labels = cast(Tensor, shown.targets)
    return Pairs(_first_recordings(data_root(root), labels), shown.inputs, labels, torch.arange(RECORDINGS))


def _first_recordings(folder: Path, labels: Tensor) -> list[Events]:
    archive, stored = folder / "nmnist" / "Train-first-1000.zip", folder / "n-mnist"
    if archive.is_file():
        recordings = [read_bin(content, name=name) for name, content in recording_files(archive)]
        if len(recordings) != RECORDINGS:
            raise DataError(f"{archive.name} holds {len(recordings):,} recordings, expected {RECORDINGS:,}")
        return recordings
    if not (stored / "about.json").is_file():
        raise DataError(
            f"the real recordings of N-MNIST are not in {folder}; get the published Train folder or archive and "
            "import it with `threegen data import n-mnist PATH`"
        )
    store = Store(stored, "train")
    found = torch.from_numpy(store.labels[:RECORDINGS].astype(np.int64))
    if not torch.equal(found, labels):
        raise DataError(
            f"{stored} does not begin with the {RECORDINGS:,} first training recordings of N-MNIST: their labels are "
            "not MNIST's; import the whole published set again"
        )
    return [store.read(number) for number in range(RECORDINGS)]


def half_places() -> tuple[Tensor, Tensor]:
    """Return the places (sorted, 500 each) of the recordings that the camera was fitted to, and of the others."""
    order = torch.randperm(RECORDINGS, generator=make_generator("camera", "halves"))
    fitted, others = order.chunk(2)
    return fitted.sort().values, others.sort().values


def halves(pairs: Pairs) -> tuple[Pairs, Pairs]:
    """Return the 500 pairs that the camera was fitted to and the 500 others."""
    fitted, others = half_places()
    return pairs.pick(fitted), pairs.pick(others)
