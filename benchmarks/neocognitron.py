"""Seconds for 1,000 digits through a small neocognitron: our convolutions, the paper's cells one by one, and the lower
bound ("floor").

The net has 4 planes per layer over 16 x 16 images: S 5x5, C 5x5 every second place, S 3x3, C 3x3. Cell by cell, every
cell of the paper sums its own inputs in plain Python; it answers one digit (quick or not) and the figure is scaled up.
Both give the same responses to 1e-5, which is asserted here and in tests/gen1. The floor is the convolutions alone.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from harness import Contestant, Job, main
from torch import Tensor
from torch.nn import functional as F
from worker import serve

from threegen.functional.convolutional.cells import padded
from threegen.gen1.neocognitron_cells import CCells, SCells
from threegen.machine.threads import use_threads

PLANES, SIDE = 4, 16


def make_layers() -> list[SCells | CCells]:
    """Return the four layers, with drawn connections."""
    generator = torch.Generator().manual_seed(0)
    layers: list[SCells | CCells] = [
        SCells(1, PLANES, 5, threshold=0.3, padding=(2, 2)),
        CCells(5, stride=2, padding=(2, 2)),
        SCells(PLANES, PLANES, 3, threshold=0.3, padding=(1, 1)),
        CCells(3, padding=(1, 1)),
    ]
    with torch.no_grad():
        for layer in layers:
            for parameter in layer.parameters():
                parameter.uniform_(generator=generator)
    return layers


def digits(count: int) -> Tensor:
    """Return `count` 16 x 16 images."""
    return torch.rand(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def through(layers: list[SCells | CCells], u: Tensor) -> Tensor:
    """Return the last cells by convolutions."""
    for layer in layers:
        u = layer(u)
    return u


def cell_by_cell(layers: list[SCells | CCells], u: Tensor) -> Tensor:
    """Return the last cells `[K, h, w]` for one image `[K, H, W]`, computed cell by cell."""
    planes = u.tolist()
    for layer in layers:
        planes = s_layer(layer, planes) if isinstance(layer, SCells) else c_layer(layer, planes)
    return torch.tensor(planes)


def bordered(planes: list[list[list[float]]], padding: tuple[int, int]) -> list[list[list[float]]]:
    """Return planes with silent cells around them."""
    return padded(torch.tensor(planes, dtype=torch.float64), padding).tolist()  # type: ignore[no-any-return]


def s_layer(layer: SCells, below: list[list[list[float]]]) -> list[list[list[float]]]:
    """Return S-cells: each adds up its excitation, its V-cell the squares under the same window."""
    u, w = bordered(below, layer.padding), layer.window
    a, b, c, theta = layer.a.tolist(), layer.b.tolist(), layer.c.tolist(), layer.theta()
    rows, columns = len(u[0]) - w + 1, len(u[0][0]) - w + 1
    window = [(p, i, j) for p in range(len(u)) for i in range(w) for j in range(w)]
    found = []
    for k in range(layer.planes):
        plane = []
        for y in range(rows):
            line = []
            for x in range(columns):
                e = sum(a[k][p][i][j] * u[p][y + i][x + j] for p, i, j in window)
                v = sum(c[i][j] * u[p][y + i][x + j] ** 2 for p, i, j in window) ** 0.5
                line.append(theta / (1 - theta) * max((1 + e) / (1 + theta * layer.gain_of_b * b[k] * v) - 1, 0.0))
            plane.append(line)
        found.append(plane)
    return found


def c_layer(layer: CCells, below: list[list[list[float]]]) -> list[list[list[float]]]:
    """Return C-cells: each sums its plane's S-cells and saturates."""
    u, w, step, d = bordered(below, layer.padding), layer.window, layer.stride, layer.d.tolist()
    window = [(i, j) for i in range(w) for j in range(w)]
    found = []
    for plane in u:
        lines = []
        for y in range(0, len(plane) - w + 1, step):
            line = []
            for x in range(0, len(plane[0]) - w + 1, step):
                total = max(sum(d[i][j] * plane[y + i][x + j] for i, j in window), 0.0)
                line.append(total / (layer.alpha + total))
            lines.append(line)
        found.append(lines)
    return found


def ours(quick: bool) -> float:
    """Return the seconds for 1,000 digits by convolutions."""
    layers, images = make_layers(), digits(1000)
    begun = time.perf_counter()
    through(layers, images)
    return time.perf_counter() - begun


@torch.no_grad()
def floor(quick: bool) -> float:
    """Return the seconds that the convolutions of the same layers take alone."""
    layers, images = make_layers(), digits(1000)
    steps = []
    u = images
    for layer in layers:
        kernel = layer.a.detach() if isinstance(layer, SCells) else layer.d.expand(PLANES, 1, *layer.d.shape).clone()
        stride, groups = (1, 1) if isinstance(layer, SCells) else (layer.stride, PLANES)
        steps.append((u.clone(), kernel, stride, layer.padding[0], groups))
        u = layer(u)
    begun = time.perf_counter()
    for u, kernel, stride, padding, groups in steps:
        F.conv2d(u, kernel, stride=stride, padding=padding, groups=groups)
    return time.perf_counter() - begun


def paper(quick: bool) -> float:
    """Return the seconds for 1,000 digits cell by cell: one digit is answered, and compared, and scaled up."""
    layers, image = make_layers(), digits(1)
    with use_threads(1):
        begun = time.perf_counter()
        found = cell_by_cell(layers, image[0])
        seconds = time.perf_counter() - begun
    off = float((found - through(layers, image)[0]).abs().max())
    if not off <= 1e-5:
        raise SystemExit(f"the two formulations differ by {off:g}")
    return 1000 * seconds


PAPER = Contestant("cell by cell, in plain Python", Path(__file__).resolve(), "cell-by-cell")
JOBS = [Job("neocognitron", lambda quick: "seconds for 1,000 digits", ours, floor, peers=(PAPER,))]

if __name__ == "__main__":
    if sys.argv[1:] == ["--serve", PAPER.serves]:
        serve(paper)
    else:
        main(JOBS, __file__)
