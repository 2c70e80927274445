"""Freed memory is kept while a network learns: page faults and memory of a process, as the system counts them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from threegen.machine import memory
from threegen.machine.memory import freed_memory_kept

PROGRAM = """
import json, os, resource, torch
from threegen.machine.memory import freed_memory_kept

def faults(passes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(passes):
        torch.ones(12_000_000)  # 48 MB, 11,719 pages of 4,096 bytes: above the most that glibc keeps by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

torch.set_num_threads(1)
before = faults(4)
with freed_memory_kept():
    faults(20)  # until small blocks lie in the gaps that the first large ones leave
    with freed_memory_kept():
        inside = faults(4)
    still = faults(4)
    blocks = [torch.ones(12_000_000) for _ in range(4)]
    most = resident()
    del blocks
print(json.dumps([before, inside, still, most - resident()]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told to keep memory")
def test_pages_are_touched_once_and_given_back_at_the_end() -> None:
    """Without: a fault for each page and pass (fewer where the system has large pages). Within: hardly any."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(memory.OWN_SETTINGS)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=clean, check=True)
    before, inside, still, returned = json.loads(done.stdout)
    assert max(inside, still) < before / 20
    assert returned > 3 * 48_000_000


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """Note what the allocator is told instead of telling it."""
    told: list[tuple[int, int]] = []

    def note(setting: int, value: int) -> int:
        told.append((setting, value))
        return 1

    monkeypatch.setattr(memory, "_allocator", lambda: note)
    for name in list(os.environ):
        if name.startswith(memory.OWN_SETTINGS):
            monkeypatch.delenv(name)
    yield told
    assert memory._keeping == 0


def test_the_outermost_block_sets_and_resets(calls: list[tuple[int, int]]) -> None:
    """Two threads that overlap are one block; an error inside ends it, too."""
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with freed_memory_kept():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with freed_memory_kept():
        opened = len(calls)
        thread.start()
        assert inside.wait(10)
    assert len(calls) == opened  # the other thread still is in its block
    leave.set()
    thread.join()
    assert len(calls) > opened
    closed = len(calls)
    with pytest.raises(ZeroDivisionError), freed_memory_kept():
        1 / 0  # noqa: B018
    assert len(calls) == 2 * closed


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_settings_of_the_users_own_are_left_alone(
    calls: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "1")
    with freed_memory_kept():
        pass
    assert calls == []


def test_another_c_library_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: Any) -> Any:
        raise OSError("no such library")

    def forget() -> None:
        memory._trim.cache_clear()
        memory._allocator.cache_clear()

    monkeypatch.setattr("ctypes.CDLL", absent)
    forget()
    try:
        with freed_memory_kept():
            pass
    finally:
        forget()


def test_memory_that_grows_by_half_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    resident = iter([100, 149, 151, 120, 151])
    monkeypatch.setattr(memory, "_resident", lambda: next(resident))
    monkeypatch.setattr(memory, "give_back_freed", lambda: given.append(1))
    watch = memory.GrowthWatch()
    counts = []
    for _ in range(5):
        watch.look()
        counts.append(len(given))
    assert counts == [0, 0, 1, 1, 2]
