"""Data in memory: a `Dataset` of tensors, and `Data`, a pair of training and test data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from threegen.checks import require_names, require_whole
from threegen.datasets.arrays import ImageShape, to_inputs, to_targets
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.plots import html_table
from threegen.randomness import make_generator


class Dataset:
    """Examples in memory: inputs `[N, ...]` (images `[N, C, H, W]`, float32 in 0..1) and labels `[N]`, or None.

    Batches are picked by `index_select`: no worker processes, no copies but the batch itself.
    `dataset[i]` gives one `(input, target)`, so a `torch.utils.data.DataLoader` takes it too.
    """

    def __init__(
        self, inputs: Tensor, targets: Tensor | None = None, classes: Sequence[str] = (), name: str = "data"
    ) -> None:
        """Use tensors as they are, without copying; `Dataset.from_arrays` checks and converts."""
        if not isinstance(inputs, Tensor) or inputs.dim() < 1 or not inputs.is_floating_point():
            raise ShapeError("Dataset takes floating-point inputs [N, ...]; use Dataset.from_arrays(x, y)")
        if targets is not None and targets.dim() == 0:
            raise DataError("targets must be [N], one for each example, got a single number")
        if targets is not None and len(targets) != len(inputs):
            raise DataError(f"{len(inputs):,} images but {len(targets):,} labels")
        self.inputs = inputs
        self.targets = targets
        self.classes = require_names("classes", classes)
        self.name = name
        self._fingerprint: str | None = None

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any = None,
        *,
        classes: Sequence[str] | int | None = None,
        name: str = "data",
        image: ImageShape = None,
    ) -> Dataset:
        """Make a data set from numpy arrays, tensors or lists; both are copied.

        x: `[N, features]`, `[N, H, W]` or `[N, C, H, W]`. uint8 values 0..255 are divided by 255 (values that are only
        0 and 1 are kept); floating-point values are kept.
        y: whole numbers `[N]` from 0, or None for data without labels.
        classes: names, or their number; by default the largest label plus one.
        image: None takes `[N, H, W]` as grey images and checks the channel axis; `(C, H, W)` gives flat rows that
        shape; False accepts any shape (sequences, event frames).

        Raises `ShapeError` for `[B, H, W, C]` where `[B, C, H, W]` is expected, `DataError` for labels outside the
        classes, unequal lengths or no data, `NumericError` for NaN and infinite values.
        """
        inputs = to_inputs(x, image=image, examples=None if y is None else _length(y))
        if y is None:
            return cls(inputs, None, (), name)
        targets, names = to_targets(y, len(inputs), classes)
        return cls(inputs, targets, names, name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, such as `(1, 28, 28)`."""
        return tuple(self.inputs.shape[1:])

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | None]:
        return self.inputs[index], None if self.targets is None else self.targets[index]

    def __repr__(self) -> str:
        kinds = f"{len(self.classes)} classes" if self.targets is not None else "no labels"
        return f"Dataset({self.name!r}, {len(self):,} x {list(self.shape)}, {kinds})"

    def _repr_html_(self) -> str:
        """Show size, shape and the number of examples of each class in a notebook."""
        if self.targets is None or not self.classes:
            return html_table([{"examples": len(self), "shape": str(list(self.shape))}], repr(self))
        counts = torch.bincount(self.targets.long().flatten(), minlength=len(self.classes)).tolist()
        return html_table([dict(zip(self.classes, counts, strict=False))], repr(self))

    def subset(self, indices: Tensor | Sequence[int], *, name: str | None = None) -> Dataset:
        """Return the examples at `indices`, in that order, as a new data set."""
        chosen = torch.as_tensor(indices, device=self.inputs.device)
        if chosen.dtype == torch.bool or chosen.is_floating_point() or chosen.dim() != 1:
            if chosen.numel():
                raise ConfigError("indices must be whole numbers [n]; use mask.nonzero().ravel() for a mask")
            chosen = chosen.flatten()
        chosen = chosen.to(torch.int64)
        outside = ((chosen < 0) | (chosen >= len(self))).nonzero()
        if len(outside):
            raise ConfigError(f"index {int(chosen[outside[0]])} is outside 0..{len(self) - 1} of {self.name}")
        part = self.batch(chosen)
        return Dataset(part.inputs, part.targets, self.classes, name or self.name)

    def take(self, n: int) -> Dataset:
        """Return the first `n` examples (all if there are fewer), sharing memory with this data set."""
        require_whole("n", n)
        targets = None if self.targets is None else self.targets[:n]
        return Dataset(self.inputs[:n], targets, self.classes, self.name)

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Dataset:
        """Return the data set on another device or in another floating-point type; labels stay int64."""
        targets = None if self.targets is None else self.targets.to(device)
        return Dataset(self.inputs.to(device=device, dtype=dtype), targets, self.classes, self.name)

    def holdout(self, n: int = 10_000, seed: int = 0) -> Split:
        """Hold out `n` random examples for choosing settings; the same seed always gives the same split."""
        require_whole("n", n)
        require_whole("seed", seed, least=0)
        if n >= len(self):
            raise ConfigError(f"cannot hold out {n:,} of {len(self):,} examples of {self.name}; take fewer")
        order = torch.randperm(len(self), generator=make_generator("holdout", seed))
        return Split(
            train=self.subset(order[n:].sort().values, name=f"{self.name}-rest"),
            validation=self.subset(order[:n].sort().values, name=f"{self.name}-held-out"),
        )

    def for_pass(self, seed: int, stage: int, epoch: int) -> Dataset:
        """Return the data for one pass of `fit`: here the data themselves, in sub-classes distorted copies.

        The result may depend only on these three numbers, so that a resumed run gets the same data.
        """
        return self

    def batch_order(self, generator: torch.Generator | None = None) -> Tensor:
        """Return the order of one pass `[N]`: 0, 1, 2, ... or a permutation drawn from `generator`."""
        if generator is None:
            return torch.arange(len(self))
        return torch.randperm(len(self), generator=generator, device=generator.device)

    def batch(self, index: Tensor) -> Batch:
        """Return the examples at `index` `[B]` (int64) as a batch."""
        place = index.to(self.inputs.device)
        targets = None if self.targets is None else self.targets.index_select(0, place)
        return Batch(self.inputs.index_select(0, place), targets, index)

    def walk(self, indices: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the batches at `indices`, each `[B]` (int64); data on disk decode them in advance."""
        for index in indices:
            yield self.batch(index)

    def batches(
        self, batch_size: int, *, generator: torch.Generator | None = None, drop_last: bool = False
    ) -> Iterator[Batch]:
        """Yield the batches of one pass, in order or in a new permutation drawn from `generator`.

        The last batch may be smaller; `drop_last` leaves it out, unless it is the only one.
        Raises `DataError` if the data set is empty. In order, batches share memory with the data set.
        """
        require_whole("batch_size", batch_size)
        if len(self) == 0:
            raise DataError(f"the data set is empty: {self.name} has no examples")
        return self._walk(batch_size, self.batch_order(generator), generator is None, drop_last)

    def _walk(self, batch_size: int, order: Tensor, in_order: bool, drop_last: bool) -> Iterator[Batch]:
        for start in range(0, len(self), batch_size):
            index = order[start : start + batch_size]
            if drop_last and start > 0 and len(index) < batch_size:
                return
            if in_order:
                end = start + len(index)
                targets = None if self.targets is None else self.targets[start:end]
                yield Batch(self.inputs[start:end], targets, index)
            else:
                yield self.batch(index)

    def fingerprint(self) -> str:
        """Return the SHA-256 over shapes, types and bytes: equal for equal data, whatever its name.

        It is computed once and does not reflect later in-place changes of the inputs.
        """
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for tensor in (self.inputs, self.targets):
                if tensor is not None:
                    digest.update(f"{tuple(tensor.shape)} {tensor.dtype}\n".encode())
                    flat = tensor.detach().cpu().contiguous().view(-1)
                    digest.update(flat.view(torch.uint8).numpy().data)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


def _length(y: Any) -> int | None:
    try:
        return len(y)
    except TypeError:
        return None


@dataclass(frozen=True, eq=False)
class Split:
    """The two parts of a data set after `holdout`: `train` for training, `validation` for choosing settings."""

    train: Dataset
    validation: Dataset

    def __repr__(self) -> str:
        return f"Split(train={len(self.train):,}, validation={len(self.validation):,})"


@dataclass(frozen=True, eq=False)
class Data:
    """A data set with its published split: `train` for training, `test` to be read once, at the end."""

    name: str
    train: Dataset
    test: Dataset

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their labels."""
        return self.train.classes

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, such as `(1, 28, 28)`."""
        return self.train.shape

    def __repr__(self) -> str:
        sizes = f"train={len(self.train):,}, test={len(self.test):,}"
        return f"Data({self.name!r}, {sizes}, {list(self.shape)}, {len(self.classes)} classes)"

    def _repr_html_(self) -> str:
        """Show both parts in a notebook."""
        return self.train._repr_html_() + self.test._repr_html_()

    def holdout(self, n: int = 10_000, seed: int = 0) -> Split:
        """Split only the training part: `n` random examples for choosing settings, the rest for training."""
        return self.train.holdout(n, seed)
