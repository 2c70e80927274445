"""The pictures of a deep belief net: right sizes, right frames, and the images themselves."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from threegen.errors import ConfigError, ShapeError
from threegen.gen2.dbn import DBN
from threegen.randomness import make_generator
from threegen.runs.dreams import draw_belief_net, dream_film, receptive_fields_picture, reconstructions_picture


def net(classes: int | None = 3) -> DBN:
    return DBN([9, 5, 4, 6], classes=classes, generator=make_generator("dreams"))


def png_size(content: bytes) -> tuple[int, int]:
    assert content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_pictures_have_their_sizes() -> None:
    """n pictures of 3 x 3 at scale 2 with gaps of 2: 8 n - 2 wide."""
    assert png_size(receptive_fields_picture(net(), 1)) == (5 * 8 - 2, 6)
    assert png_size(receptive_fields_picture(net(), 3, most=4)) == (4 * 8 - 2, 6)
    assert png_size(reconstructions_picture(net(), torch.rand(7, 1, 3, 3))) == (7 * 8 - 2, 2 * 8 - 2)
    assert png_size(receptive_fields_picture(net(), 1, shape=(1, 9))) == (5 * 20 - 2, 2)
    with pytest.raises(ShapeError, match="9 pixels do not form 2 x 4"):
        receptive_fields_picture(net(), shape=(2, 4))


def test_the_film_shows_the_dreams() -> None:
    """Three classes side by side, 3 x 3 pixels at scale 2; as many frames as asked for; an untrained net is grey."""
    film = dream_film(net(), frames=4, every=1)
    assert film.startswith(b"GIF89a")
    assert struct.unpack("<HH", film[6:10]) == (2 * (3 * 5 - 2), 6)
    assert film.count(b"\x21\xf9\x04") == 4
    assert film == dream_film(net(), frames=4, every=1)
    pillow = pytest.importorskip("PIL.Image")
    import io

    with pillow.open(io.BytesIO(film)) as shown:
        first = np.asarray(shown.convert("L"))[:6, :6]
    dreams = net().dream(torch.arange(3), steps=4, every=1, generator=make_generator(0, "dream film")).images
    expected = (1 - dreams[0, 0].view(3, 3).numpy()).repeat(2, 0).repeat(2, 1) * 255
    assert np.abs(first - expected).max() <= 3  # the palette has 128 greys
    with pytest.raises(ConfigError, match="has no classes"):
        dream_film(net(None))


def test_all_of_them_at_once(tmp_path: Path) -> None:
    names = draw_belief_net(net(), torch.rand(5, 9), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert len(names) == 5
    assert len(draw_belief_net(net(None), torch.rand(5, 9), tmp_path / "plain")) == 4
