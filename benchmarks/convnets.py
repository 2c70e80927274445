"""Convolutional nets in training, and pictures from disk.

lenet-5-train     LeNet-5 as of 1998 with ReLU units (`LeNet5Modern`), batches of 64, momentum: `fit` against the same
                  module in a plain torch loop; the floor is the convolutions and products alone, both ways
alexnet-train     the net of 2012 at full size, batches of 32, in the same way
pictures-from-disk  one pass over a folder of JPEG pictures, scaled, cut, mirrored, in batches of 64: `PictureDataset`
                  against torchvision's `ImageFolder` with a DataLoader and as many workers; it has no floor
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import HERE, Contestant, Job, main
from torch import Tensor, nn
from torch.nn import functional as F

import threegen as tg
from threegen.datasets.augmentation import Augmentation
from threegen.datasets.picture_dataset import PictureDataset
from threegen.datasets.picture_files import find_pictures
from threegen.randomness import make_generator

PICTURES, SIDE, STORED = 2000, 96, 160


def lenet() -> tuple[nn.Module, Tensor, Tensor, int]:
    """Return LeNet-5, images, labels and the size of a batch."""
    images = torch.rand(64 * 40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return tg.models.LeNet5Modern(generator=make_generator("bench")), images, torch.arange(len(images)) % 10, 64


def alexnet() -> tuple[nn.Module, Tensor, Tensor, int]:
    """Return the net of 2012, images, labels and the size of a batch."""
    images = torch.rand(32 * 2, 3, 227, 227, generator=torch.Generator().manual_seed(0))
    return tg.AlexNet(1000, generator=make_generator("bench")), images, torch.arange(len(images)) * 7, 32


Case = Callable[[], tuple[nn.Module, Tensor, Tensor, int]]


class Ours:
    """`fit` as a user calls it."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def __call__(self, quick: bool) -> float:
        """Return the seconds of one or three passes."""
        model, x, y, batch = self.case()
        data = tg.Dataset(x, y, [str(k) for k in range(int(y.max()) + 1)], "bench")
        start = time.perf_counter()
        tg.fit(model, tg.Backprop(), data, optimizer="momentum", lr=1e-4, epochs=passes(quick), batch_size=batch)
        return time.perf_counter() - start


class Floor:
    """Every convolution and product of a pass, forward and both gradients, on prepared operands."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def __call__(self, quick: bool) -> float:
        """Return the seconds of as many passes."""
        model, x, _, batch = self.case()
        parts: list[tuple[nn.Linear | nn.Conv2d, Tensor, Tensor]] = []

        def note(part: nn.Linear | nn.Conv2d, given: tuple[Tensor, ...], made: Tensor) -> None:
            parts.append((part, given[0].detach(), torch.rand_like(made)))

        layers = [part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
        hooks = [part.register_forward_hook(note) for part in layers]
        with torch.no_grad():
            model.eval()(x[:batch])
        for hook in hooks:
            hook.remove()
        start = time.perf_counter()
        for _ in range(passes(quick) * (len(x) // batch)):
            for number, (part, given, error) in enumerate(parts):
                both_ways(part, given, error, first=number == 0)
        return time.perf_counter() - start


@torch.no_grad()
def both_ways(part: nn.Linear | nn.Conv2d, given: Tensor, error: Tensor, *, first: bool) -> None:
    """Compute a layer's sums and the gradients of its weights and (but for the first) of its inputs."""
    if isinstance(part, nn.Linear):
        F.linear(given, part.weight)
        error.T @ given
        if not first:
            error @ part.weight
        return
    options = (part.stride, part.padding, part.dilation)
    F.conv2d(given, part.weight, None, *options, part.groups)  # type: ignore[call-overload]
    torch.ops.aten.convolution_backward(
        error, given, part.weight, None, *options, False, [0, 0], part.groups, [not first, True, False]
    )


def passes(quick: bool) -> int:
    """Return how many passes over the data are timed."""
    return 1 if quick else 3


def make_folder() -> dict[str, str]:
    """Write a folder of JPEG pictures in ten classes, once."""
    from PIL import Image

    folder = Path(tempfile.gettempdir()) / "threegen-benchmarks" / "pictures"
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        file = folder / f"class-{number % 10}" / f"{number:05d}.jpg"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            small = random.integers(0, 256, (20, 26, 3), dtype=np.uint8)
            beside = file.with_suffix(f".{os.getpid()}")
            Image.fromarray(small).resize((STORED * 4 // 3, STORED), resample=3).save(beside, "JPEG", quality=90)
            beside.replace(file)
    return {"THREEGEN_BENCH_PICTURES": str(folder)}


def read_folder(quick: bool) -> float:
    """Return the seconds of one pass over the folder."""
    data = PictureDataset(find_pictures(Path(os.environ["THREEGEN_BENCH_PICTURES"]))[0], size=SIDE, workers=2)
    order = torch.randperm(len(data), generator=make_generator("bench"))[: PICTURES // 4 if quick else PICTURES]
    shown = Augmentation()(data).for_pass(0, 0, 0)
    start = time.perf_counter()
    count = sum(len(batch) for batch in shown.walk(list(torch.split(order, 64))))
    seconds = time.perf_counter() - start
    if count != len(order):
        raise SystemExit(f"{count} pictures were read, expected {len(order)}")
    return seconds


def training(name: str, case: Case, steps: int) -> Job:
    """Return the job that trains one net."""
    return Job(
        name=name,
        unit=lambda quick: f"seconds for {passes(quick) * steps} updates",
        ours=Ours(case),
        floor=Floor(case),
        peers=[Contestant("plain torch loop", HERE / "peers" / "plain_conv_loop.py", name)],
    )


JOBS = [
    training("lenet-5-train", lenet, 40),
    training("alexnet-train", alexnet, 2),
    Job(
        name="pictures-from-disk",
        unit=lambda quick: f"seconds for {PICTURES // 4 if quick else PICTURES:,} pictures",
        ours=read_folder,
        peers=[
            Contestant("torchvision", HERE / "peers" / "torchvision_folder.py", "pictures-from-disk", "torchvision")
        ],
        prepare=make_folder,
    ),
]

if __name__ == "__main__":
    main(JOBS, __file__)
