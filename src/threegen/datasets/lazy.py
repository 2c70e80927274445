"""Data sets that are larger than memory: examples are computed when a batch is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from threegen.checks import require_names, require_whole
from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, ResourceError, ShapeError

MOST_BYTES = 4 << 30  # limit for `inputs`, all examples at once


class LazyDataset(Dataset):
    """A data set whose inputs are computed batch by batch, float32 and finite.

    A sub-class defines `fetch(index)`, `example_shape` and `digest()`. `index` [N] are the stored examples of this
    part, so that parts share the stored data. `inputs` computes all of them at once and raises `ResourceError` beyond 4
    GiB.
    """

    def __init__(self, index: Tensor, targets: Tensor | None, classes: Sequence[str], name: str) -> None:
        self.index, self.targets = index, targets
        self.classes, self.name = require_names("classes", classes), name
        self._fingerprint: str | None = None

    def fetch(self, index: Tensor) -> Tensor:
        """Return the examples [B, ...], float32, at the indices `index` [B] of the stored data."""
        raise NotImplementedError(f"{type(self).__name__} must write fetch")

    def digest(self) -> str:
        """Return a text that is equal for equal examples at equal indices."""
        raise NotImplementedError(f"{type(self).__name__} must write digest")

    def part(self, index: Tensor, targets: Tensor | None, name: str) -> LazyDataset:
        """Return the same data with other indices into the stored data."""
        raise NotImplementedError(f"{type(self).__name__} must write part")

    @property
    def inputs(self) -> Tensor:  # type: ignore[override]
        """All examples at once [N, ...]; raises `ResourceError` beyond 4 GiB."""
        bytes_each = 4 * int(torch.tensor(self.shape).prod())
        if len(self) * bytes_each > MOST_BYTES:
            raise ResourceError(
                f"{self.name} would take {len(self) * bytes_each / 2**30:.1f} GiB at once; "
                "use batches, or take(n) fewer examples"
            )
        return self.fetch(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | None]:
        one = self.fetch(self.index[index].view(1))[0]
        return one, None if self.targets is None else self.targets[index]

    def subset(self, indices: Tensor | Sequence[int], *, name: str | None = None) -> Dataset:
        """Return the examples at `indices`, in that order; nothing is read yet."""
        chosen = torch.as_tensor(indices)
        if chosen.dim() != 1 or (chosen.numel() and (chosen.dtype == torch.bool or chosen.is_floating_point())):
            raise ConfigError("indices must be whole numbers [n]; use mask.nonzero().ravel() for a mask")
        chosen = chosen.to(torch.int64)
        outside = ((chosen < 0) | (chosen >= len(self))).nonzero()
        if len(outside):
            raise ConfigError(f"index {int(chosen[outside[0]])} is outside 0..{len(self) - 1} of {self.name}")
        targets = None if self.targets is None else self.targets[chosen]
        return self.part(self.index[chosen], targets, name or self.name)

    def take(self, n: int) -> Dataset:
        """Return the first `n` examples; nothing is read yet."""
        require_whole("n", n)
        return self.part(self.index[:n], None if self.targets is None else self.targets[:n], self.name)

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> Dataset:
        """Return the whole data set in memory, on another device or in another floating-point type."""
        return Dataset(self.inputs, self.targets, self.classes, self.name).to(device, dtype)

    def batch(self, index: Tensor) -> Batch:
        """Return the examples at `index` `[B]` (int64) as a batch."""
        place = index.cpu()
        targets = None if self.targets is None else self.targets[place]
        return Batch(self.fetch(self.index[place]), targets, index, finite=True)

    def _walk(self, batch_size: int, order: Tensor, in_order: bool, drop_last: bool) -> Iterator[Batch]:
        for start in range(0, len(self), batch_size):
            index = order[start : start + batch_size]
            if drop_last and start > 0 and len(index) < batch_size:
                return
            yield self.batch(index)

    def fingerprint(self) -> str:
        """Return a SHA-256 that is equal for equal examples."""
        if self._fingerprint is None:
            digest = hashlib.sha256(self.digest().encode())
            digest.update(self.index.contiguous().numpy().tobytes())
            if self.targets is not None:
                digest.update(self.targets.contiguous().numpy().tobytes())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint


class CountedFrames(LazyDataset):
    """Frames of events in memory as bytes `[N, T, 2, H, W]` (uint8), a quarter of their size as float32.

    `scale` multiplies the counts and `most` clips the product: `scale=0.25, most=1.0` maps four events or more to 1.
    """

    def __init__(
        self,
        frames: Tensor,
        targets: Tensor | None,
        classes: Sequence[str],
        name: str,
        *,
        scale: float = 1.0,
        most: float | None = None,
        index: Tensor | None = None,
    ) -> None:
        if frames.dtype != torch.uint8:
            raise ShapeError(f"CountedFrames keeps uint8 frames, got {frames.dtype}")
        super().__init__(torch.arange(len(frames)) if index is None else index, targets, classes, name)
        self.frames, self.scale, self.most = frames, scale, most

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, `(T, 2, H, W)`."""
        return tuple(self.frames.shape[1:])

    def fetch(self, index: Tensor) -> Tensor:
        """Return counts times `scale`, at most `most`, float32."""
        values = self.frames.index_select(0, index).float()
        if self.scale != 1.0:
            values.mul_(self.scale)
        return values if self.most is None else values.clamp_(max=self.most)

    def digest(self) -> str:
        """Return a text that is equal for equal frames."""
        flat = hashlib.sha256(self.frames.contiguous().view(-1).numpy().data).hexdigest()
        return f"{flat} {tuple(self.frames.shape)} {self.scale} {self.most}"

    def part(self, index: Tensor, targets: Tensor | None, name: str) -> LazyDataset:
        """Return other examples of the same frames."""
        return CountedFrames(self.frames, targets, self.classes, name, scale=self.scale, most=self.most, index=index)
