"""The checks of `threegen doctor`: versions, cores, numba's threading layer, data, memory."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from threegen.datasets.load import load_data
from threegen.errors import ThreegenError
from threegen.machine.compile_cache import cache_folder
from threegen.machine.compiler import threading_layer
from threegen.machine.processor import capability, instruction_note, processor_name
from threegen.machine.threads import available_cores
from threegen.machine.waiting import waiting_note

_PACKAGES = ("threegen", "torch", "numba", "numpy", "safetensors", "pooch", "typer", "rich", "matplotlib", "jinja2")
_EXTRAS = ("scikit-learn", "pillow", "tensorboard")


def examine() -> list[dict[str, str]]:
    """Return one row per finding: `what`, `found`, `state` ("good", "note" or "broken") and what to do."""
    rows = [_row("python", platform.python_version()), _row("machine", f"{platform.system()} {platform.machine()}")]
    rows += [_package(name, needed=True) for name in _PACKAGES]
    rows += [_package(name, needed=False) for name in _EXTRAS]
    rows.append(_row("cores", f"{available_cores()} usable, torch uses {torch.get_num_threads()}"))
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none; everything runs on the CPU"
    rows.append(_row("GPU", gpu))
    rows += [_numba_layer(), _instructions(), _waiting(), _row("compiled kernels", str(cache_folder()))]
    rows.append(_memory())
    rows.append(_disk())
    rows.append(_mnist())
    return rows


def _row(what: str, found: str, state: str = "good", advice: str = "") -> dict[str, str]:
    return {"what": what, "found": found, "state": state, "what to do": advice}


def _package(name: str, *, needed: bool) -> dict[str, str]:
    try:
        return _row(name, version(name))
    except PackageNotFoundError:
        if needed:
            return _row(name, "missing", "broken", "pip install threegen")
        extra = {"scikit-learn": "sklearn", "pillow": "images"}.get(name, name)
        return _row(name, "missing", "note", f'pip install "threegen[{extra}]" if you need it')


def _numba_layer() -> dict[str, str]:
    layer = threading_layer()
    if layer in ("omp", "tbb"):
        return _row("numba's threads", layer)
    advice = "install libgomp1 (apt-get install libgomp1); until then event kernels run on one core"
    return _row("numba's threads", layer, "note", advice)


def _instructions() -> dict[str, str]:
    found = f"{processor_name()}, {capability()}"
    note = instruction_note()
    return _row("processor", found, "note" if note else "good", note)


def _waiting() -> dict[str, str]:
    how, advice = waiting_note()
    return _row("waiting threads", how, "note" if advice else "good", advice)


def _memory() -> dict[str, str]:
    if not hasattr(os, "sysconf"):
        return _row("memory", "unknown", "note")
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    state = "good" if total >= 4 else "note"
    return _row("memory", f"{total:.1f} GiB", state, "" if total >= 4 else "4 GiB or more make training comfortable")


def _disk() -> dict[str, str]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return _row("disk", f"{free:.1f} GiB free here", *(() if free >= 1 else ("note", "runs may not fit")))


def _mnist() -> dict[str, str]:
    try:
        data = load_data("mnist")
    except ThreegenError as problem:
        return _row("MNIST", str(problem), "broken", "install threegen again")
    return _row("MNIST", f"{len(data.train):,} + {len(data.test):,} images, checksums correct")
