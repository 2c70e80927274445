"""Sources of batches: data in memory, a torch Dataset whose examples are fetched, or any iterable of batches.

`fit` and `evaluate` take the same kinds of data; `as_source` converts them to these three.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from threegen.checks import require_finite, require_labels
from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.datasets.lazy import LazyDataset
from threegen.errors import ConfigError, DataError, warn_user
from threegen.randomness import make_generator
from threegen.training.persistence.generators import Generator, announce_epoch, counting_parts, own_generators


class MemoryFeed:
    """Batches of a `Dataset` in an order that depends only on (seed, stage, epoch): any batch can be reproduced."""

    def __init__(self, data: Dataset, batch_size: int, shuffle: bool, seed: int, stage: int) -> None:
        require_data(data)
        self.largest = _largest_magnitude(data)
        if data.classes and data.targets is not None and data.targets.dim() == 1:
            require_labels(data.targets, len(data.classes))  # a rule could only name the index within the batch
        if batch_size > len(data):
            warn_user(
                f"batch_size {batch_size} is larger than {data.name!r} ({len(data)}); one batch holds it all",
            )
        self.data, self.batch_size, self.shuffle = data, min(batch_size, max(1, len(data))), shuffle
        self.seed, self.stage = seed, stage
        self.batches: int | None = -(-len(data) // batch_size)
        self.generators: list[Generator] = []
        self.share: Callable[[Tensor], Tensor] | None = None  # with several processes: this one's part of a batch

    def epoch(self, epoch: int, first: int, skipped: Callable[[], None]) -> Iterator[Batch]:
        """Yield the batches of one epoch from number `first` on; `skipped` is called before the first of them."""
        if self.shuffle:
            order = torch.randperm(len(self.data), generator=make_generator(self.seed, "order", self.stage, epoch))
        else:
            order = torch.arange(len(self.data))
        data = self.data.for_pass(self.seed, self.stage, epoch)
        skipped()
        batches = torch.split(order, self.batch_size)[first:]
        if self.share is not None and isinstance(data, LazyDataset):  # each process reads only its own examples
            for whole, batch in zip(batches, data.walk([self.share(one) for one in batches]), strict=True):
                batch.of = len(whole)
                yield batch
            return
        for batch in data.walk(batches):
            batch.finite = True  # the whole set was checked above
            batch.largest = self.largest if data is self.data else None
            yield batch


class ItemFeed:
    """Batches of a torch Dataset with `__getitem__` and a length, in an order that depends on (seed, stage, epoch).

    Examples are fetched one by one in this process and collated as a DataLoader does it. Use a DataLoader with workers
    if fetching takes long.
    """

    def __init__(self, data: Any, batch_size: int, shuffle: bool, seed: int, stage: int) -> None:
        self.data, self.batch_size, self.shuffle = data, min(batch_size, max(1, len(data))), shuffle
        self.seed, self.stage = seed, stage
        self.batches: int | None = -(-len(data) // batch_size)
        self.generators = own_generators(data)

    def epoch(self, epoch: int, first: int, skipped: Callable[[], None]) -> Iterator[Batch]:
        """Yield the batches of one epoch from number `first` on; `skipped` is called before the first of them."""
        announce_epoch(self.data, epoch)
        order = torch.arange(len(self.data))
        if self.shuffle:
            order = torch.randperm(len(self.data), generator=make_generator(self.seed, "order", self.stage, epoch))
        batches = torch.split(order, self.batch_size)
        for index in batches[:first]:  # the data set may draw at random as examples are fetched
            self._fetch(index)
        skipped()
        for index in batches[first:]:
            yield as_batch(self._fetch(index))

    def _fetch(self, index: Tensor) -> Any:
        return default_collate([self.data[number] for number in index.tolist()])


class StreamFeed:
    """Batches of a DataLoader or another re-iterable source of batches, `(inputs, targets)` pairs or tensors.

    A run that resumes in mid-epoch draws the skipped batches again. This is exact if the source's order is fixed, or
    depends on the global generators (torch's, numpy's, Python's) or on those that the source, its samplers and its data
    set hold: checkpoints hold the states of all of them at the start of the epoch. If that cannot be guaranteed,
    `doubt` says why.
    """

    def __init__(self, source: Iterable[Any]) -> None:
        require_data(source)
        self.source = source
        self.batches = _length(source)
        self.generators = own_generators(source)
        self.doubt = ""
        if getattr(source, "persistent_workers", False):
            self.doubt = "the workers of its DataLoader are persistent and keep their own generators"

    def epoch(self, epoch: int, first: int, skipped: Callable[[], None]) -> Iterator[Batch]:
        """Yield the batches of one epoch from number `first` on; `skipped` is called once the earlier ones are
        drawn."""
        announce_epoch(self.source, epoch)
        counts = dict(counting_parts(self.source))
        if first == 0:
            skipped()  # before the source is opened, since a DataLoader then draws a seed
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
        for name, value in counting_parts(self.source):
            if counts.get(name, value) != value:
                self.doubt = f"the source keeps a counter ({name.partition('.')[2]}) that checkpoints do not hold"


Feed = MemoryFeed | ItemFeed | StreamFeed


def as_source(data: Any, *, name: str = "data") -> Any:
    """Return the user's data as one of the kinds that can be iterated over; raises `DataError` for anything else.

    A `Dataset`, a DataLoader and an iterable of batches stay as they are, a torch Dataset too; arrays `x` or a tuple
    `(x, y)` become a `Dataset`.
    """
    if isinstance(data, tuple) and len(data) == 2 and all(_is_array(part) for part in data):
        x, y = data
        if torch.as_tensor(y).is_floating_point():  # regression targets, not classes
            return Dataset(
                Dataset.from_arrays(x, image=False).inputs, torch.as_tensor(y, dtype=torch.float32), (), name
            )
        return Dataset.from_arrays(x, y, name=name, image=False)
    if _is_array(data):
        return Dataset.from_arrays(data, name=name, image=False)
    if isinstance(data, torch.utils.data.IterableDataset):
        raise DataError(
            f"{name} is an IterableDataset, which yields examples one by one; wrap it: DataLoader(data, batch_size=...)"
        )
    require_data(data, name=name)
    return data


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray) and value.ndim > 0


def _has_items(data: object) -> bool:
    return isinstance(data, torch.utils.data.Dataset) and hasattr(data, "__getitem__") and hasattr(data, "__len__")


def as_batch(item: Any) -> Batch:
    """Convert an item of a DataLoader (a batch, a tensor, a pair or a mapping) to a `Batch`."""
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


def require_data(data: object, *, name: str = "data") -> None:
    """Raise `DataError` for anything that is not data, or is empty."""
    if isinstance(data, Dataset):
        if len(data) == 0:
            raise DataError(f"the data set {data.name!r} is empty; there is nothing to learn from")
        return
    if isinstance(data, Iterator):
        raise DataError(
            f"{name} is an iterator, which can be read only once; pass a Dataset, a DataLoader or a list of batches"
        )
    known = (isinstance(data, Iterable) and getattr(data, "ndim", None) != 0) or _has_items(data)
    if not known or isinstance(data, str | bytes | Mapping):
        advice = f" (pass {name}.train)" if hasattr(data, "train") else ""
        raise DataError(
            f"{name} must be a Dataset, a DataLoader, a torch Dataset, arrays (x, y) or an iterable of batches, "
            f"got {type(data).__name__}{advice}"
        )
    if _length(data) == 0:
        raise DataError("the data set is empty; there is nothing to learn from")


def _largest_magnitude(data: Dataset) -> float | None:
    """Return the largest magnitude among the inputs, None for inputs that are not real numbers.

    Raises `NumericError` naming the index of an input that is not finite.
    """
    if isinstance(data, LazyDataset):  # computed batch by batch, finite by construction
        return None
    if not data.inputs.is_floating_point() or not data.inputs.numel():
        return None
    largest = max(abs(float(end)) for end in data.inputs.aminmax())
    if not math.isfinite(largest):
        require_finite(f"the data set {data.name!r}", data.inputs)
    return largest


def make_feed(data: Dataset | Iterable[Any], batch_size: int, shuffle: bool, seed: int, stage: int) -> Feed:
    """Return the feed for the user's data; raises `DataError` for anything that is not data."""
    if isinstance(data, Dataset):
        return MemoryFeed(data, batch_size, shuffle, seed, stage)
    if _has_items(data):
        return ItemFeed(data, batch_size, shuffle, seed, stage)
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


def walk_once(data: Any, batch_size: int) -> Iterator[Batch]:
    """Yield the batches of one pass in order, for evaluation; `data` is what `as_source` returned."""
    if isinstance(data, Dataset):
        yield from data.batches(batch_size)
    elif _has_items(data):
        yield from ItemFeed(data, batch_size, False, 0, 0).epoch(0, 0, lambda: None)
    else:
        yield from map(as_batch, data)
