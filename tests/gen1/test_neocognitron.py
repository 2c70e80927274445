"""The three neocognitrons: sizes, cosines, tolerance of shifts, the paper's cell-by-cell formulation, maps."""

from __future__ import annotations

import math

import pytest
import torch

from threegen.errors import ConfigError
from threegen.gen1.neocognitron import Neocognitron, resizing
from threegen.gen1.neocognitron_1980 import Neocognitron1980
from threegen.gen1.neocognitron_1988 import LINE_BITS, ORIENTATIONS, Neocognitron1988, line_bits
from threegen.gen1.neocognitron_2003 import STRONG, ContrastCells, EdgeCells, Neocognitron2003, edge
from threegen.gen1.neocognitron_cells import CCells, GrowingSCells, SCells, centre_and_surround, sizes_of


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_sizes_of_1980() -> None:
    """The table of the paper: 24 planes of 16, 10, 8, 6, 2 and 1 cells a side."""
    sizes = Neocognitron1980(generator=torch.Generator().manual_seed(0)).sizes()
    assert sizes == {"S1": (24, 16), "C1": (24, 10), "S2": (24, 8), "C2": (24, 6), "S3": (24, 2), "C3": (24, 1)}


def test_sizes_of_1988() -> None:
    model = Neocognitron1988()
    assert {name: side for name, (_, side) in model.sizes().items()} == {
        "S1": 19,
        "C1": 21,
        "S2": 21,
        "C2": 13,
        "S3": 13,
        "C3": 7,
        "S4": 3,
        "C4": 1,
    }
    planes = {name: cells.shape[1] for name, cells in model.maps(drawn(2, 1, 28, 28)).items()}
    assert (planes["S1"], planes["C1"], planes["S2"], planes["S3"], planes["C4"]) == (12, 8, 38, 35, 10)


def test_sizes_of_2003() -> None:
    sizes = Neocognitron2003().sizes()
    assert {name: side for name, (_, side) in sizes.items()} == {
        "S1": 28,
        "C1": 14,
        "S2": 14,
        "C2": 14,
        "S3": 14,
        "C3": 7,
        "S4": 1,
    }


def taught(layer: SCells, windows: list[torch.Tensor], rate: float) -> None:
    """Let plane k learn window k `[inputs, w, w]` once, as the papers write it."""
    with torch.no_grad():
        for plane, window in enumerate(windows):
            layer.a[plane] = rate * layer.c * window
            if not isinstance(layer, GrowingSCells):
                layer.b[plane] = rate * (layer.c * window.square()).sum().sqrt() / layer.gain_of_b
            else:
                layer.create()


@pytest.mark.parametrize("gain_of_b", [1.0, 2.0])
def test_an_s_cell_that_has_learnt_is_a_cosine_detector(gain_of_b: float) -> None:
    """u_S -> phi(s - theta) / (1 - theta) for large q, s the cosine under the inner product sum c X Y."""
    layer = SCells(3, 4, 3, threshold=0.6, gain_of_b=gain_of_b)
    windows = [drawn(3, 3, 3, seed=number) for number in range(1, 5)]
    taught(layer, windows, 1e7)
    x = drawn(1, 3, 3, 3)
    for window, found in zip(windows, layer(x).flatten().tolist(), strict=True):
        inner = (layer.c * window * x[0]).sum()
        cosine = inner / ((layer.c * window**2).sum() * (layer.c * x[0] ** 2).sum()).sqrt()
        assert found == pytest.approx(max(float(cosine) - 0.6, 0) / 0.4, abs=1e-4)


def test_growing_cells_answer_as_fixed_ones_that_learnt_the_same() -> None:
    """b = sqrt(sum a^2 / c) is what q |X| has become; in training mode the higher threshold answers."""
    fixed = SCells(3, 4, 3, threshold=0.6)
    growing = GrowingSCells(3, 6, 3, threshold=0.6, learning_threshold=0.8)
    windows = [drawn(3, 3, 3, seed=number) for number in range(1, 5)]
    taught(fixed, windows, 1e6)
    taught(growing, windows, 1e6)
    x = drawn(2, 3, 8, 8)
    assert torch.allclose(growing.eval()(x), fixed(x), atol=1e-4)  # c sums to 1 and to 1/3: lost only in the 1 +
    assert growing.eval()(x).shape == (2, 4, 6, 6)
    fixed.threshold = 0.8
    assert torch.allclose(growing.train()(x), fixed(x), atol=1e-4)


def test_no_room_and_thresholds_are_refused() -> None:
    layer = GrowingSCells(1, 1, 3, threshold=0.5, learning_threshold=0.6)
    layer.create()
    with pytest.raises(ConfigError, match="all 1 planes exist already"):
        layer.create()
    with pytest.raises(ConfigError, match="below threshold"):
        GrowingSCells(1, 1, 3, threshold=0.5, learning_threshold=0.4)


def test_contrast_cells_are_silent_in_even_light() -> None:
    cells = ContrastCells()
    assert float(cells.a.sum()) == pytest.approx(0.0, abs=1e-6)
    even = cells(torch.full((1, 1, 20, 20), 0.7))[:, :, 4:-4, 4:-4]
    assert float(even.abs().max()) < 1e-6
    spot = torch.zeros(1, 1, 15, 15)
    spot[0, 0, 7, 7] = 1.0
    on, off = cells(spot)[0, :, 7, 7].tolist()
    assert on > 0
    assert off == 0


def test_each_edge_excites_its_own_plane_most() -> None:
    contrast = ContrastCells()
    layer = EdgeCells(contrast, 16, 5, threshold=0.55)
    for number in range(16):
        seen = layer(contrast(edge(25, number / 16)[None, None]))[0, :, 12, 12]
        assert int(seen.argmax()) == number
        # it sees what it has learnt, so e = q |X|^2 and h = theta e: u = theta / (1 - theta) (e - h) / (1 + h)
        learnt = float((layer.a[number].square().sum(0) / layer.c).sum()) / STRONG
        expected = layer.threshold * learnt / (1 + layer.threshold * learnt)
        assert float(seen.max()) == pytest.approx(expected, rel=1e-3)


def test_a_c_cell_answers_alike_to_a_shift_within_its_field() -> None:
    """d is even over its window here, so any place of one S-cell in the window gives the same answer, outside none."""
    cells = CCells(3, gamma=1.0, strength=9.0)
    answers = []
    for row in range(5):
        for column in range(5):
            u = torch.zeros(1, 1, 5, 5)
            u[0, 0, row, column] = 1.0
            answers.append(float(cells(u)[0, 0, 1, 1]))
    grid = torch.tensor(answers).reshape(5, 5)
    assert torch.allclose(grid[1:4, 1:4], torch.full((3, 3), 0.5))  # psi(1) = 1/2
    assert float(grid.sum()) == pytest.approx(4.5)


def test_surround_of_c_cells() -> None:
    kernel = centre_and_surround(5, 0.8, 2.0, 0.5, 1.5)
    assert float(kernel.clamp(min=0).sum()) == pytest.approx(2.0)
    assert float(kernel.clamp(max=0).sum()) == pytest.approx(-0.5)
    with pytest.raises(ConfigError, match="no place outside"):
        centre_and_surround(3, 0.8, 1.0, 0.5, 5.0)


def test_the_line_bits_are_twelve_and_join_into_eight_orientations() -> None:
    bits = line_bits()
    assert bits.flatten(1).sum(1).tolist() == [3.0] * 12
    assert len({tuple(rows) for rows in LINE_BITS}) == 12
    assert sorted(set(ORIENTATIONS)) == list(range(8))
    joint = Neocognitron1988().layers["C1"].joint
    assert isinstance(joint, torch.Tensor)
    assert joint.sum(0).tolist() == [1.0] * 12
    assert sorted(joint.sum(1).tolist()) == [1.0] * 4 + [2.0] * 4
    # the bits of one orientation lie at about its angle: the mean of e^{2 i angle} of the bit's own direction
    places = torch.stack(torch.meshgrid(torch.tensor([1.0, 0.0, -1.0]), torch.tensor([-1.0, 0.0, 1.0]), indexing="ij"))
    for number, orientation in enumerate(ORIENTATIONS):
        on = places[:, bits[number, 0, 8:11, 8:11] > 0]
        on = on - on.mean(1, keepdim=True)
        twice = math.atan2(2 * float((on[0] * on[1]).sum()), float((on[1] ** 2 - on[0] ** 2).sum()))
        assert math.isclose(math.cos(twice - math.pi * orientation / 4), 1.0, abs_tol=0.1), number


def test_resizing_keeps_the_light() -> None:
    """Each wanted part averages its share of pixels: rows sum to one, an even picture stays even."""
    matrix = resizing(28, 16)
    assert torch.allclose(matrix.sum(1), torch.ones(16), atol=1e-6)
    assert resizing(4, 2).tolist() == [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    assert torch.equal(resizing(5, 5), torch.eye(5))


def cell_by_cell(layer: SCells, u: torch.Tensor) -> torch.Tensor:
    """The paper's S-cells, each for itself, in plain loops over the numbers; `u` `[K, H, W]`, no padding."""
    window, theta, a, b = layer.window, layer.theta(), layer.a.detach(), layer.b.detach()
    height, width = u.shape[1] - window + 1, u.shape[2] - window + 1
    found = torch.zeros(layer.planes, height, width)
    for row in range(height):
        for column in range(width):
            v = 0.0
            for plane in range(len(u)):
                for i in range(window):
                    for j in range(window):
                        v += float(layer.c[i, j]) * float(u[plane, row + i, column + j]) ** 2
            for k in range(layer.planes):
                e = 0.0
                for plane in range(len(u)):
                    for i in range(window):
                        for j in range(window):
                            e += float(a[k, plane, i, j]) * float(u[plane, row + i, column + j])
                inhibited = theta * layer.gain_of_b * float(b[k]) * v**0.5
                found[k, row, column] = theta / (1 - theta) * max((1 + e) / (1 + inhibited) - 1, 0.0)
    return found


def test_s_cells_against_the_papers_cell_by_cell_formulation() -> None:
    layer = SCells(2, 3, 3, threshold=0.3, gain_of_b=2.0)
    with torch.no_grad():
        layer.a.copy_(drawn(3, 2, 3, 3, seed=1))
        layer.b.copy_(drawn(3, seed=2))
    u = drawn(2, 7, 6)
    assert torch.allclose(layer(u[None])[0], cell_by_cell(layer, u), rtol=1e-5, atol=1e-6)
    assert bool((layer(u[None]) > 0).any())


@pytest.mark.parametrize(
    "model",
    [Neocognitron1980(generator=torch.Generator().manual_seed(0)), Neocognitron1988(), Neocognitron2003()],
    ids=["1980", "1988", "2003"],
)
def test_maps_show_every_layer(model: Neocognitron) -> None:
    maps = model.maps(drawn(2, 1, 28, 28))
    assert list(maps) == ["U0", *model.layers]
    for name, (_, side) in model.sizes().items():
        assert maps[name].shape[0] == 2
        assert maps[name].shape[2:] == (side, side), name
    assert list(model.maps(drawn(1, 1, 28, 28), ["C1"])) == ["U0", "C1"]
    with pytest.raises(ConfigError, match="choose"):
        model.maps(drawn(1, 1, 28, 28), ["C9"])
    assert torch.equal(model.below("C1", drawn(2, 1, 28, 28)), maps["S1"])


@pytest.mark.parametrize("shape", [(3, 28, 28), (784,)])
def test_other_images_are_refused(shape: tuple[int, ...]) -> None:
    for kind in (Neocognitron1980, Neocognitron1988, Neocognitron2003):
        with pytest.raises(ConfigError, match="grey images"):
            kind(shape=shape)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="square"):
        Neocognitron2003(shape=(1, 28, 30))
    with pytest.raises(ConfigError, match="thresholds"):
        Neocognitron2003(thresholds=(0.5, 0.5))
    with pytest.raises(ConfigError, match="planes"):
        Neocognitron2003(planes=(10, 10))
    with pytest.raises(ConfigError, match="does not fit"):
        sizes_of(2, [SCells(1, 1, 3, threshold=0.5)])
