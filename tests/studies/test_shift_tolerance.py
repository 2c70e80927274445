"""The distortions of the study of moved digits, by hand."""

from __future__ import annotations

import torch

from threegen.studies.entries.shift_tolerance import noisy, scaled, sheared, shifted

SPOT = torch.zeros(4, 1, 9, 9)
SPOT[:, 0, 4, 4] = 1.0


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_shifts_move_by_whole_pixels_and_lose_what_leaves() -> None:
    """A spot in the middle moves by 3 pixels along an axis, or by round(3 / sqrt 2) = 2 along both."""
    assert torch.equal(shifted(SPOT, 0, generator()), SPOT)
    for image in shifted(SPOT, 3, generator()):
        ((row, column),) = image[0].nonzero().tolist()
        assert sorted((abs(row - 4), abs(column - 4))) in ([0, 3], [2, 2])
    assert not shifted(SPOT, 7, generator()).any()


def test_identity_of_the_others() -> None:
    assert torch.allclose(scaled(SPOT, 1.0, generator()), SPOT, atol=1e-6)
    assert torch.allclose(sheared(SPOT, 0.0, generator()), SPOT, atol=1e-6)
    assert torch.equal(noisy(SPOT, 0.0, generator()), SPOT)


def test_size_and_slant() -> None:
    """A bar of 5 pixels is about 10 long at twice the size; a slant moves the upper half against the lower one."""
    bar = torch.zeros(2, 1, 21, 21)
    bar[:, 0, 8:13, 10] = 1.0
    assert 9.0 <= float((scaled(bar, 2.0, generator())[0, 0, :, 10] > 0.4).sum()) <= 11.0
    slanted = sheared(bar, 0.5, generator())
    columns = torch.arange(21.0)
    for image, side in zip(slanted[:, 0], (-1, 1), strict=True):
        top, foot = (float((image[row] * columns).sum() / image[row].sum()) for row in (8, 12))
        assert (foot - top) * side > 1.5
