"""What `fit` adds to a bare loop, in microseconds per step: guard, log, callbacks, progress, generators.

`no-op`: a rule that does nothing, against iterating over the same batches (the loop still checks whether the weights
are finite). `tiny`: one linear layer of 8 x 8 weights trained by back-propagation and plain descent, against the same
lines of torch written out. Both sides alternate in one process; the figure is the median of the differences. There is
no floor and no peer: the documentation has facts about the loops of other libraries.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from harness import Job, main
from torch import nn
from torch.nn import functional as F

import threegen as tg
from threegen.randomness import make_generator

BATCH, FEATURES, CLASSES = 16, 8, 8


def steps(quick: bool) -> int:
    """Return the number of steps of one epoch."""
    return 1000 if quick else 4000


def make_data(count: int) -> tg.Dataset:
    """Return `count` batches of random numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count * BATCH, FEATURES, generator=generator)
    return tg.Dataset(
        x, torch.randint(CLASSES, (count * BATCH,), generator=generator), [str(k) for k in range(CLASSES)]
    )


class Nothing(tg.Rule):
    """A rule that changes nothing."""

    uses_labels = False

    def __call__(self, model: nn.Module, batch: tg.Batch, generator: torch.Generator) -> Iterator[tg.Applied]:
        """Report that the update is done."""
        yield tg.Applied()


def added(bare: Callable[[], None], ours: Callable[[], None], count: int) -> float:
    """Return the median over turns of how much longer `ours` takes than `bare`, in microseconds per step."""
    differences = []
    for turn in range(12):
        seconds = {}
        for side in (bare, ours) if turn % 2 else (ours, bare):
            start = time.perf_counter()
            side()
            seconds[side] = time.perf_counter() - start
        if turn >= 2:
            differences.append(1e6 * (seconds[ours] - seconds[bare]) / count)
    return statistics.median(differences)


def no_op(quick: bool) -> float:
    """Return the cost of a step of the empty rule beyond drawing its batch."""
    count = steps(quick)
    data, model = make_data(count), nn.Linear(FEATURES, CLASSES)

    def bare() -> None:
        for _batch in data.batches(BATCH, generator=make_generator("order")):
            pass

    return added(bare, lambda: void(tg.fit(model, Nothing(), data, batch_size=BATCH, optimizer="sgd")), count)


def tiny(quick: bool) -> float:
    """Return the cost of a step beyond forward, loss, backward, step and clearing the gradients."""
    count = steps(quick)
    data = make_data(count)
    ours, theirs = nn.Linear(FEATURES, CLASSES), nn.Linear(FEATURES, CLASSES)

    def bare() -> None:
        optimizer = torch.optim.SGD(theirs.parameters(), lr=1e-3, fused=True)
        for batch in data.batches(BATCH, generator=make_generator("order")):
            F.cross_entropy(theirs(batch.inputs), batch.targets).backward()
            optimizer.step()
            optimizer.zero_grad()

    return added(
        bare, lambda: void(tg.fit(ours, tg.Backprop(), data, batch_size=BATCH, optimizer="sgd", lr=1e-3)), count
    )


def void(value: object) -> None:
    """Discard a value."""


JOBS = [
    Job(name="cost-of-the-loop", unit=lambda quick: "microseconds per step (tiny)", ours=tiny, threads=1, rounds=3),
    Job(
        name="cost-of-the-loop-no-op",
        unit=lambda quick: "microseconds per step (no-op)",
        ours=no_op,
        threads=1,
        rounds=3,
    ),
]

if __name__ == "__main__":
    main(JOBS, __file__)
