"""The HDF5 files of the Heidelberg spiking data sets SHD and SSC: spikes of 700 channels of an artificial cochlea.

    spikes/times   seconds, one list per recording        spikes/units   channels 0..699        labels

Cramer, Stradmann, Schemmel and Zenke, "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
networks", IEEE Transactions on Neural Networks and Learning Systems 33 (2022). A recording becomes events of one row of
700 pixels, all ON. SHD has no validation part: hold out speakers (`extra/speaker`) of its training part.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from threegen.datasets.events.stream import Array, Events, Sink
from threegen.errors import DataError, MissingExtraError
from threegen.machine.hdf5 import refuse_broken_hdf5

CHANNELS = 700
_BROKEN = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError)


class SpikeFile:
    """An open SHD or SSC file: `labels` `[N]`, `speakers` `[N]` or None, and recordings read one at a time.

    Needs h5py (`pip install "threegen[events]"`). Raises `DataError` for a file that is damaged or of another kind.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        try:
            import h5py
        except ImportError as problem:
            raise MissingExtraError.of("an HDF5 file of spikes", "h5py", "events") from problem
        self.path = Path(path)
        try:
            refuse_broken_hdf5(self.path)
        except DataError as problem:
            raise DataError(f"{problem}; expected HDF5 with spikes/times, spikes/units and labels") from problem
        try:
            self.file: Any = h5py.File(self.path, "r")
            self.times, self.units = self.file["spikes/times"], self.file["spikes/units"]
            self.labels: Array = np.asarray(self.file["labels"], np.int64)
            extra = self.file.get("extra", {})
            self.speakers: Array | None = np.asarray(extra["speaker"], np.int64) if "speaker" in extra else None
            counts = len(self.times), len(self.units), len(self.labels)
        except _BROKEN as problem:
            raise DataError(
                f"{self.path.name} cannot be read; expected HDF5 with spikes/times, spikes/units and labels: {problem}"
            ) from problem
        if len(set(counts)) != 1:
            raise DataError(f"{self.path.name} has {counts[0]} times, {counts[1]} units and {counts[2]} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int, *, start_at_zero: bool = False, repair: bool = False) -> Events:
        """Return recording `index`; times become whole microseconds. Raises `DataError` for damage."""
        label = f"{self.path.name}, recording {index}"
        try:
            seconds = np.asarray(self.times[index], np.float64)
            units = np.asarray(self.units[index], np.int64)
        except _BROKEN as problem:
            raise DataError(f"{label} cannot be read: {problem}") from problem
        if seconds.shape != units.shape or seconds.ndim != 1:
            raise DataError(f"{label} has {seconds.size} times but {units.size} units")
        if not (np.isfinite(seconds) & (seconds >= 0) & (seconds < 1e9)).all():
            raise DataError(f"{label} has times that are negative or no numbers")
        t = np.rint(seconds * 1e6).astype(np.int64)
        order = np.argsort(t, kind="stable")  # the lists are by channel in some releases
        sink = Sink(len(t), (1, CHANNELS), label, repair, start_at_zero)
        sink.put(t[order], units[order], np.zeros(len(t), np.int64), np.ones(len(t), np.uint8))
        return sink.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> SpikeFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
