"""Mozafari's net of 2019: CPU seconds an image of one pass of its last layer, on cached bits of the layers below.

S1 and S2 learn a few thousand digits once; then S3 learns by reward, pass by pass, and the last passes are timed: CPU
time of one core, as run by `fit`, reading the bits included. The floor is one product [images x 16, 6,250] x [6,250,
200], which computes every potential once; ours takes less, because most potentials need not be computed (see
`functional/plasticity/decision_bounds.py`).

SpykeTorch, which the authors wrote for this net, has no release and is not among the bench environments: `peers` is
empty. Its reward pass took 29.1 ms per image on one core of another machine: measured before, not here.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from harness import Job, main

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.gen3.mozafari import Mozafari2019
from threegen.machine.threads import use_threads
from threegen.registry.deep_reward import SpikeCache, deep_reward_stages, script_reward
from threegen.training.loop import Callback, Training

IMAGES = {True: 500, False: 10_000}  # by whether the run is quick
WARM, TIMED = 30, 10  # passes


class PassTimes(Callback):
    """Notes the CPU time at the end of each pass."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Note the time."""
        self.ends.append(time.process_time())


def prepared(quick: bool) -> tuple[Mozafari2019, Dataset]:
    """Return a net with trained S1 and S2, and the bits for its S3."""
    data = tg.load_data("mnist").train.take(IMAGES[quick])
    model = Mozafari2019(generator=torch.Generator().manual_seed(0))
    size = min(500, len(data))
    tg.fit(model, deep_reward_stages(model, passes=(1, 1, 0), batch_sizes=(size, size, size)), data)
    return model, SpikeCache(model).features(data)


def ours(quick: bool) -> float:
    """Return the CPU seconds per image, the mean of the last passes."""
    with use_threads(1):
        model, bits = prepared(quick)
        watch = PassTimes()
        size = min(1000, len(bits))
        passes = WARM + TIMED
        tg.fit(model.s3, script_reward(model), bits, epochs=passes, batch_size=size, shuffle=False, callbacks=watch)
    return (watch.ends[-1] - watch.ends[-1 - TIMED]) / TIMED / len(bits)


def floor(quick: bool) -> float:
    """Return the CPU seconds an image of the product of all windows with all kernels."""
    images, generator = 64, torch.Generator().manual_seed(0)
    windows = (torch.rand(images * 16, 6250, generator=generator) < 0.2).float()
    kernels = torch.rand(6250, 200, generator=generator)
    with use_threads(1):
        windows @ kernels
        begun = time.process_time()
        for _ in range(4):
            windows @ kernels
        return (time.process_time() - begun) / (4 * images)


JOBS = [
    Job("mozafari-s3-pass", lambda quick: f"CPU seconds per image, {IMAGES[quick]:,} images", ours, floor, threads=1)
]

if __name__ == "__main__":
    main(JOBS, __file__)
