"""A text as sequences of characters: the story that ships with the package, or a file of yours."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_number, require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError

STORY = Path(__file__).parent / "bundled" / "texts" / "the-lamp-and-the-tide.txt"


@dataclass(frozen=True)
class Text:
    """A text split into a training part and a test part, and its alphabet.

    `train` and `test` are the numbers of the characters, `[N]` int64; `alphabet[number]` is the character.
    """

    alphabet: str
    train: Tensor
    test: Tensor

    def encode(self, characters: str) -> Tensor:
        """Return the characters one-hot, `[N, K]` float32; raises `DataError` for one that is not in the alphabet."""
        unknown = sorted(set(characters) - set(self.alphabet))
        if unknown:
            raise DataError(f"the alphabet of this text has no {unknown[0]!r}; it has {self.alphabet!r}")
        return self.one_hot(torch.tensor([self.alphabet.index(one) for one in characters]))

    def one_hot(self, numbers: Tensor) -> Tensor:
        """Return character numbers `[...]` as one-hot rows `[..., K]`, float32."""
        return F.one_hot(numbers, len(self.alphabet)).float()

    def streams(self, count: int, steps: int) -> Dataset:
        """Return the training part as `count` streams read in parallel, `steps` characters at a time.

        In order and with `batch_size=count`, each batch `[count, steps, K]` continues where the previous one ended, as
        `TruncatedBPTT(carry=True)` requires; its targets `[count, steps]` are the next characters. A remainder that
        does not fill a batch is left out.
        """
        length = (len(self.train) - 1) // require_whole("count", count)
        batches = length // require_whole("steps", steps)
        if batches == 0:
            raise ConfigError(
                f"{len(self.train):,} characters are too few for {count} streams of {steps} steps; use fewer"
            )
        rows = self.train[: count * length].view(count, length)[:, : batches * steps]
        following = self.train[1 : count * length + 1].view(count, length)[:, : batches * steps]
        order = [part.view(count, batches, steps).transpose(0, 1).reshape(-1, steps) for part in (rows, following)]
        return Dataset(self.one_hot(order[0]), order[1], tuple(self.alphabet), "text-streams")


def read_text(path: str | os.PathLike[str] | None = None, *, test_share: float = 0.1) -> Text:
    """Read a UTF-8 text; None reads "The Lamp and the Tide", a short story written for this package.

    The last `test_share` of it becomes the test part. Raises `DataError` if the file is not a text with at least two
    different characters.
    """
    source = STORY if path is None else Path(path)
    try:
        content = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{source.name} cannot be read as a UTF-8 text: {problem}") from problem
    alphabet = "".join(sorted(set(content)))
    if len(alphabet) < 2:
        raise DataError(f"{source.name} has {len(alphabet)} different characters; a text has at least two")
    numbers = torch.tensor([alphabet.index(one) for one in content])
    cut = round(len(numbers) * (1 - require_number("test_share", test_share, above=0.0, below=1.0)))
    return Text(alphabet, numbers[:cut], numbers[cut:])
