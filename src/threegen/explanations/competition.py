"""Pictures of a network of competing neurons: their weights, coloured by class, and the thresholds."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from threegen.checks import require_finite, require_whole
from threegen.errors import ShapeError
from threegen.plots import ACCENT, contact_sheet, nice_ticks, svg_frame, svg_line, svg_text


class Competition(Protocol):
    """The parts of a network of competing neurons that are drawn: weights [N, inputs], and classes [N] (-1: none)."""

    inputs: int
    neurons: int
    classes: int
    weight: Any
    assignments: Any


def class_colours(classes: int) -> np.ndarray:
    """Return one colour per class `[K, 3]`, red, green and blue in 0..1: hues evenly around the circle."""
    return np.array([colorsys.hsv_to_rgb(k / classes, 0.85, 0.9) for k in range(classes)])


def receptive_fields(model: Competition, shape: Sequence[int], *, most: int = 100, scale: int = 2) -> bytes:
    """Return the weights of each neuron as a picture of `shape` (height, width) in its class's colour: one PNG.

    White is no weight; the neuron's largest weight has the full colour, grey for a neuron without a class. With more
    than `most` neurons, that many are drawn, evenly spaced. Raises `ShapeError` if the inputs do not form such a
    picture.
    """
    if len(shape) < 2:
        raise ShapeError(f"shape must be (height, width), got {list(shape)}")
    require_whole("scale", scale)
    height, width = shape[-2:]
    if height * width != model.inputs:
        raise ShapeError(f"the network has {model.inputs} inputs, which do not form a picture of {height} x {width}")
    chosen = np.linspace(0, model.neurons - 1, min(model.neurons, require_whole("most", most))).round().astype(int)
    weight = model.weight.detach().float().cpu().numpy()[chosen].reshape(-1, 1, height, width)
    strength = weight / np.maximum(weight.max((2, 3), keepdims=True), 1e-12)
    colours = np.vstack([class_colours(model.classes), [[0.4, 0.4, 0.4]]])[model.assignments.cpu().numpy()[chosen]]
    pictures = 1.0 - strength * (1.0 - colours[:, :, None, None])
    return contact_sheet(pictures, columns=round(len(chosen) ** 0.5), scale=scale)


def theta_histogram(theta: Tensor, *, bins: int = 30, size: tuple[int, int] = (360, 210)) -> str:
    """Return a histogram of the adaptive thresholds [N], in mV, as SVG."""
    require_finite("theta", theta)
    counts, edges = np.histogram(theta.detach().double().cpu().numpy(), require_whole("bins", bins))
    width, height = size
    left, bottom, top = 34.0, height - 40.0, 10.0
    step, tall = (width - left - 10.0) / bins, (bottom - top) / max(1, counts.max())
    parts = []
    for number in range(bins):
        x, high = left + (number + 0.5) * step, bottom - tall * counts[number]
        if counts[number]:
            parts.append(svg_line(x, bottom, x, high, stroke=ACCENT, width=max(1.0, step - 1)))
    span = max(edges[-1] - edges[0], 1e-12)
    for tick in nice_ticks(edges[0], edges[-1]):
        x = left + (tick - edges[0]) / span * step * bins
        parts.append(svg_text(x, bottom + 14, f"{tick:g}", anchor="middle"))
    for tick in nice_ticks(0, counts.max(), 4):
        parts.append(svg_text(left - 6, bottom - tall * tick + 4, f"{tick:g}", anchor="end"))
    parts.append(svg_text((left + width) / 2, height - 8, "theta, mV", anchor="middle"))
    said = f"Thresholds of {int(counts.sum())} neurons, {edges[0]:.1f} to {edges[-1]:.1f} mV"
    return svg_frame(width, height, said, parts)
