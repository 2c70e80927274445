"""Distorted images: each distortion alone by hand, their sizes, fresh in each pass, bit-equal when resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import DistortedDataset, Distortions
from threegen.errors import ConfigError, ShapeError
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.rules.rule import Step
from threegen.training.fit import fit

NONE = {"shift": 0.0, "scale": 0.0, "shear": 0.0, "elastic": 0.0}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 6, side: int = 12) -> Tensor:
    return torch.rand(count, 1, side, side, generator=generator(1))


def test_nothing_asked_nothing_changed() -> None:
    assert torch.allclose(Distortions(**NONE).draw(pictures()), pictures(), atol=1e-5)


def test_bilinear_values_by_hand() -> None:
    """Each new pixel is the mean of the four around the place where it looks, weighted by their nearness."""
    distortions, x = Distortions(shift=2.0, scale=0.2, shear=0.3, elastic=1.0), pictures(2, 9)
    places = distortions.places(x, generator())
    found = distortions.draw(x, generator())
    for n in range(2):
        for i, j in ((4, 4), (0, 3), (8, 8), (2, 6)):
            right, down = (places[n, i, j] + 4.0).tolist()
            total = 0.0
            for row in (int(down // 1), int(down // 1) + 1):
                for column in (int(right // 1), int(right // 1) + 1):
                    if 0 <= row < 9 and 0 <= column < 9:
                        total += (1 - abs(down - row)) * (1 - abs(right - column)) * float(x[n, 0, row, column])
            assert float(found[n, 0, i, j]) == pytest.approx(total, abs=1e-4)


def test_places_stay_within_what_was_asked() -> None:
    x = torch.zeros(500, 1, 8, 12)
    centre = torch.stack(torch.meshgrid(torch.arange(12) - 5.5, torch.arange(8) - 3.5, indexing="xy"), 2)
    moved = Distortions(**{**NONE, "shift": 2.0}).places(x, generator()) - centre
    assert torch.allclose(moved, moved[:, :1, :1].expand_as(moved), atol=1e-5)  # the whole picture moves
    assert 1.9 < float(moved.abs().max()) <= 2.0
    scaled = Distortions(**{**NONE, "scale": 0.25}).places(x, generator()) / centre
    assert torch.allclose(scaled, scaled[:, :1, :1].expand_as(scaled), atol=1e-5)
    assert 0.75 <= float(scaled.min()) < 0.76 < 1.24 < float(scaled.max()) <= 1.25
    assert float((scaled[..., 0] - scaled[..., 1]).abs().max()) > 0.3  # squeezes: each axis has its own
    sheared = Distortions(**{**NONE, "shear": 0.5}).places(x, generator()) - centre
    assert float(sheared[..., 1].abs().max()) == 0.0
    slope = sheared[..., 0] / centre[..., 1]
    assert torch.allclose(slope, slope[:, :1, :1].expand_as(slope), atol=1e-5)
    assert 0.49 < float(slope.abs().max()) <= 0.5


def test_elastic_fields_have_the_size_asked_for_everywhere_and_are_smooth() -> None:
    """Standard deviation .7 at each place, the borders too; correlation exp(-r^2 / 4 smoothing^2) at distance r."""
    x = torch.zeros(4000, 1, 16, 16)
    places = Distortions(**{**NONE, "elastic": 0.7, "smoothing": 3.0}).places(x, generator())
    field = places - places.mean(0)
    assert torch.allclose(field.std(0), torch.tensor(0.7), atol=0.04)
    near = (field[:, 8, 5] * field[:, 8, 8]).mean(0) / 0.49
    assert torch.allclose(near, torch.tensor(-9 / 36).exp(), atol=0.06)


def test_each_image_is_drawn_for_itself_and_by_the_generator_alone() -> None:
    x = pictures(1).expand(5, -1, -1, -1)
    first, again, other = (Distortions().draw(x, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({image.numpy().tobytes() for image in first}) == 5


class _Watch:
    """Notes the loss of each update; stops where told."""

    def __init__(self, stop: int | None = None) -> None:
        self.losses: list[float] = []
        self.stop = stop

    def on_step(self, run: object, step: Step) -> None:
        self.losses.append(float(step.figures["loss"]))
        if len(self.losses) == self.stop:
            raise KeyboardInterrupt


def test_passes_differ_and_a_resumed_run_sees_the_same(tmp_path: Path) -> None:
    data = Distortions()(Dataset.from_arrays(pictures(20), torch.arange(20) % 2, name="pictures"))
    passes = [data.for_pass(0, 0, epoch).inputs for epoch in (0, 1, 1)]
    assert torch.equal(passes[1], passes[2])
    assert not torch.equal(passes[0], passes[1])

    def net(seed: int = 0) -> MLP:
        return MLP([144, 2], generator=generator(seed))

    straight, watch = net(), _Watch()
    fit(straight, Backprop(), data, epochs=2, batch_size=5, callbacks=[watch])
    with pytest.raises(KeyboardInterrupt):
        fit(
            net(),
            Backprop(),
            data,
            epochs=2,
            batch_size=5,
            out=tmp_path / "run",
            checkpoint_every=1,
            callbacks=[_Watch(7)],
        )
    resumed = net(5)
    fit(resumed, Backprop(), data, epochs=2, batch_size=5, out=tmp_path / "run", resume=True)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    plain = _Watch()
    fit(net(), Backprop(), Dataset(data.inputs, data.targets, data.classes), epochs=2, batch_size=5, callbacks=[plain])
    assert plain.losses != watch.losses


def test_other_distortions_are_other_data() -> None:
    data = Dataset.from_arrays(pictures(), torch.arange(6) % 2)
    prints = {Distortions(shift=shift)(data).fingerprint() for shift in (1.0, 2.0)} | {data.fingerprint()}
    assert len(prints) == 3


def test_what_cannot_be_distorted_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"distortions take images \[N, C, H, W\], rows has \[4, 3\]"):
        DistortedDataset(Dataset(torch.rand(4, 3), name="rows"), Distortions())
    with pytest.raises(ShapeError, match=r"got torch.uint8 \[1, 1, 4, 4\]"):
        Distortions().draw(torch.zeros(1, 1, 4, 4, dtype=torch.uint8))
    with pytest.raises(ConfigError, match="scale must be a finite number at least"):
        Distortions(scale=1.0)
