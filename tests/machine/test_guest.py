"""A good guest: what the user's own numba finds before and after threegen's kernels are loaded."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from threegen.machine import waiting
from threegen.machine.waiting import choose_waiting

USERS = """
from numba import njit

@njit(cache=True)
def one(x):
    return x + 1

@njit(cache=True)
def other(x):
    return x + 2
"""
GUEST = """
import sys; sys.path.insert(0, {folder!r})
import os, numba
import users
def state():
    kernel = numba.core.registry.cpu_target.target_context.codegen()
    config = numba.config
    return (config.CACHE_DIR, config.CPU_FEATURES, config.THREADING_LAYER, config.THREADING_LAYER_PRIORITY,
            kernel.magic_tuple(), {{name: os.environ[name] for name in os.environ if name.startswith("NUMBA")}})
users.one(1)
before = state()
import threegen
from threegen.functional.encoding import bernoulli_spikes
import threegen.functional.spiking.neurons_fused
import torch
bernoulli_spikes(torch.rand(2, 8), 3, torch.Generator().manual_seed(0))
assert state() == before, (before, state())
users.other(1)
from threegen.machine.processor import instruction_note, choose_instructions
print(len(list(__import__("pathlib").Path({folder!r}).rglob("*.nbc"))), choose_instructions())
"""


def run(code: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, with a cache of its own and without numba's variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    own = {**clean, "XDG_CACHE_HOME": str(folder / "cache"), "LOCALAPPDATA": str(folder / "cache"), **more}
    own |= {"HOME": str(folder)}
    return subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=True)


def test_the_users_numba_is_as_it_was(tmp_path: Path) -> None:
    """Folder, features, layer and environment are numba's own; both functions lie beside the user's file."""
    users = tmp_path / "theirs"
    users.mkdir()
    (users / "users.py").write_text(USERS)
    found = run(GUEST.format(folder=str(users)), tmp_path)
    assert found.stdout.split()[0] == "2"
    ours = list((tmp_path / "cache").rglob("*.nbc"))
    assert ours
    assert not any("users" in path.name for path in ours)
    assert found.stderr.splitlines() == ["compiling kernels, once: about 15 s"]


def test_the_first_compilation_alone_says_so(tmp_path: Path) -> None:
    code = """
import torch
from threegen.functional.encoding import bernoulli_spikes
bernoulli_spikes(torch.rand(2, 8), 3, torch.Generator().manual_seed(0))
"""
    assert run(code, tmp_path).stderr.splitlines() == ["compiling kernels, once: about 15 s"]
    assert run(code, tmp_path).stderr == ""


def test_config_is_put_back_where_the_features_are_ours(tmp_path: Path) -> None:
    code = """
import numba
from threegen.machine.processor import numba_has_started, wanted_features, features_in_use
assert not numba_has_started()
from threegen.machine.compiler import ready_numba
ready_numba()
assert numba.config.CPU_FEATURES is None
assert wanted_features() in (None, features_in_use())
"""
    run(code, tmp_path)
    run(code, tmp_path, ATEN_CPU_CAPABILITY="avx2")


def test_what_the_user_has_set_is_left_alone(tmp_path: Path) -> None:
    code = """
from threegen.machine.processor import features_in_use, knows, instruction_note, wanted_features
from threegen.machine.compiler import ready_numba
assert features_in_use() == "+sse2", features_in_use()
assert not knows("avx512f")
assert wanted_features() is None or instruction_note()
"""
    run(code, tmp_path, NUMBA_CPU_FEATURES="+sse2")


def test_one_variable_restricts_torch_and_the_kernels(tmp_path: Path) -> None:
    code = """
from threegen.machine.processor import capability, features_in_use, has_wide_vectors
assert capability() in ("AVX2", "DEFAULT"), capability()
assert not has_wide_vectors()
assert "+avx512" not in features_in_use() and "+avx10" not in features_in_use()
"""
    run(code, tmp_path, ATEN_CPU_CAPABILITY="avx2")


def test_two_processes_that_compile_at_once_keep_both_kernels(tmp_path: Path) -> None:
    """Each compiles other types of one kernel into one empty folder; a third process finds both and compiles none."""
    code = """
import numpy as np, sys
from threegen.machine.compiler import serial
from kernel import double
for kind in sys.argv[1].split(","):
    for _ in range(3):
        assert double(np.arange(5, dtype=kind)).tolist() == [0, 2, 4, 6, 8], kind
print(sum(double.stats.cache_misses.values()))
"""
    (tmp_path / "kernel.py").write_text(
        "from threegen.machine.compiler import serial\n\n@serial\ndef double(x):\n    return x * x.dtype.type(2)\n"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    own = {**clean, "XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path), "PYTHONPATH": paths}
    own |= {"HOME": str(tmp_path)}
    kinds = ["float32,int32,int8,uint8", "float64,int64,int16,uint16"]
    both = [subprocess.Popen([sys.executable, "-c", code, kind], env=own, text=True) for kind in kinds]
    assert [process.wait(120) for process in both] == [0, 0]
    third = [sys.executable, "-c", code, ",".join(kinds)]
    found = subprocess.run(third, env=own, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "0"


def test_the_command_line_leaves_busy_cores_to_the_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "available_cores", lambda: 4)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for busy, expected in [(0, {}), (1, {"OMP_NUM_THREADS": "3", "GOMP_SPINCOUNT": "0"})]:
        monkeypatch.setattr(waiting, "busy_neighbours", lambda busy=busy: busy)
        environment: dict[str, str] = {}
        choose_waiting(environment)
        assert environment == expected
    own = {"OMP_NUM_THREADS": "2"}
    assert choose_waiting(own) is None
    policy = {"OMP_WAIT_POLICY": "active"}
    assert choose_waiting(policy) == 3
    assert policy == {"OMP_WAIT_POLICY": "active", "OMP_NUM_THREADS": "3"}
    monkeypatch.setattr(waiting, "busy_neighbours", lambda: 9)
    assert choose_waiting({}) == 1


def test_nothing_is_chosen_once_torch_is_there() -> None:
    import torch  # noqa: F401

    environment: dict[str, str] = {}
    assert choose_waiting(environment) is None
    assert environment == {}


def test_no_type_of_llvm_is_seen_outside_of_machine() -> None:
    package = Path(waiting.__file__).parents[1]
    word = re.compile(r"llvmlite|numba\.core|numba\.extending|cgutils|vector_parts")
    seen = [path for path in package.rglob("*.py") if "machine" not in path.parts and word.search(path.read_text())]
    assert seen == []
