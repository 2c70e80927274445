"""Pictures that stay on disk: read, decoded and cut by the workers of torch's `DataLoader`, batch by batch.

Memory: each worker holds at most three batches of bytes, `3 * workers * B * C * H * W`, the process one batch as
float32, and 40 bytes plus the name for each picture; `PictureDataset.memory_bytes(B)` gives the sum. It does not grow
with the epochs. Decoding a picture takes the memory of its pixels, at most 88 million, in addition. Workers are
forked in each pass: what the process held then (weights, the optimiser's averages) stays in memory a second time,
once for all workers, where it is overwritten before they end.

Order: the pictures of a batch, and how each is cut, depend only on (seed, stage, epoch), not on the workers. So a run
that resumes in mid-epoch gets the same batches, without reading the earlier pictures again.
"""

from __future__ import annotations

import hashlib
import os
import signal
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from threegen.checks import require_choice, require_number, require_whole
from threegen.datasets.augmentation import DRAWS, Augmentation, draw_pass
from threegen.datasets.batches import Batch
from threegen.datasets.lazy import LazyDataset
from threegen.datasets.picture_cache import fill_cache, open_cache
from threegen.datasets.picture_files import PictureFiles
from threegen.datasets.pictures import PHOTO_PIXELS, Size, as_size, picture_shape, read_window
from threegen.errors import DataError, WorkerError, warn_user
from threegen.machine.memory import give_back_freed

ON_DISK_BYTES = 1 << 30  # pictures that take more than this as float32 stay on disk
TIME_LIMIT = 120.0  # seconds for one batch
_AHEAD = 2  # batches that a worker decodes in advance
_BATCH_BYTES = 64 << 20  # the largest batch of an evaluation
_NAMED = 10  # unreadable pictures that a warning names

Request = tuple[Tensor, Tensor | None]  # places [B] of the stored pictures, draws [B, DRAWS]
Reply = tuple[Tensor, Tensor, list[tuple[int, str]]]  # bytes [b, C, H, W], their indices in the request [b], failures


class PictureDataset(LazyDataset):
    """Pictures of a folder, an archive or a list as images `[N, C, H, W]` in 0..1, decoded when a batch is read.

    Args:
        files: the stored files, from `find_pictures`. size: the side, or (height, width), of the net's input; by
            default that of the first picture.
        channels: 1 or 3; by default those of the first picture.
        margin: pictures are scaled to `size + margin`, with their aspect ratio kept and the middle cut out; training
            cuts a window of `size` at a random place, evaluation the middle one. By default a seventh of the size: 32
            of 227.
        on_error: "raise" raises for a picture that cannot be read; "skip" leaves it out and names it in a warning and
            in `skipped`.
        workers: worker processes; by default as many as there are cores, at most 4; 0 reads in this process.
        time_limit: seconds within which the next batch must come from the workers.
        cache: a folder for the decoded pictures at training size, one byte per value; it is filled on first use.

    Raises `ConfigError` for settings that cannot work, `DataError` if a picture cannot be read, `WorkerError` where
    a worker hangs or dies.
    """

    def __init__(
        self,
        files: PictureFiles,
        *,
        size: Size = None,
        channels: int | None = None,
        margin: int | None = None,
        on_error: str = "raise",
        workers: int | None = None,
        time_limit: float = TIME_LIMIT,
        cache: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(torch.arange(len(files)), files.labels, files.classes, name or files.root.stem)
        self.files = files
        self.on_error = require_choice("on_error", on_error, ("raise", "skip"))
        if channels is not None:
            require_choice("channels", str(channels), ("1", "3"))
        first = (channels or 3, 1, 1) if channels and size is not None else self._first_shape()
        self.size = as_size(size) or first[1:]
        self.channels = channels or first[0]
        self.margin = min(self.size) // 7 if margin is None else require_whole("margin", margin, least=0)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = min(4, cores) if workers is None else require_whole("workers", workers, least=0)
        self.time_limit = require_number("time_limit", time_limit, above=0.0)
        self.cache = None if cache is None else Path(cache)
        self.augmentation: Augmentation | None = None
        self.whole = False  # whether pictures keep their margin, for ten-crop testing
        self.skipped: dict[str, str] = {}  # name: reason, shared by all parts
        self._draws: Tensor | None = None
        self._hashes: list[str] = []  # of all files, shared by all parts

    def _first_shape(self) -> tuple[int, int, int]:
        for place in range(len(self.files)):
            try:
                return picture_shape(self.files.read(place), self.files.names[place])
            except DataError:
                if self.on_error == "raise":
                    raise
        raise DataError(f"{self.name}: none of its {len(self.files):,} pictures can be read")

    # -- parts -----------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, `(C, H, W)`."""
        return (self.channels, *(self._stored_size if self.whole else self.size))

    @property
    def _stored_size(self) -> tuple[int, int]:
        return self.size[0] + self.margin, self.size[1] + self.margin

    def _like(self, **changes: Any) -> PictureDataset:
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.__dict__.update(changes, _fingerprint=None)
        return made

    def part(self, index: Tensor, targets: Tensor | None, name: str) -> PictureDataset:
        """Return other pictures of the same files."""
        return self._like(index=index, targets=targets, name=name, augmentation=None, _draws=None)

    def augmented(self, augmentation: Augmentation) -> PictureDataset:
        """Return the pictures cut, mirrored, scaled and coloured differently in each pass of `fit`."""
        return self._like(augmentation=augmentation, name=f"{self.name}-augmented")

    def with_margin(self) -> PictureDataset:
        """Return the pictures with their margin, `size + margin` high and wide, as `TenCrops` takes them."""
        return self._like(whole=True)

    def for_pass(self, seed: int, stage: int, epoch: int) -> PictureDataset:
        """Return the pictures for one pass of `fit`."""
        if self.augmentation is None:
            return self
        return self._like(_draws=draw_pass(len(self), seed, stage, epoch))

    def digest(self) -> str:
        """Return a text that is equal for equal names, lengths of files and settings; contents are not read."""
        how = "" if self.augmentation is None else self.augmentation.describe()
        return f"{self._content} {self.shape} {self.margin} {self.on_error} {how}"

    def memory_bytes(self, batch_size: int) -> int:
        """Return an upper bound of the bytes that training in batches of that size takes in addition to the model."""
        batch = require_whole("batch_size", batch_size) * int(np.prod((self.channels, *self._stored_size)))
        return 3 * max(1, self.workers) * batch + 8 * batch + len(self) * (8 * 3 + 4 * DRAWS)

    # -- reading ---------------------------------------------------------------------------------------------------

    def fetch(self, index: Tensor) -> Tensor:
        """Return the images at the places `index` [B] of the files, read in this process, without augmentation."""
        return self._images(self._checked((index, None), self.reply((index, None))), None).inputs

    def batch(self, index: Tensor) -> Batch:
        """Return the examples at `index` [B] (int64) as a batch, read in this process."""
        request = self._request(index)
        return self._batch(index, request, self.reply(request))

    def walk(self, indices: Sequence[Tensor]) -> Iterator[Batch]:
        """Yield the batches at `indices`, decoded in advance by worker processes."""
        self._fill_cache()
        requests = [self._request(index) for index in indices]
        for index, request, reply in zip(indices, requests, self._replies(requests), strict=True):
            yield self._batch(index, request, reply)

    def _walk(self, batch_size: int, order: Tensor, in_order: bool, drop_last: bool) -> Iterator[Batch]:
        most = max(1, _BATCH_BYTES // (4 * int(np.prod(self.shape))))
        indices = list(torch.split(order, min(batch_size, most)))
        if drop_last and len(indices) > 1 and len(indices[-1]) < len(indices[0]):
            indices.pop()
        yield from self.walk(indices)

    def _request(self, index: Tensor) -> Request:
        place = index.cpu()
        return self.index[place], None if self._draws is None else self._draws[place]

    def _replies(self, requests: Sequence[Request]) -> Iterator[Reply]:
        workers = min(self.workers, len(requests)) if len(requests) > 1 else 0
        # A loader draws a seed when it is opened; drawn from torch's generator, that would change a resumed run's
        # dropout.
        options: dict[str, Any] = {"generator": torch.Generator()}
        if workers:
            give_back_freed()  # workers keep what this process holds when they begin, free or not
            options |= {"prefetch_factor": _AHEAD, "timeout": self.time_limit, "worker_init_fn": _begin_worker}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*fork", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=".*worker processes", category=UserWarning)
            # Small tensors would go to the workers by a file descriptor each; arrays go as the bytes that they are.
            sent = [(places.numpy(), None if draws is None else draws.numpy()) for places, draws in requests]
            loader = DataLoader(
                _Reader(self), batch_size=None, sampler=sent, num_workers=workers, collate_fn=_as_it_is, **options
            )
            replies = iter(loader)
        for number, request in enumerate(requests):
            try:
                pictures, chosen, failed = next(replies)
            except RuntimeError as problem:
                raise self._stuck(number, request, problem) from problem
            yield pictures, torch.from_numpy(chosen), failed

    def _stuck(self, number: int, request: Request, problem: RuntimeError) -> WorkerError:
        names = ", ".join(self.files.names[place] for place in request[0][:3].tolist())
        if "timed out" in str(problem):
            return WorkerError(
                f"{self.name}: batch {number} did not come within {self.time_limit:g} seconds; a worker hangs at one "
                f"of its pictures, the first of which are {names}; give more time (time_limit=) or remove it"
            )
        return WorkerError(
            f"{self.name}: a worker process has died at batch {number}, the first pictures of which are {names}"
        )

    def reply(self, request: Request) -> Reply:
        """Return the bytes of the pictures of `request`, cut according to their draws, and those that could not be
        read."""
        places, draws = request
        store = None if self.cache is None else open_cache(self.cache, self._key)
        height, width = self._stored_size
        values = np.empty((len(places), self.channels, height, width), np.uint8)
        kept: list[int] = []
        failed: list[tuple[int, str]] = []
        for number, place in enumerate(places.tolist()):
            try:
                values[len(kept)] = self._decode(place) if store is None else store.picture(place)
                kept.append(number)
            except DataError as problem:
                failed.append((place, str(problem)))
        pictures, chosen = torch.from_numpy(values)[: len(kept)], torch.tensor(kept, dtype=torch.int64)
        if self.whole:
            return pictures, chosen, failed
        if draws is not None and self.augmentation is not None:
            return self.augmentation.cut(pictures, draws[chosen], self.size), chosen, failed
        top, left = (height - self.size[0]) // 2, (width - self.size[1]) // 2
        middle = pictures[:, :, top : top + self.size[0], left : left + self.size[1]].contiguous()
        return middle, chosen, failed

    def _decode(self, place: int) -> np.ndarray[Any, Any]:
        name = self.files.names[place]
        return read_window(
            self.files.read(place), name, channels=self.channels, size=self._stored_size, max_pixels=PHOTO_PIXELS
        )

    def _checked(self, request: Request, reply: Reply) -> Reply:
        """Raise for, or warn of, the pictures that could not be read."""
        failed = reply[2]
        if failed and self.on_error == "raise":
            raise DataError(f'{failed[0][1]}; on_error="skip" (--on-error skip) leaves such pictures out')
        fresh = {self.files.names[place]: reason for place, reason in failed}
        fresh = {name: reason for name, reason in fresh.items() if name not in self.skipped}
        for name, reason in fresh.items():
            if len(self.skipped) < _NAMED:
                warn_user(f"left out: {reason}")
            elif len(self.skipped) == _NAMED:
                warn_user(f"{self.name}: more pictures are left out; `skipped` names them all")
            self.skipped[name] = reason
        if not len(reply[1]):
            raise DataError(f"{self.name}: none of the {len(request[0])} pictures of a batch can be read")
        if failed:
            give_back_freed()  # a batch of another size would find no room in the gaps of those before
        return reply

    def _batch(self, index: Tensor, request: Request, reply: Reply) -> Batch:
        self._checked(request, reply)
        batch = self._images(reply, request[1])
        chosen = reply[1]
        batch.index = index[chosen.to(index.device)]
        batch.targets = None if self.targets is None else self.targets[batch.index.cpu()]
        return batch

    def _images(self, reply: Reply, draws: Tensor | None) -> Batch:
        images = _in_unit_range(reply[0], alone=self.workers >= torch.get_num_threads())
        if draws is not None and self.augmentation is not None:
            images = self.augmentation.coloured(images, draws[reply[1]])
        return Batch(images, finite=True)

    # -- the decoded cache -----------------------------------------------------------------------------------------

    def undivided(self) -> PictureDataset:
        """Return all pictures of the files with their margin, without cache and augmentation."""
        places = torch.arange(len(self.files))
        return self._like(
            index=places, targets=self.files.labels, cache=None, augmentation=None, whole=True, _draws=None
        )

    def replies(self, batch_size: int) -> Iterator[Reply]:
        """Yield the decoded bytes of all pictures in order, and those that could not be read."""
        return self._replies([self._request(index) for index in torch.split(torch.arange(len(self)), batch_size)])

    def _fill_cache(self) -> None:
        if self.cache is not None:
            fill_cache(self.undivided(), self.cache, self._key)

    @property
    def _key(self) -> str:
        settings = f"{self._content} {self.channels} {self._stored_size}"
        return hashlib.sha256(settings.encode()).hexdigest()[:16]

    @property
    def _content(self) -> str:
        """A hash of the names and lengths of all files, computed once."""
        if not self._hashes:
            content = hashlib.sha256()
            for place, size in enumerate(self.files.sizes.tolist()):
                content.update(os.fsencode(f"{self.files.names[place]}\0{size}\n"))
            self._hashes.append(content.hexdigest())
        return self._hashes[0]


def _in_unit_range(pictures: Tensor, *, alone: bool) -> Tensor:
    """Return bytes as float32 in 0..1; `alone` keeps to one thread: others would wait for cores that workers use."""
    if not alone:
        return pictures.to(torch.float32).div_(255.0)
    values = pictures.numpy().astype(np.float32)
    values /= np.float32(255.0)
    return torch.from_numpy(values)


class _Reader(TorchDataset[Any]):
    """What a worker process asks: an index is a whole request, as arrays."""

    def __init__(self, data: PictureDataset) -> None:
        self.data = data

    def __getitem__(self, request: Any) -> Any:
        places, draws = request
        reply = self.data.reply((torch.from_numpy(places), None if draws is None else torch.from_numpy(draws)))
        return reply[0], reply[1].numpy(), reply[2]

    def __len__(self) -> int:
        return len(self.data)


def _as_it_is(reply: Any) -> Any:
    return reply


def _begin_worker(number: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
