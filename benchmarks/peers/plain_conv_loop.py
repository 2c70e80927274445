"""LeNet-5 and the AlexNet of 2012 from torch's own modules, in a hand-written training loop."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker import Work, serve


def lenet() -> nn.Module:
    """Return LeNet-5 with rectifiers and maximum pooling."""
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def alexnet() -> nn.Module:
    """Return the net of 2012 on one device, with its groups and normalisations."""

    def norm() -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=5e-4, k=2.0)

    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm(), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, 1000),
    )


def work(name: str) -> Work:
    """Return a function that trains the net of a job and returns the seconds."""
    model, shape, batch, steps = (
        (lenet(), (1, 28, 28), 64, 40) if name == "lenet-5-train" else (alexnet(), (3, 227, 227), 32, 2)
    )
    images = torch.rand(batch * steps, *shape, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(len(images)) % (10 if name == "lenet-5-train" else 1000)

    def train(quick: bool) -> float:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
        model.train()
        start = time.perf_counter()
        for _ in range(1 if quick else 3):
            for index in torch.randperm(len(images)).split(batch):
                loss = F.cross_entropy(model(images[index]), labels[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()
        return time.perf_counter() - start

    return train


if __name__ == "__main__":
    serve(work(sys.argv[2]), ("torch",))
