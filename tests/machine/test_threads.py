"""Threads, the folder of compiled kernels, and kernels with a serial twin."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from threegen.errors import ConfigError
from threegen.machine import compile_cache
from threegen.machine.compiler import LAYERS, ParallelKernel, parallel, ready_numba, serial, threading_layer
from threegen.machine.threads import use_threads

numba = ready_numba()


def _double(values: np.ndarray, result: np.ndarray) -> None:
    for i in numba.prange(len(values)):
        result[i] = 2 * values[i]


double = parallel(_double)


def test_threads_are_put_back_also_after_an_exception() -> None:
    before = torch.get_num_threads()
    seen = []

    def fail() -> None:
        with use_threads(before + 1):
            seen.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
    with pytest.raises(ConfigError, match="threads"), use_threads(0):
        pass


def test_both_twins_of_a_kernel_give_the_same() -> None:
    values = np.arange(1000.0)
    assert isinstance(double, ParallelKernel)
    for threads in (1, 2):
        result = np.zeros(1000)
        with use_threads(threads):
            double(values, result)
        assert np.array_equal(result, 2 * values)
    if threading_layer() in LAYERS and numba.config.NUMBA_NUM_THREADS > 1:
        assert numba.get_num_threads() == 2


def test_a_serial_kernel_runs() -> None:
    result = np.zeros(3)
    serial(_double)(np.ones(3), result)
    assert result.tolist() == [2, 2, 2]


def test_compiled_kernels_go_to_the_users_cache_folder(tmp_path: Path) -> None:
    code = "from threegen.machine.compile_cache import cache_folder; print(cache_folder())"
    clean = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    own = {**clean, "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "HOME": str(tmp_path)}
    for more, inside in [({}, tmp_path), ({"NUMBA_CACHE_DIR": str(tmp_path / "mine")}, tmp_path / "mine" / "threegen")]:
        command = [sys.executable, "-c", code]
        found = subprocess.run(command, env={**own, **more}, capture_output=True, text=True, check=True).stdout
        assert Path(found.strip()).is_relative_to(inside)


def test_a_change_in_any_kernel_has_a_cache_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numba looks at the file of the kernel that is called, not at those that it calls from other files."""
    folder = tmp_path / "functional" / "spiking"  # folders in folders count too
    folder.mkdir(parents=True)
    (folder / "outer.py").write_text("call inner")
    (folder / "inner.py").write_text("x + 1")
    monkeypatch.setattr(compile_cache, "__file__", str(tmp_path / "machine" / "compile_cache.py"))
    before = compile_cache.kernel_fingerprint()
    assert compile_cache.kernel_fingerprint() == before
    (folder / "inner.py").write_text("x + 2")
    assert compile_cache.kernel_fingerprint() != before


def test_every_file_that_compiles_is_in_the_fingerprint_of_the_cache() -> None:
    """A file outside of it would run kernels that were compiled from its callers' former text."""
    package = Path(compile_cache.__file__).parents[1]
    makers = re.compile(
        r"^\s*@(threads\.)?(serial|parallel|regrouping|(numba\.)?njit|intrinsic|(numba\.)?vectorize)\b", re.M
    )
    compiling = {path for path in package.rglob("*.py") if makers.search(path.read_text())}
    assert len(compiling) > 20
    assert compiling <= set(compile_cache.kernel_files())
