"""Images moved by a pixel: every copy is where it should be, labels go along, borders are 0."""

import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.datasets.shifts import shifted_copies
from threegen.errors import ConfigError, ShapeError


def test_five_copies_moved_by_two_pixels() -> None:
    images = torch.rand(3, 1, 6, 7, generator=torch.Generator().manual_seed(0)) + 0.1
    data = Dataset(images, torch.tensor([2, 0, 1]), ("a", "b", "c"), "toy")
    found = shifted_copies(data, 2)
    still, up, down, left, right = found.inputs.split(3)
    assert torch.equal(still, images)
    assert torch.equal(up[:, :, :-2], images[:, :, 2:])
    assert torch.equal(down[:, :, 2:], images[:, :, :-2])
    assert torch.equal(left[..., :-2], images[..., 2:])
    assert torch.equal(right[..., 2:], images[..., :-2])
    for free in (up[:, :, -2:], down[:, :, :2], left[..., -2:], right[..., :2]):
        assert free.abs().sum() == 0
    assert found.targets is not None
    assert found.targets.tolist() == [2, 0, 1] * 5
    assert found.classes == data.classes


def test_only_images_can_be_moved() -> None:
    with pytest.raises(ShapeError, match=r"images \[N, C, H, W\], got \[2, 5\]"):
        shifted_copies(Dataset(torch.rand(2, 5)))
    with pytest.raises(ConfigError, match="pixels"):
        shifted_copies(Dataset(torch.rand(2, 1, 5, 5)), 0)
