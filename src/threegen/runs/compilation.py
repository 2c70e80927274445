"""Compile every kernel ahead of its first use: `threegen doctor --compile`."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from threegen.datasets.load import load_data
from threegen.machine.compile_cache import cache_folder
from threegen.machine.threads import available_cores, use_threads
from threegen.randomness import forked_randomness
from threegen.registry.entry import all_entries, build_model
from threegen.training.fit import fit

IMAGES = 256  # two whole batches: with fewer, some kernels are not worth their start and are not called
_SLOW = {"alexnet"}  # it uses no kernel of threegen: its time is spent in torch


def compile_kernels(tell: Callable[[str], None] = lambda name: None) -> dict[str, object]:
    """Train and run each model of the registry on a few images, so that its kernels are compiled and cached.

    Returns the folder, how many compiled functions are in it, and the seconds it took. `tell` gets each model's name.
    """
    began = time.perf_counter()
    data = load_data("mnist")
    images = data.train.take(IMAGES)
    for entry in all_entries().values():
        if entry.name in _SLOW:
            continue
        tell(entry.name)
        plan = entry.settled_plan("quick", epochs=1)
        for threads in sorted({1, min(2, available_cores())}):
            with use_threads(threads), forked_randomness(0, "compile"), torch.random.fork_rng():
                model = build_model(entry, images.shape, len(data.classes), 0, plan.options)
                learner, how = entry.teaching(model, plan)
                fit(model, learner, images, **how)
                model(images.inputs[:8])
    compiled = sum(1 for _ in cache_folder().rglob("*.nbc"))
    return {
        "folder": str(cache_folder()),
        "compiled": compiled,
        "seconds": round(time.perf_counter() - began, 1),
    }
