"""Check in a separate process whether an HDF5 file can be read.

The HDF5 library trusts the metadata of a file: of 2,000 files with a few bytes changed, one crashed the process and one
never returned. So a child process with limits of time and memory first reads the whole file; if that succeeds, the same
bytes are read here. The result is cached as long as the file does not change.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from threegen.errors import DataError

_SECONDS, _BYTES_PER_SECOND = 20, 4 << 20  # far slower than any disk: a limit for reads that never end
_MEMORY = 4 << 30

_CHILD = """
import sys
try:
    import resource
    most = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import h5py

def read(name, thing):
    if not isinstance(thing, h5py.Dataset):
        return
    if not thing.shape:
        thing[()]
        return
    row = max(1, thing.dtype.itemsize)
    for side in thing.shape[1:]:
        row *= max(1, side)
    step = max(1, min(64, (1 << 26) // row))
    for first in range(0, thing.shape[0], step):
        thing[first : first + step]

with h5py.File(sys.argv[1], "r") as file:
    file.visititems(read)
"""


def refuse_broken_hdf5(path: str | os.PathLike[str]) -> None:
    """Raise `DataError` if the HDF5 library cannot read all of a file in a separate process.

    Args:
        path: the file; h5py must be installed.
    """
    file = Path(path)
    try:
        facts = file.stat()
    except OSError as problem:
        raise DataError(f"{file.name}: cannot read {file}: {problem.strerror or problem}") from problem
    problem_found = _problem(str(file.resolve()), facts.st_size, facts.st_mtime_ns)
    if problem_found:
        raise DataError(f"{file.name} cannot be read as HDF5: {problem_found}; get the file again")


@lru_cache(maxsize=256)
def _problem(path: str, size: int, changed: int) -> str | None:
    """Return the problem of a file of this size and modification time; None if it can be read."""
    limit = _SECONDS + size / _BYTES_PER_SECOND
    command = [sys.executable, "-c", _CHILD, path, str(_MEMORY + 4 * size)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return f"reading it did not end in {limit:.0f} s"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"the HDF5 library ended with signal {-done.returncode}"
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"the HDF5 library ended with code {done.returncode}"
