"""Generators, forked random states and keys: every random number in threegen comes from an explicit seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch

from threegen.checks import require_whole


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on all `parts`, so that streams with different names never overlap.

    The digest is SHA-256 over the parts' texts: the same on every machine, Python release and number of cores.
    """
    return _digest(*((type(part).__name__, part) for part in parts))


@lru_cache(maxsize=256)
def _digest(*parts: tuple[str, int | str]) -> int:
    text = "\x1f".join(f"{kind}:{part}" for kind, part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def make_generator(*parts: int | str) -> torch.Generator:
    """Return a CPU generator seeded by `derive_seed(*parts)`."""
    generator = torch.Generator()
    generator.manual_seed(derive_seed(*parts))
    return generator


@contextmanager
def forked_randomness(seed: int, *parts: int | str) -> Iterator[None]:
    """Seed the global generators inside the block and restore them afterwards, also after an exception.

    They are those of torch, numpy and Python, from which the user's data and layers may draw.
    """
    require_whole("seed", seed, least=0)
    number = derive_seed(seed, *parts)
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        with torch.random.fork_rng():
            torch.manual_seed(number)
            np.random.seed(number % 2**32)  # noqa: NPY002
            random.seed(number)
            yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)


def draw_key(generator: torch.Generator | None) -> int:
    """Draw one 63-bit key: kernels hash it with counters, so the number of cores does not change their draws."""
    return int(torch.randint(0, 2**63 - 1, (), generator=generator))
