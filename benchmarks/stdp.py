"""Learning by spike timing: CPU milliseconds a training image of Diehl and Cook's network, against BindsNET and Brian2.

`-train` compares equal biological time at equal steps: 250 ms in 250 steps, our variant "faster" and BindsNET's
`DiehlAndCook2015`. `-train-paper` takes the published network: 350 ms and 150 ms of rest in steps of 0.5 ms, as Brian2
simulates it too; BindsNET in its own steps of 1 ms for the same time, and for 350 ms alone, as its examples do.
`-batched` are the same with BindsNET at the 32 images at once of its own example; its users report that it then learns
less well, so a batch that keeps its accuracy is at most as fast. BindsNET's network differs from the paper's and is
simpler (see docs/diehl-cook.md). Encoding and normalisation are included for all. All learn on one core from new
weights.

The floor is only the additions of the rows of weights at every input spike. `-growth-N` are our costs for N neurons;
`-pass` is one call of `fit` for all 60,000 images, in seconds by the clock.

SpykeTorch has no such network; for its deep one its users published 95,008 s on a GPU for 686 passes over 60,000 images
(issue 7 of its repository), 2.3 ms per image and pass. That is a published figure and not measured here.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import HERE, Contestant, Job, complain, main

import threegen as tg
from threegen.datasets.batches import Batch
from threegen.figures.spike_timing import stdp_stages
from threegen.functional.diehl_cook.network import input_spikes, presentation_key
from threegen.gen3.diehl_cook import DiehlCook
from threegen.machine.compiler import serial
from threegen.randomness import make_generator
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP

IMAGES = {True: 100, False: 500}  # by whether the run is quick


def unit(quick: bool) -> str:
    """Return what the figures are."""
    return f"CPU milliseconds a training image, the mean of {IMAGES[quick]} (peers: of fewer)"


def share_images() -> dict[str, str]:
    """Write the first training images for all contestants."""
    folder = Path(tempfile.gettempdir()) / "threegen-benchmarks"
    folder.mkdir(exist_ok=True)
    beside = folder / f"{os.getpid()}-stdp-images.npy"
    np.save(beside, tg.load_data("mnist").train.take(100).inputs.numpy())
    beside.replace(folder / "stdp-images.npy")
    return {"THREEGEN_BENCH_DATA": str(folder)}


class Training:
    """Our network learns images by its rule."""

    def __init__(self, neurons: int, variant: str, kind: str) -> None:
        self.neurons, self.variant, self.kind = neurons, variant, kind

    def __call__(self, quick: bool) -> float:
        """Return the CPU milliseconds per image; the first call compiles."""
        model = DiehlCook(self.neurons, variant=self.variant, generator=make_generator("bench"))
        images = tg.load_data("mnist").train.take(IMAGES[quick]).inputs
        rule = DiehlCookSTDP(self.kind)
        list(rule(model, Batch(images[:2]), make_generator("warm")))
        begun = time.process_time()
        list(rule(model, Batch(images), make_generator("bench")))
        return 1e3 * (time.process_time() - begun) / len(images)


@serial
def _add_rows(weight: np.ndarray, sources: np.ndarray, total: np.ndarray) -> None:
    for place in range(len(sources)):
        row = weight[sources[place]]
        for j in range(len(total)):
            total[j] += row[j]


class Floor:
    """One presentation of each image as only additions of rows; its spikes are drawn before timing starts."""

    def __init__(self, neurons: int, variant: str) -> None:
        self.neurons, self.variant = neurons, variant

    def __call__(self, quick: bool) -> float:
        """Return the CPU milliseconds per image."""
        model = DiehlCook(self.neurons, variant=self.variant, generator=make_generator("bench"))
        images = tg.load_data("mnist").train.take(100).inputs.flatten(1)
        net = model.kernel_net()
        drawn = []
        for number, image in enumerate(images):
            raster = input_spikes(
                net, image[None], model.variant.intensity, presentation_key(1, number, 0, learning=True)
            )
            drawn.append(torch.cat(raster).numpy())
        total = np.zeros(self.neurons, np.float32)
        _add_rows(net.weight, drawn[0], total)
        begun = time.process_time()
        for sources in drawn:
            _add_rows(net.weight, sources, total)
        return 1e3 * (time.process_time() - begun) / len(drawn)


def one_pass(quick: bool) -> float:
    """Return the seconds of one `fit` over the training images, by the clock; no labels."""
    data = tg.load_data("mnist").train
    data = data.take(6_000) if quick else data
    model = DiehlCook(400, variant="faster", generator=make_generator("bench"))
    stages = stdp_stages(model, DiehlCookSTDP("pair"))[:1]
    begun = time.perf_counter()
    tg.fit(model, stages, data)
    return time.perf_counter() - begun


def bindsnet(neurons: int, milliseconds: int, batch: int, rest: int = 0) -> Contestant:
    """Return BindsNET's network with these numbers of neurons, steps of 1 ms and images at once; `rest` ms without
    input."""
    name = f"BindsNET, batch {batch}" + (f", {rest} ms of rest" if rest else "")
    asked = f"{neurons} {milliseconds} {batch} {rest}"
    return Contestant(name, HERE / "peers" / "bindsnet_stdp.py", asked, "bindsnet")


def brian2(neurons: int) -> Contestant:
    """Return the published network in Brian2."""
    return Contestant("Brian2", HERE / "peers" / "brian2_stdp.py", str(neurons), "brian2")


def job(name: str, neurons: int, variant: str, kind: str, *peers: Contestant, rounds: int = 3) -> Job:
    """Return one comparison on one core."""
    ours: Callable[[bool], float] = Training(neurons, variant, kind)
    return Job(name, unit, ours, Floor(neurons, variant), peers, threads=1, rounds=rounds, prepare=share_images)


JOBS = [
    job("diehl-cook-400-train", 400, "faster", "pair", bindsnet(400, 250, 1)),
    job("diehl-cook-400-train-batched", 400, "faster", "pair", bindsnet(400, 250, 32)),
    job(
        "diehl-cook-400-train-paper",
        400,
        "grouped",
        "triplet",
        bindsnet(400, 350, 1),
        bindsnet(400, 350, 1, 150),
        brian2(400),
    ),
    job(
        "diehl-cook-400-train-paper-batched",
        400,
        "grouped",
        "triplet",
        bindsnet(400, 350, 32),
        bindsnet(400, 350, 32, 150),
    ),
    job("diehl-cook-100-train", 100, "faster", "pair", bindsnet(100, 250, 1)),
    job("diehl-cook-100-train-paper", 100, "grouped", "triplet", bindsnet(100, 350, 1), brian2(100)),
    *(job(f"diehl-cook-growth-{neurons}", neurons, "faster", "pair") for neurons in (100, 400, 1600, 6400)),
    Job(
        "diehl-cook-400-pass",
        lambda quick: f"seconds of one pass over {6_000 if quick else 60_000:,} images",
        one_pass,
        threads=2,
        rounds=1,
    ),
]

if __name__ == "__main__":
    if "--serve" not in sys.argv:
        complain("SpykeTorch, deep net on a GPU, published: 2.3 ms per image and pass (95,008 s for 686 passes)")
    main(JOBS, __file__)
