"""Decoders by hand, and what they make of an encoded image."""

import pytest
import torch

from threegen.errors import ConfigError, ShapeError
from threegen.functional.decoding import binary_image, intensity_image
from threegen.functional.encoding import bernoulli_spikes

# three pixels over four steps: 1 0 1 1, 0 0 0 0, 0 1 0 0
SPIKES = torch.tensor([[1.0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0]]).view(4, 1, 3)


def test_binary_image_by_hand() -> None:
    assert binary_image(SPIKES).tolist() == [[1, 0, 1]]
    assert binary_image(SPIKES, least=2).tolist() == [[1, 0, 0]]
    assert binary_image(SPIKES, start=1, window=1).tolist() == [[0, 0, 1]]


def test_intensity_image_by_hand() -> None:
    assert intensity_image(SPIKES).flatten().tolist() == pytest.approx([1, 0, 1 / 3])
    assert intensity_image(SPIKES, start=1, window=2).tolist() == [[1, 0, 1]]
    assert intensity_image(torch.zeros(2, 2, 3)).abs().sum() == 0


def test_long_windows_give_the_image_back() -> None:
    image = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    image = image / image.flatten(1).amax(1).view(-1, 1, 1, 1)
    spikes = bernoulli_spikes(image, 4000, torch.Generator().manual_seed(1))
    # a rate of 4,000 draws has a deviation of at most .008; five of them, for the pixel and for the brightest one
    assert float((intensity_image(spikes) - image).abs().max()) < 0.08


def test_windows_outside_and_spikes_without_time_are_refused() -> None:
    with pytest.raises(ConfigError, match="is not within the 4 steps"):
        binary_image(SPIKES, start=3, window=2)
    with pytest.raises(ConfigError, match="window"):
        intensity_image(SPIKES, window=0)
    with pytest.raises(ShapeError, match="time first"):
        intensity_image(torch.zeros(4))
