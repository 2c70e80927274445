"""The part of an example (training or test) follows from its content, so that more data do not move earlier
examples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

import torch

from threegen.datasets.dataset import Data, Dataset
from threegen.errors import ConfigError, warn_user


def is_test_row(inputs: torch.Tensor, share: float, seed: int) -> torch.Tensor:
    """Return for each example `[N]` whether it belongs to the test part.

    A hash of its bytes and of `seed` is compared with `share`: equal examples are in the same part; the share holds on
    average.
    """
    rows = inputs.detach().cpu().contiguous().flatten(1).numpy()
    key = f"test part {seed}".encode()
    limit = int(share * 2.0**64)
    chosen = [
        int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8, key=key).digest(), "little") < limit
        for row in rows
    ]
    return torch.tensor(chosen, dtype=torch.bool)


def is_test_name(names: Iterable[str], share: float, seed: int) -> torch.Tensor:
    """Return for each name `[N]` whether its example belongs to the test part: for data whose content should not be
    read."""
    key = f"test part {seed}".encode()
    limit = int(share * 2.0**64)
    chosen = [
        int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=8, key=key).digest(), "little") < limit
        for name in names
    ]
    return torch.tensor(chosen, dtype=torch.bool)


def divide(whole: Dataset, name: str, share: float, seed: int, test: torch.Tensor | None = None) -> Data:
    """Return a data set in two parts by `is_test_row`, or as `test` `[N]` says.

    Warns of classes that one of them lacks. Raises `ConfigError` if a part would be empty.
    """
    test = is_test_row(whole.inputs, share, seed) if test is None else test
    if bool(test.all()) or not bool(test.any()):
        raise ConfigError(
            f"{name} has {len(whole)} examples, too few to hold out {share:g} of them as a test part; give separate "
            f"test data, or another test_share= or seed="
        )
    parts = {
        "train": whole.subset((~test).nonzero().ravel(), name=f"{name}-train"),
        "test": whole.subset(test.nonzero().ravel(), name=f"{name}-test"),
    }
    for part, data in parts.items():
        there = set() if data.targets is None else set(data.targets.tolist())
        wanted = set() if whole.targets is None else set(whole.targets.tolist())
        missing = [whole.classes[number] for number in sorted(wanted - there)]
        if missing:
            warn_user(f"the {part} part of {name} has no example of {', '.join(missing[:10])}")
    return Data(name, parts["train"], parts["test"])
