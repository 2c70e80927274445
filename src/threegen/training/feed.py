"""Where batches come from: an in-memory data set, or any iterable of batches for data that does not fit."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from threegen.checks import require_finite, require_labels
from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.datasets.lazy import LazyDataset
from threegen.errors import ConfigError, DataError
from threegen.randomness import make_generator
from threegen.training.persistence.state import own_generators


class MemoryFeed:
    """Batches of a `Dataset` in an order that depends on (seed, stage, epoch) alone: any batch can be found again."""

    def __init__(self, data: Dataset, batch_size: int, shuffle: bool, seed: int, stage: int) -> None:
        require_data(data)
        self.largest = _largest_magnitude(data)
        if data.classes and data.targets is not None and data.targets.dim() == 1:
            require_labels(data.targets, len(data.classes))  # a rule could name the place in the batch only
        if batch_size > len(data):
            warnings.warn(
                f"batch_size {batch_size} is larger than {data.name!r} ({len(data)}); one batch holds it all",
                stacklevel=2,
            )
        self.data, self.batch_size, self.shuffle = data, batch_size, shuffle
        self.seed, self.stage = seed, stage
        self.batches: int | None = -(-len(data) // batch_size)
        self.generators: list[torch.Generator] = []

    def epoch(self, epoch: int, first: int, skipped: Callable[[], None]) -> Iterator[Batch]:
        """Yield the batches of one epoch from number `first` on; `skipped` is called before the first of them."""
        if self.shuffle:
            order = torch.randperm(len(self.data), generator=make_generator(self.seed, "order", self.stage, epoch))
        else:
            order = torch.arange(len(self.data))
        data = self.data.for_pass(self.seed, self.stage, epoch)
        skipped()
        for index in torch.split(order, self.batch_size)[first:]:
            batch = data.batch(index)
            batch.finite = True  # the whole set was looked at above
            batch.largest = self.largest if data is self.data else None
            yield batch


class StreamFeed:
    """Batches of a DataLoader or another re-iterable source of batches, `(inputs, targets)` pairs or tensors.

    A run that resumes in mid-epoch draws the skipped batches again: exact where the source's order depends on
    nothing, on torch's own generators or on those that the DataLoader was given, which checkpoints hold as they
    were when the epoch began.
    """

    def __init__(self, source: Iterable[Any]) -> None:
        require_data(source)
        self.source = source
        self.batches = _length(source)
        self.generators = own_generators(source)

    def epoch(self, epoch: int, first: int, skipped: Callable[[], None]) -> Iterator[Batch]:
        """Yield the batches of one epoch from number `first` on; `skipped` is called once those before are drawn."""
        if first == 0:
            skipped()  # before the source is opened: a DataLoader draws a seed then
        source = iter(self.source)
        drawn = sum(1 for _ in itertools.islice(source, first))
        if drawn < first:
            raise DataError(f"the run stopped before batch {first} of an epoch, the data now end after {drawn}")
        if first:
            skipped()
        count = first
        for item in source:
            count += 1
            yield as_batch(item)
        if count == 0:
            raise DataError("the data set is empty; there is nothing to learn from")


Feed = MemoryFeed | StreamFeed


def as_batch(item: Any) -> Batch:
    """Turn what a DataLoader gives (a batch, a tensor, a pair or a mapping) into a `Batch`."""
    if isinstance(item, Batch):
        return item
    if isinstance(item, Tensor):
        return Batch(item)
    if isinstance(item, Mapping) and isinstance(item.get("inputs"), Tensor):
        return Batch(item["inputs"], item.get("targets"), item.get("index"))
    if isinstance(item, Sequence) and 1 <= len(item) <= 3 and all(isinstance(part, Tensor) for part in item):
        return Batch(*item)
    raise DataError(
        f"a batch must be a Batch, a tensor, (inputs, targets) or a mapping with 'inputs', got {type(item).__name__}"
    )


def require_data(data: object) -> None:
    """Raise `DataError` for anything that is not data, or is empty."""
    if isinstance(data, Dataset):
        if len(data) == 0:
            raise DataError(f"the data set {data.name!r} is empty; there is nothing to learn from")
        return
    if isinstance(data, Iterator):
        raise DataError(
            "data is an iterator that can be walked only once; pass a Dataset, a DataLoader or a list of batches"
        )
    if not isinstance(data, Iterable) or isinstance(data, str | bytes) or hasattr(data, "dtype"):
        advice = " (pass Dataset.from_arrays(x, y))" if hasattr(data, "shape") else ""
        advice = " (pass data.train)" if hasattr(data, "train") else advice
        raise DataError(
            f"data must be a Dataset, a DataLoader or an iterable of batches, got {type(data).__name__}{advice}"
        )
    if _length(data) == 0:
        raise DataError("the data set is empty; there is nothing to learn from")


def _largest_magnitude(data: Dataset) -> float | None:
    """Return the largest magnitude among the inputs, None for inputs that are no real numbers.

    Raises `NumericError` that names the place of an input which is not finite.
    """
    if isinstance(data, LazyDataset):  # made batch by batch, finite by construction
        return None
    if not data.inputs.is_floating_point() or not data.inputs.numel():
        return None
    largest = max(abs(float(end)) for end in data.inputs.aminmax())
    if not math.isfinite(largest):
        require_finite(f"the data set {data.name!r}", data.inputs)
    return largest


def make_feed(
    data: Dataset | Iterable[Any], batch_size: int, shuffle: bool, seed: int, stage: int
) -> MemoryFeed | StreamFeed:
    """Return the feed for what the user gave as data; raises `DataError` for anything that is not data."""
    if isinstance(data, Dataset):
        return MemoryFeed(data, batch_size, shuffle, seed, stage)
    if not shuffle and _draws_at_random(data):
        raise ConfigError("shuffle=False, but the DataLoader draws at random; build it with shuffle=False")
    return StreamFeed(data)


def _length(source: object) -> int | None:
    try:
        return len(source)  # type: ignore[arg-type]
    except TypeError:  # an IterableDataset's loader has no length
        return None


def _draws_at_random(source: object) -> bool:
    return isinstance(getattr(source, "sampler", None), torch.utils.data.RandomSampler)
