"""100,000 mutations of a small checkpoint's files and of IDX files, in memory: each loads right or is refused."""

from __future__ import annotations

import gzip
import random
import resource
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from threegen.datasets.idx import read_idx, write_idx
from threegen.errors import CheckpointError, DataError
from threegen.training.persistence.checkpoint import (
    Checkpoint,
    pack_checkpoint,
    tensor_hashes,
    unpack_facts,
    unpack_tensors,
)

TENSORS = {
    "layer.weight": torch.arange(6.0).view(2, 3),
    "layer.bias": torch.tensor([1, -1]),
    "steps": torch.tensor(3.0),
}
HASHES = tensor_hashes(TENSORS)
FACTS = {"progress": {"epoch": 1}, "settings": {"model": "MLP", "seed": 0}, "log": {"seconds": 0.5, "stopped": ""}}
FILES = pack_checkpoint(Checkpoint(TENSORS, {}, FACTS))
WEIGHTS, FACTS_BYTES = FILES["weights.safetensors"], FILES["checkpoint.json"]
INTERESTING = (0, 1, 7, 8, 0x22, 0x2C, 0x30, 0x3A, 0x5B, 0x7B, 0x7D, 0x7F, 0x80, 0xFE, 0xFF)


def mutate(content: bytes, dice: random.Random) -> bytes:
    """Return `content` after one to three changes: bytes set, flipped, cut out, repeated, put in, turned, cut off."""
    made = bytearray(content)
    for _ in range(dice.randint(1, 3)):
        kind, place = dice.randrange(7), dice.randrange(max(1, len(made)))
        end = min(len(made), place + dice.choice((1, 1, 2, 4, 8, 64)))
        if kind == 0 and made:
            made[place] = dice.choice(INTERESTING)
        elif kind == 1 and made:
            made[place] ^= 1 << dice.randrange(8)
        elif kind == 2:
            del made[place:end]
        elif kind == 3:
            made[place:place] = made[place:end] * dice.choice((1, 2, 50))
        elif kind == 4:
            made[place:place] = dice.randbytes(dice.choice((1, 4, 8)))
        elif kind == 5:
            made[place:end] = made[place:end][::-1]
        else:
            del made[place:]
    return bytes(made)


def loads_right_or_not_at_all(read: Callable[[bytes], bool], content: bytes, error: type[Exception], dice: int) -> int:
    """Feed mutations to `read`, which says whether it found the original; return how many were refused."""
    random_ = random.Random(dice)
    refused = 0
    for _ in range(25_000):
        changed = mutate(content, random_)
        try:
            assert read(changed), changed
        except error:
            refused += 1
    return refused


def read_weights(content: bytes) -> bool:
    found = unpack_tensors(content, HASHES, "weights")
    return set(found) == set(TENSORS) and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)


def read_facts(content: bytes) -> bool:
    unpack_facts(content, "facts")
    return content == FACTS_BYTES


IMAGES = np.arange(40, dtype=np.uint8).reshape(2, 4, 5)


def idx_bytes(packed: bool, folder: pytest.TempPathFactory) -> bytes:
    path = folder.mktemp("idx") / "images.idx"
    content = write_idx(path, IMAGES).read_bytes()
    return gzip.compress(content, mtime=0) if packed else content


def read_any_idx(content: bytes) -> bool:
    """An IDX file has no digest: what is read must be an array of no more bytes than were given (unpacked)."""
    return read_idx(content, max_bytes=1 << 16).nbytes <= 1 << 16


@pytest.fixture
def peak() -> Callable[[], float]:
    """Return how many megabytes the highest use of memory has grown since the test began."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return lambda: (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def test_weights(peak: Callable[[], float]) -> None:
    assert read_weights(WEIGHTS)
    assert loads_right_or_not_at_all(read_weights, WEIGHTS, CheckpointError, 1) > 24_000
    assert peak() < 64


def test_facts(peak: Callable[[], float]) -> None:
    assert read_facts(FACTS_BYTES)
    assert loads_right_or_not_at_all(read_facts, FACTS_BYTES, CheckpointError, 2) > 24_000
    assert peak() < 64


@pytest.mark.parametrize("packed", [False, True])
def test_idx(packed: bool, tmp_path_factory: pytest.TempPathFactory, peak: Callable[[], float]) -> None:
    content = idx_bytes(packed, tmp_path_factory)
    assert np.array_equal(read_idx(content), IMAGES)
    assert loads_right_or_not_at_all(read_any_idx, content, DataError, 3) > 10_000
    assert peak() < 64


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_a_checkpoint(content: bytes) -> None:
    with pytest.raises(CheckpointError):
        unpack_facts(content, "facts")
    with pytest.raises(CheckpointError):
        unpack_tensors(content, HASHES, "weights")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["digest", "facts", "format", "sha256"]), JSON))
def test_any_json_as_facts(content: object) -> None:
    import json

    with pytest.raises(CheckpointError):
        unpack_facts(json.dumps(content).encode(), "facts")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.integers(min_value=0, max_value=2**64 - 1))
def test_any_header_of_a_safetensors_file(header: bytes, length: int) -> None:
    for promised in (len(header), length):
        with pytest.raises(CheckpointError):
            unpack_tensors(promised.to_bytes(8, "little") + header + bytes(24), HASHES, "weights")
