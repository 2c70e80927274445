"""The two nets and the images of the explanation benchmarks. Needs only torch and numpy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn


def example_net() -> nn.Sequential:
    """Return conv 32 - conv 64 - pool - dense 128 - dense 10 for 28x28, 1,199,882 parameters, from a fixed seed."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(9216, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    ).eval()


def alexnet() -> nn.Sequential:
    """Return AlexNet in torchvision's form (61,100,840 parameters, 224x224), relu out of place, from a fixed seed."""
    torch.manual_seed(0)
    sizes = [(3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1)]
    layers: list[nn.Module] = []
    for number, (inputs, outputs, kernel, stride, padding) in enumerate(sizes):
        layers += [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU()]
        if number in (0, 1, 4):
            layers.append(nn.MaxPool2d(3, 2))
    head = [nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(6), nn.Flatten(), *head, nn.Linear(4096, 1000)).eval()


NETS: dict[str, tuple[Callable[[], nn.Sequential], tuple[int, ...], int]] = {
    "mnist": (example_net, (1, 28, 28), 3),  # the last number: the relu after the last convolution
    "alexnet": (alexnet, (3, 224, 224), 11),
}
WINDOWS = {"mnist": (4, 1), "alexnet": (32, 16)}  # window and stride of the occlusion jobs


def images(net: str, batch: int) -> Tensor:
    """Return the batch of noise images for a net."""
    return torch.rand(batch, *NETS[net][1], generator=torch.Generator().manual_seed(1))


def milliseconds(work: Callable[[], object], images_each: int, quick: bool) -> float:
    """Return the median of several runs in milliseconds per image."""
    work()
    budget, taken = 0.5 if quick else 2.0, []
    begun = time.perf_counter()
    while len(taken) < 3 or time.perf_counter() - begun < budget:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return 1e3 * statistics.median(taken) / images_each


def parse(job: str) -> tuple[str, str, int]:
    """Return method, net and batch of a job called like `saliency-mnist-b64`; without a batch it is one image."""
    method, net, *batch = job.split("-")
    return method, net, int(batch[0][1:]) if batch else 1
