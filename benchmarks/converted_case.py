"""The common input of all converters: one network, calibration images, test images; needs only torch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

SHARED = "THREEGEN_BENCH_CONVERSION"


def network() -> nn.Sequential:
    """Return 16C5-BN-AP2-32C5-BN-AP2-128-10 with the weights that all contestants share, in eval mode."""
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 5), nn.BatchNorm2d(16), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Conv2d(16, 32, 5), nn.BatchNorm2d(32), nn.ReLU(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10)),
    )
    net.load_state_dict(shared()["weights"])
    return net.eval()


def shared() -> dict[str, Any]:
    """Return the data that `prepare` of the benchmark wrote: weights, calibrate, images, labels."""
    return dict(torch.load(os.environ[SHARED], weights_only=True))


def milliseconds_per_image(answer: Callable[[Tensor], Tensor], batch: int, quick: bool) -> float:
    """Return the median over several calls."""
    images = shared()["images"][:batch]
    with torch.no_grad():
        for _ in range(3):
            answer(images)
        taken, end = [], time.perf_counter() + (0.5 if quick else 3.0)
        while len(taken) < 5 or time.perf_counter() < end:
            begun = time.perf_counter()
            answer(images)
            taken.append(time.perf_counter() - begun)
    return 1000 * sorted(taken)[len(taken) // 2] / batch


def per_cent_wrong(answer: Callable[[Tensor], Tensor], quick: bool) -> float:
    """Return the share of wrong answers among the test images, in per cent."""
    data = shared()
    images, labels = (data[name][: 500 if quick else None] for name in ("images", "labels"))
    with torch.no_grad():
        answers = torch.cat([answer(part).argmax(1) for part in images.split(100)])
    return 100 * float((answers != labels).float().mean())


def measure(job: str, converted: Callable[[int], Callable[[Tensor], Tensor]], quick: bool) -> float:
    """Return the figure of a job: `conversion-t4-b1` is a time, `conversion-errors-t2` a share of wrong answers."""
    _, kind, *rest = job.split("-")
    if kind == "errors":
        return per_cent_wrong(converted(int(rest[0][1:])), quick)
    return milliseconds_per_image(converted(int(kind[1:])), int(rest[0][1:]), quick)
