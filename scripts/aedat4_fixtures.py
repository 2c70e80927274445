"""Writes the AEDAT 4 fixtures with iniVation's own library (`pip install dv-processing`), in a separate environment.

Usage: python scripts/aedat4_fixtures.py FOLDER

One file for each compression, 300 events each on a sensor of 34 x 40, and one that holds frames, triggers and motion
measurements in addition to the events, as a DAVIS camera records them. The events are drawn by `drawn`, so that a test
can say what they are without the library.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

COUNT, HEIGHT, WIDTH, FIRST = 300, 34, 40, 1_700_000_000_000_000


def drawn() -> np.ndarray:
    """Return the events [300, 4] (t in microseconds, x, y, p), by a reproducible rule."""
    n = np.arange(COUNT)
    return np.stack([FIRST + 37 * n + n % 5, 7 * n % WIDTH, 11 * n % HEIGHT, (n // 3) % 2], 1)


def write(path: Path, compression: str, more: bool) -> None:
    """Write the events in three packets, with other streams between them if `more`."""
    import dv_processing as dv

    config = dv.io.MonoCameraWriter.Config("DVXplorer_fixture")
    config.compression = getattr(dv.CompressionType, compression)
    config.addEventStream((WIDTH, HEIGHT))
    if more:
        config.addFrameStream((WIDTH, HEIGHT))
        config.addImuStream()
        config.addTriggerStream()
    writer = dv.io.MonoCameraWriter(str(path), config)
    for part in np.array_split(drawn(), 3):
        store = dv.EventStore()
        for t, x, y, p in part.tolist():
            store.push_back(t, x, y, bool(p))
        writer.writeEvents(store)
        if more:
            picture = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256).astype(np.uint8)
            writer.writeFrame(dv.Frame(int(part[0, 0]), picture))
            writer.writeTrigger(dv.Trigger(int(part[0, 0]), dv.TriggerType.EXTERNAL_SIGNAL_RISING_EDGE))
            writer.writeImu(dv.IMU(int(part[0, 0]), 20.0, 0.0, 0.0, 1.0, 0.1, 0.2, 0.3, 0.0, 0.0, 0.0))
    del writer


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("NONE", "LZ4", "LZ4_HIGH", "ZSTD", "ZSTD_HIGH"):
        write(folder / f"events_{kind.lower()}.aedat4", kind, more=False)
    write(folder / "davis.aedat4", "LZ4", more=True)
