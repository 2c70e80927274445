"""Contrastive divergence, CD-1 on 784 visible and 500 hidden units, in batches of 100 and of 10: time per batch.

The floor is the matrix products that no implementation can leave out: up, down, up, and the gradient of the weights
as one product of the stacked states, five times 2 B 784 500 operations. Ours is the whole step, with draws, momentum
.5 and weight cost; scikit-learn's has neither momentum nor weight cost, and its chains are persistent. All get the
same images in memory.
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

import threegen as tg
from threegen.randomness import make_generator
from threegen.rules.rule import Rule

VISIBLE, HIDDEN, EXAMPLES = 784, 500, 20_000


def batches(size: int, quick: bool) -> int:
    """Return how many batches are timed."""
    return EXAMPLES // size // (10 if quick else 2 if size == 10 else 1)


def unit(quick: bool) -> str:
    """Return what the figures are."""
    return "milliseconds per batch"


def share_data() -> dict[str, str]:
    """Write the training images in a form that every contestant's environment can read."""
    folder = Path(tempfile.gettempdir()) / "threegen-benchmarks"
    folder.mkdir(exist_ok=True)
    rows = tg.load_data("mnist").train.take(EXAMPLES).inputs.flatten(1)
    beside = folder / f"{os.getpid()}-rbm.npy"
    np.save(beside, rows.numpy())
    beside.replace(folder / "rbm.npy")
    return {"THREEGEN_BENCH_DATA": str(folder)}


def load_rows() -> torch.Tensor:
    """Read the rows that `share_data` wrote."""
    return torch.from_numpy(np.load(Path(os.environ["THREEGEN_BENCH_DATA"]) / "rbm.npy"))


class Kernel:
    """The rule in a user's own loop, with plain SGD."""

    def __init__(self, size: int) -> None:
        self.size, self.rows = size, torch.empty(0)

    def __call__(self, quick: bool) -> float:
        """Return the milliseconds of a batch."""
        if not len(self.rows):
            self.rows = load_rows()
        model = tg.RBM(VISIBLE, HIDDEN, generator=make_generator("bench"))
        rule = fused()
        rule.hand_over(tg.rules.PlainSGD([{"lr": 0.05, "momentum": 0.5}]))
        generator, count = make_generator("draws"), batches(self.size, quick)
        parts = [tg.Batch(part, finite=True) for part in self.rows.split(self.size)[:count]]
        next(rule(model, parts[0], generator))
        start = time.perf_counter()
        for batch in parts:
            for _ in rule(model, batch, generator):
                pass
        return (time.perf_counter() - start) * 1000 / count


class Fit:
    """A rule through `fit`: random batches, guards and log included."""

    def __init__(self, size: int, make: Callable[[], Rule]) -> None:
        self.size, self.make, self.rows = size, make, torch.empty(0)

    def __call__(self, quick: bool) -> float:
        """Return the milliseconds of a batch."""
        if not len(self.rows):
            self.rows = load_rows()
        count = batches(self.size, quick)
        data = tg.Dataset(self.rows[: count * self.size], name="mnist-rows")
        model, rule = tg.RBM(VISIBLE, HIDDEN, generator=make_generator("bench")), self.make()
        recipe = tg.optimizer("sgd", lr=0.05, momentum=0.5)
        start = time.perf_counter()
        tg.fit(model, rule, data, optimizer=recipe, epochs=1, batch_size=self.size)
        return (time.perf_counter() - start) * 1000 / count


class Floor:
    """Only the matrix products."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, quick: bool) -> float:
        """Return the milliseconds of a batch."""
        generator, size = torch.Generator().manual_seed(0), self.size
        weight = torch.randn(HIDDEN, VISIBLE, generator=generator)
        v, h = torch.rand(2 * size, VISIBLE, generator=generator), torch.rand(2 * size, HIDDEN, generator=generator)
        up, down, gradient = torch.empty(size, HIDDEN), torch.empty(size, VISIBLE), torch.empty(HIDDEN, VISIBLE)
        count = batches(size, quick)
        start = time.perf_counter()
        for _ in range(count):
            torch.mm(v[:size], weight.T, out=up)
            torch.mm(h[:size], weight, out=down)
            torch.mm(v[size:], weight.T, out=up)
            torch.mm(h.T, v, out=gradient)
        return (time.perf_counter() - start) * 1000 / count


def plain() -> Rule:
    """Return the plain rule with the kernel's settings."""
    return tg.ContrastiveDivergence(weight_cost=2e-4, backend="plain")


def fused() -> Rule:
    """Return the rule with kernels that update the weights."""
    return tg.ContrastiveDivergence(weight_cost=2e-4, backend="fused")


def peers(size: int) -> list[Contestant]:
    """Return the other packages' contestants at this batch size."""
    script, other = HERE / "peers" / "scikit_learn_rbm.py", HERE / "peers" / "learnergy_rbm.py"
    return [
        Contestant("scikit-learn, float64", script, f"float64-{size}", "scikit-learn"),
        Contestant("scikit-learn, float32", script, f"float32-{size}", "scikit-learn"),
        Contestant("learnergy", other, f"float32-{size}", "learnergy"),
    ]


JOBS = [
    Job("rbm-b100", unit, Fit(100, fused), Floor(100), peers(100), prepare=share_data),
    Job("rbm-b10", unit, Fit(10, fused), Floor(10), peers(10), prepare=share_data),
    Job("rbm-b100-own-loop", unit, Kernel(100), Floor(100), prepare=share_data),
    Job("rbm-b100-plain", unit, Fit(100, plain), Floor(100), prepare=share_data),
]

if __name__ == "__main__":
    main(JOBS, __file__)
