"""Artificial and spiking networks on CIFAR10-DVS, the original recordings or a simulation of them from CIFAR-10.

The camera sees a photograph that moves in a closed loop of four straight segments of 50 ms. The networks get its first
200 milliseconds, one loop, on a sensor of 32 x 32 (sums over 4 x 4 of the 128 x 128 pixels): the SNN in eight frames of
25 ms, the ANNs in one frame for each quarter. A recording takes 16 KiB of memory in this form.

The structure `64C3-AP2-128C3-AP2-256-10` is the one that a public repository names as that of Deng et al., Neural
Networks 121:294 (2020); their frames, their number of time steps and their figures are not known to us.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from threegen.datasets.catalogue import CIFAR10
from threegen.datasets.dataset import Dataset
from threegen.datasets.events.filters import shrink
from threegen.datasets.events.frames import to_frames
from threegen.datasets.events.recordings import EventDataset
from threegen.datasets.events.stream import Events
from threegen.datasets.folders import data_root, find_folder, how_to_get
from threegen.datasets.lazy import CountedFrames
from threegen.datasets.load import load_data
from threegen.datasets.motions import Loop
from threegen.datasets.saccades import Camera, simulate_blocks
from threegen.errors import DataError
from threegen.figures.recordings import teach
from threegen.figures.ways import RATE, Plan, Way, accumulated, binary_frames, with_fewer_frames
from threegen.figures.ways_on_images import artificial
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.randomness import make_generator

NAME = "cifar10-dvs"
SENSOR, FACTOR = 128, 4
SIDE = SENSOR // FACTOR
STEPS, MILLISECONDS = 8, 200.0  # frames of 25 ms over one loop
QUARTERS = ((0, 2), (2, 4), (4, 6), (6, 8))  # frames of the segments of the loop
SCALE = 1 / 16  # of counts in 4 x 4 pixels and 50 ms, for frames of intensities
SIMULATED_TRAIN, SIMULATED_TEST = 9_000, 1_000  # as many as there are recordings


def cifar10_dvs_ways(seed: int, plan: Plan, progress: bool = False) -> list[Way]:
    """Return the workflows on CIFAR10-DVS; raises `DataError` that says how to get it, or CIFAR-10, if both are
    absent."""
    trained, test = counted(recorded(), plan.examples, plan.tested)
    structure = structure_of(plan.part)
    ways = []
    for name, binary in (("ANN, frames of intensities", False), ("ANN, frames of 0 and 1", True)):
        ann = nn.Sequential(nn.Flatten(1, 2), artificial(structure, (2 * len(QUARTERS), SIDE, SIDE), seed))
        train = accumulated(trained, QUARTERS, binary=binary, scale=SCALE)
        teach(ann, train, seed, loss="cross_entropy", epochs=plan.dense, rate=RATE, batch=128, progress=progress)
        ways.append(Way(name, ann, accumulated(test, QUARTERS, binary=binary, scale=SCALE), structure=structure))
    snn = SpikingConvNet(
        structure, shape=(2, SIDE, SIDE), steps=STEPS, generator=make_generator(seed, "weights", "events")
    )
    teach(snn, binary_frames(trained), seed, loss="mse", epochs=plan.spiking, rate=RATE, batch=128, progress=progress)
    frames = binary_frames(test)
    return [*ways, Way("SNN on events", snn, frames, with_fewer_frames(snn, frames, seed), structure)]


def structure_of(part: int = 1) -> str:
    """Return the structure with its planes and hidden units divided by `part`; convolutions keep the size, which the
    source leaves open."""
    return f"{64 // part}C3S-AP2-{128 // part}C3S-AP2-{256 // part}-10"


def recorded() -> bool:
    """Return whether the original recordings are in the data folder, False if they have to be simulated.

    Raises `DataError` if neither they nor CIFAR-10 are there.
    """
    root = data_root()
    if (root / NAME / "about.json").is_file():
        return True
    if find_folder(CIFAR10) is not None:
        return False
    raise DataError(
        f"neither {NAME} nor cifar10 is in {root}; import the recordings, a folder with the ten archives, with "
        f"`threegen data import {NAME} PATH`, or simulate them from the photographs: {how_to_get(CIFAR10)}"
    )


@cache
def counted(real: bool, examples: int | None, tested: int | None) -> tuple[CountedFrames, CountedFrames]:
    """Return training and test recordings as counts [N, 8, 2, 32, 32], original or simulated.

    Of the original ones the published parts, drawn at random if fewer are asked for; else the first photographs of
    both parts of CIFAR-10.
    """
    if real:
        data = load_data(NAME)
        return _read(data.train, examples), _read(data.test, tested)
    data = load_data("cifar10")
    return (
        _simulated(data.train.take(examples or SIMULATED_TRAIN), 0),
        _simulated(data.test.take(tested or SIMULATED_TEST), len(data.train)),
    )


def camera() -> Camera:
    """Return the simulated camera: the sensor fitted to N-MNIST, in front of a photograph four times as large that
    moves once around the loop of CIFAR10-DVS."""
    return Camera(height=SENSOR, width=SENSOR, scale=SENSOR / 32, screen="photo", motion=Loop(loops=1))


def to_counts(events: Events) -> torch.Tensor:
    """Return the events of the first loop as counts [8, 2, 32, 32], uint8; time begins with the first event."""
    small = shrink(events, FACTOR)
    if len(small):
        array = small.array.copy()
        array["t"] -= array["t"][0]
        small = replace(small, array=array)
    return to_frames(small, STEPS, milliseconds=MILLISECONDS).clamp_(max=255).to(torch.uint8)


def _read(part: Dataset, most: int | None) -> CountedFrames:
    """Return recordings of a part as counts, `most` of them drawn at random: they are stored class by class."""
    order = torch.randperm(len(part), generator=make_generator("recordings", len(part)))
    chosen = part if most is None else part.subset(order[:most].sort().values)
    stored = cast(EventDataset, chosen)
    kept = torch.empty(len(stored), STEPS, 2, SIDE, SIDE, dtype=torch.uint8)
    for number in range(len(stored)):
        kept[number] = to_counts(stored.recording(number))
    return CountedFrames(kept, stored.targets, stored.classes, NAME)


def _simulated(photographs: Dataset, first: int) -> CountedFrames:
    """Return simulated recordings as counts; `first` is the number of the first one, which its noise depends on."""
    kept = torch.empty(len(photographs), STEPS, 2, SIDE, SIDE, dtype=torch.uint8)
    for start, array, offsets in simulate_blocks(photographs.inputs, camera(), first=first):
        for number, (begin, end) in enumerate(pairwise(offsets.tolist())):
            kept[start + number] = to_counts(Events(array[begin:end], SENSOR, SENSOR))
    return CountedFrames(kept, photographs.targets, photographs.classes, f"{NAME}-simulated")
