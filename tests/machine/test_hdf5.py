"""HDF5 files are tried in a process of their own; whatever happens there is one sentence here."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from threegen.errors import DataError
from threegen.machine import hdf5


def test_a_whole_file_is_read_once(tmp_path: Path) -> None:
    place = tmp_path / "good.h5"
    with h5py.File(place, "w") as file:
        lists = file.create_dataset("lists", (3,), dtype=h5py.vlen_dtype(np.float64))
        lists[1] = np.arange(5.0)
        file["groups/table"] = np.zeros((70, 3))
        file["number"] = 4.0
    hdf5._problem.cache_clear()
    hdf5.refuse_broken_hdf5(place)
    hdf5.refuse_broken_hdf5(place)
    assert hdf5._problem.cache_info().misses == 1
    content = place.read_bytes()
    place.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"good\.h5 cannot be read as HDF5: .*get the file again"):
        hdf5.refuse_broken_hdf5(place)
    with pytest.raises(DataError, match="No such file"):
        hdf5.refuse_broken_hdf5(tmp_path / "absent.h5")


@pytest.mark.parametrize(
    ("child", "sentence"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended with signal 11"),
        ("import time; time.sleep(60)", "reading it did not end in"),
    ],
)
def test_a_crash_or_a_hang_is_one_sentence(
    child: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some.h5").write_bytes(b"some")
    monkeypatch.setattr(hdf5, "_CHILD", child)
    monkeypatch.setattr(hdf5, "_SECONDS", 1)
    hdf5._problem.cache_clear()
    with pytest.raises(DataError, match=sentence):
        hdf5.refuse_broken_hdf5(tmp_path / "some.h5")
    hdf5._problem.cache_clear()
