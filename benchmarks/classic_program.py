"""The classic program: 784-512-10, relu, batches of 128, RMSprop with Keras's constants, 5 epochs of MNIST.

2,345 updates. The floor is the five matrix products of each of them: forward through both layers, the gradient of
both weights, and the error at the hidden layer. Every contestant gets the images in memory as float32 rows.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from harness import HERE, Contestant, Job, main

import threegen as tg
from threegen.randomness import make_generator

EXAMPLES, PIXELS, HIDDEN, CLASSES, BATCH = 60_000, 784, 512, 10, 128


def epochs(quick: bool) -> int:
    """Return how many passes over the data are timed."""
    return 1 if quick else 5


def unit(quick: bool) -> str:
    """Return what the figures are."""
    return f"seconds for {epochs(quick) * -(-EXAMPLES // BATCH):,} updates"


def share_data() -> dict[str, str]:
    """Write the training images in a form that every contestant's environment can read."""
    folder = Path(tempfile.gettempdir()) / "threegen-benchmarks"
    folder.mkdir(exist_ok=True)
    train = tg.load_data("mnist").train
    for name, tensor in (("x", train.inputs.flatten(1)), ("y", train.targets)):
        beside = folder / f"{os.getpid()}-{name}.npy"
        np.save(beside, tensor.numpy())
        beside.replace(folder / f"{name}.npy")
    return {"THREEGEN_BENCH_DATA": str(folder)}


def load_rows() -> tg.Dataset:
    """Read the rows that `share_data` wrote."""
    folder = Path(os.environ["THREEGEN_BENCH_DATA"])
    return tg.Dataset.from_arrays(np.load(folder / "x.npy"), np.load(folder / "y.npy"), name="mnist-train")


class Ours:
    """`fit` as a user calls it, with all its guards and its log."""

    def __init__(self) -> None:
        self.data: tg.Dataset | None = None

    def __call__(self, quick: bool) -> float:
        """Return the seconds of one training."""
        if self.data is None:
            self.data = load_rows()
        model = tg.MLP([PIXELS, HIDDEN, CLASSES], generator=make_generator("bench"))
        start = time.perf_counter()
        rule = tg.Backprop("cross_entropy")
        log = tg.fit(model, rule, self.data, optimizer="keras-rmsprop", epochs=epochs(quick), batch_size=BATCH)
        seconds = time.perf_counter() - start
        if log.final["loss"] > (0.35 if quick else 0.08):
            raise SystemExit(f"the training failed: loss {log.final['loss']}")
        return seconds


@torch.no_grad()
def floor(quick: bool) -> float:
    """Return the seconds of the matrix products alone."""
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(HIDDEN, PIXELS, generator=generator), torch.randn(CLASSES, HIDDEN, generator=generator)
    sizes = [BATCH] * (EXAMPLES // BATCH) + [EXAMPLES % BATCH]
    kept = {
        size: (
            torch.rand(size, PIXELS, generator=generator),
            torch.empty(size, HIDDEN),
            torch.empty(size, CLASSES),
            torch.empty(size, HIDDEN),
        )
        for size in set(sizes)
    }
    first_gradient, second_gradient = torch.empty_like(first), torch.empty_like(second)
    start = time.perf_counter()
    for _ in range(epochs(quick)):
        for size in sizes:
            images, hidden, scores, error = kept[size]
            torch.mm(images, first.T, out=hidden)
            torch.mm(hidden, second.T, out=scores)
            torch.mm(scores.T, hidden, out=second_gradient)
            torch.mm(scores, second, out=error)
            torch.mm(error.T, images, out=first_gradient)
    return time.perf_counter() - start


JOBS = [
    Job(
        name="classic-program",
        unit=unit,
        ours=Ours(),
        floor=floor,
        peers=[
            Contestant("torch as tutorials write it", HERE / "peers" / "torch_tutorial.py", "classic-program"),
            Contestant("keras 3 on jax", HERE / "peers" / "keras_jax.py", "classic-program", "keras-jax"),
            Contestant("keras 3 on jax, compiled before", HERE / "peers" / "keras_jax.py", "compiled", "keras-jax"),
            Contestant("scikit-learn (adam)", HERE / "peers" / "scikit_learn.py", "classic-program", "scikit-learn"),
        ],
        prepare=share_data,
    )
]

if __name__ == "__main__":
    main(JOBS, __file__)
