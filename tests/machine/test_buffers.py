"""Memory that is used again must never be used twice at a time, nor grow without bound."""

import gc

import pytest
import torch

from threegen.machine import buffers

SHAPE = (128, 400)


@pytest.fixture(autouse=True)
def _nothing_is_free_at_first() -> None:
    gc.collect()
    buffers._free.clear()


def test_memory_comes_back_when_the_last_view_is_gone() -> None:
    tensor = buffers.empty(SHAPE, torch.float32)
    place, view = tensor.data_ptr(), tensor[3].view(-1)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous(), place % buffers.LINE) == (SHAPE, torch.float32, True, 0)
    del tensor
    assert not buffers._free
    other = buffers.empty(SHAPE, torch.float32)
    assert other.data_ptr() != place
    del view
    assert len(buffers._free) == 1
    assert buffers.empty(SHAPE, torch.float32).data_ptr() == place


def test_other_types_and_nearly_equal_sizes_share_memory() -> None:
    place = buffers.empty(SHAPE, torch.float32).data_ptr()
    smaller = buffers.empty((128, 390 * 4), torch.uint8)
    assert smaller.data_ptr() == place
    assert buffers.empty((128, 200), torch.float32).data_ptr() != place


def test_what_is_kept_stays_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "LIMIT", 1_000_000)
    held = [buffers.empty(SHAPE, torch.float32) for _ in range(7)]
    held.clear()
    assert 1 <= sum(map(len, buffers._free.values())) / (128 * 400 * 4) <= 1_000_000 / (128 * 400 * 4)


def test_small_tensors_and_other_types_are_left_to_torch() -> None:
    buffers.empty((10, 10), torch.float32)
    buffers.empty((100, 1000), torch.int64)
    assert not buffers._free
