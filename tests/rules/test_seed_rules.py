"""The rules of the three neocognitrons: what a seed teaches, who becomes a seed, when planes are born."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.functional.convolutional.cells import seed_cells
from threegen.gen1.neocognitron_cells import GrowingSCells, SCells
from threegen.rules.growing_seeds import GrowingSeeds, LabelledSeeds
from threegen.rules.rule import Rule
from threegen.rules.seed_cells import CompetitiveSeeds, TaughtSeeds
from threegen.testing import run_rule


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def teach(rule: Rule, layer: Any, batch: Batch) -> list[dict[str, float]]:
    movable = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    return run_rule(rule, layer, batch, torch.Generator(), torch.optim.SGD(movable, lr=1.0))


def small_layer(planes: int = 3, gain_of_b: float = 2.0) -> SCells:
    layer = SCells(2, planes, 3, threshold=0.3, column=2, gain_of_b=gain_of_b)
    with torch.no_grad():
        layer.a.copy_(0.1 * drawn(planes, 2, 3, 3, seed=5))
    return layer


def growing_layer(room: int = 8, **options: Any) -> GrowingSCells:
    options = {"padding": (1, 1), "column": 1, **options}
    return GrowingSCells(2, room, 3, threshold=0.5, learning_threshold=0.7, **options)


def test_a_seed_teaches_what_it_sees() -> None:
    """One plane and one place: a grows by q c u, b by q v / 2, with q = 16."""
    layer = SCells(1, 1, 2, threshold=0.3, gain_of_b=2.0)
    torch.nn.init.constant_(layer.a, 0.1)
    u = torch.tensor([[[1.0, 2.0], [0.0, 3.0]]])
    before = layer.a.detach().clone()
    teach(CompetitiveSeeds(16.0), layer, Batch(u[None]))
    assert torch.allclose(layer.a.detach() - before, 16 * layer.c * u[None])
    v = (layer.c * u[0].square()).sum().sqrt()
    assert layer.b.item() == pytest.approx(8 * float(v))


def test_each_plane_has_at_most_one_seed_and_the_others_rest() -> None:
    layer, pattern = small_layer(), drawn(2, 6, 6)
    response = layer(pattern[None])[0]
    planes, places = seed_cells(response, layer.column)
    before = layer.a.detach().clone()
    (figures,) = teach(CompetitiveSeeds(), layer, Batch(pattern[None]))
    moved = (layer.a.detach() != before).flatten(1).any(1)
    assert figures["seeds"] == len(planes)
    assert moved.nonzero()[:, 0].tolist() == planes.tolist()
    for plane, place in zip(planes.tolist(), places.tolist(), strict=True):
        row, column = divmod(place, 4)
        window = pattern[:, row : row + 3, column : column + 3]
        assert torch.allclose(layer.a.detach()[plane] - before[plane], layer.c * window, atol=1e-6)


def test_a_pattern_without_a_seed_teaches_nothing() -> None:
    assert teach(CompetitiveSeeds(), small_layer(), Batch(torch.zeros(2, 2, 6, 6))) == []


def test_the_teacher_points() -> None:
    layer, pattern = small_layer(gain_of_b=1.0), drawn(2, 6, 6)
    before = layer.a.detach().clone()
    teach(TaughtSeeds(2.0), layer, Batch(pattern[None], torch.tensor([[1, 3, 0]])))
    assert torch.allclose(layer.a.detach()[1] - before[1], 2 * layer.c * pattern[:, 3:6, 0:3], atol=1e-6)
    assert torch.equal(layer.a.detach()[[0, 2]], before[[0, 2]])
    strength = layer.inhibition(pattern[None])[0, 0]
    assert layer.b.tolist() == pytest.approx([0.0, 2 * float(strength[3, 0]), 0.0])
    # without a place: where the input is strongest
    other = small_layer(gain_of_b=1.0)
    teach(TaughtSeeds(), other, Batch(pattern[None], torch.tensor([2])))
    assert other.b[2].item() == pytest.approx(float(strength.max()))


@pytest.mark.parametrize(
    ("targets", "error", "match"),
    [
        (torch.tensor([3]), DataError, "outside 0..2"),
        (torch.tensor([[0, 4, 0]]), DataError, "outside the planes"),
        (torch.tensor([[0, 1]]), ShapeError, "targets must be planes"),
    ],
)
def test_a_teacher_who_points_beside_is_told(targets: Tensor, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        teach(TaughtSeeds(), small_layer(), Batch(drawn(1, 2, 6, 6), targets))


def test_planes_are_born_only_where_the_input_is_strong_and_all_are_silent() -> None:
    """After each pattern every strong place has a cell around that answers; a pattern already known bears none."""
    layer, rule = growing_layer(room=40), GrowingSeeds(0.5)
    pattern = drawn(2, 7, 7)
    teach(rule, layer, Batch(pattern[None]))
    born = int(layer.count)
    assert 0 < born < 40
    strength = layer.inhibition(pattern[None])[0, 0]
    answered = layer(pattern[None])[0].amax(0) > 0  # column 1: the place itself
    assert bool(answered[strength >= 0.5 * strength.max()].all())
    layer.train()
    learnt = layer.a.detach().clone()
    teach(rule, layer, Batch(pattern[None]))
    assert int(layer.count) == born
    assert not torch.equal(layer.a, learnt)  # but seeds went on learning
    teach(rule, layer, Batch(torch.zeros(1, 2, 7, 7)))
    assert int(layer.count) == born


def test_no_more_planes_than_there_is_room_for() -> None:
    layer = growing_layer(room=2)
    teach(GrowingSeeds(0.0), layer, Batch(drawn(5, 2, 7, 7)))
    assert int(layer.count) == 2
    assert layer.full


def test_the_top_layer_bears_a_plane_at_each_mistake_alone() -> None:
    layer = growing_layer(room=9, padding=(0, 0))
    first, second = torch.eye(2)[:, :, None, None].expand(2, 2, 3, 3).unbind()
    batch = Batch(torch.stack([first, 2 * first, second, first]), torch.tensor([4, 4, 7, 5]))
    figures = teach(LabelledSeeds(fused=False), layer, batch)
    # born; known at any strength; silent, so born; the winner says 4, the teacher 5, so born
    assert [round(one["planes"]) for one in figures] == [1, 1, 2, 3]
    assert layer.labels.tolist() == [4, 7, 5, -1, -1, -1, -1, -1, -1]
    weights = layer.a.detach().flatten(1).sum(1)
    assert weights[0].item() == pytest.approx(3 * weights[1].item(), rel=1e-5)  # learnt 1 + 2 times


@pytest.mark.parametrize("side", [6, 1])  # one cell sees everything: the way of top layers
@pytest.mark.parametrize("kind", [GrowingSeeds, LabelledSeeds])
def test_the_fused_way_is_the_plain_one(kind: Any, side: int) -> None:
    """Same planes, same labels, connections to 1e-6 of the largest, after two batches."""
    padding = (1, 1) if side > 1 else (0, 0)
    plain, fused = (growing_layer(room=20, padding=padding) for _ in range(2))
    for seed in (1, 2):
        count, wide = 6 if side > 1 else 20, side + 2 - sum(padding)
        batch = Batch(drawn(count, 2, wide, wide, seed=seed).square(), torch.arange(count) % 3)
        for layer, way in ((plain, kind(fused=False)), (fused, kind(fused=True))):
            teach(way, layer, batch)
    assert torch.equal(plain.count, fused.count)
    assert torch.equal(plain.labels, fused.labels)
    assert int(plain.count) > 2
    one, other = plain.a.detach(), fused.a.detach()
    assert float((one - other).abs().max()) <= 1e-6 * float(one.abs().max())


def test_a_layer_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a model with count"):
        GrowingSeeds().check(small_layer())
    with pytest.raises(ConfigError, match="needs a model with b"):
        CompetitiveSeeds().check(growing_layer())
