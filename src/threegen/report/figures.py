"""The drawings that only the report has: accuracy against cost, and the strip of an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from threegen.plots import INK, LINE, PAPER, svg_frame, svg_line, svg_text
from threegen.report.words import percent

MARKS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995, 0.998, 0.999)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """One model on the scatter: its cost, its accuracy with interval, its generation."""

    name: str
    cost: float
    accuracy: float
    interval: tuple[float, float]
    generation: int


def generation_colour(generation: int) -> str:
    """Return the accent of a generation."""
    fallback = {1: "#9a5b00", 2: "#1f5fa8", 3: "#94307a"}[generation]
    return f"var(--gen{generation},{fallback})"


def marker(generation: int, x: float, y: float, radius: float = 5.5) -> str:
    """Return a square, a circle or a triangle for generation 1, 2 or 3, so that they differ without colour."""
    style = f"fill:{generation_colour(generation)};stroke:{PAPER};stroke-width:1.5"
    if generation == 1:
        side = radius * 1.7
        corner = f'x="{x - side / 2:.1f}" y="{y - side / 2:.1f}"'
        return f'<rect {corner} width="{side:.1f}" height="{side:.1f}" style="{style}"/>'
    if generation == 2:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" style="{style}"/>'
    top, side = y - radius * 1.25, radius * 1.2
    return f'<path d="M{x:.1f} {top:.1f}l{side:.1f} {radius * 2.1:.1f}h{-2 * side:.1f}z" style="{style}"/>'


def cost_scatter(
    points: Sequence[Point],
    *,
    title: str,
    size: tuple[int, int] = (400, 320),
    x_label: str = "additions and multiplications for one picture",
) -> str:
    """Return accuracy against cost: cost on a log axis, accuracy on an axis stretched towards 100 % (log of errors)."""
    width, height = size
    left, top, right, bottom = 52.0, 12.0, width - 12.0, height - 44.0
    least_error = 0.0002
    errors = [max(least_error, 1 - bound) for point in points for bound in point.interval]
    high, low = math.log(max(errors) * 1.15), math.log(min(errors) / 1.25)
    costs = [math.log10(max(1.0, point.cost)) for point in points]
    first, last = min(costs) - 0.25, max(costs) + 0.25
    if last - first < 1.2:
        first, last = (first + last) / 2 - 0.6, (first + last) / 2 + 0.6

    def across(cost: float) -> float:
        return left + (math.log10(max(1.0, cost)) - first) / (last - first) * (right - left)

    def down(accuracy: float) -> float:
        return top + (math.log(max(least_error, 1 - accuracy)) - low) / (high - low) * (bottom - top)

    parts = []
    for share in MARKS:
        if top <= down(share) <= bottom:
            parts.append(svg_line(left, down(share), right, down(share)))
            parts.append(
                svg_text(
                    left - 7, down(share) + 4, percent(share, 0 if round(share * 1000) % 10 == 0 else 1), anchor="end"
                )
            )
    for power in range(math.ceil(first), math.floor(last) + 1):
        x, name = across(10.0**power), power_of_ten(power)
        parts.append(svg_line(x, bottom, x, bottom + 4) + svg_text(x, bottom + 17, name, anchor="middle"))
    parts.append(svg_line(left, bottom, right, bottom, stroke=LINE))
    parts.append(svg_text((left + right) / 2, height - 8, x_label, anchor="middle"))
    spots = [(across(point.cost), down(point.accuracy)) for point in points]
    for point, (x, y) in zip(points, spots, strict=True):
        colour = generation_colour(point.generation)
        parts.append(svg_line(x, down(point.interval[0]), x, down(point.interval[1]), stroke=colour, width=1.5))
        parts.append(marker(point.generation, x, y))
    bars = [
        (x - 2, down(one.interval[1]), x + 2, down(one.interval[0])) for one, (x, _) in zip(points, spots, strict=True)
    ]
    ticks = [(0.0, down(share) - 7, left - 4, down(share) + 7) for share in MARKS if top <= down(share) <= bottom]
    labels = place_labels([point.name for point in points], spots, bars, (2.0, 0.0, float(width), bottom), ticks)
    for point, (x, y), label in zip(points, spots, labels, strict=True):
        if abs(label.shift) > 20:  # far from its mark: a thin line leads to it
            parts.append(svg_line(x, y, label.at[0], label.at[1] - 4))
        parts.append(svg_text(*label.at, point.name, anchor=label.anchor, fill=INK, size=11.5))
    return svg_frame(width, height, title, parts)


@dataclass(frozen=True)
class Label:
    """The place of a text: its anchor point, its box (left, top, right, bottom), how far it was moved down."""

    at: tuple[float, float]
    box: Box
    anchor: str
    shift: float


def place_labels(
    texts: Sequence[str],
    spots: Sequence[tuple[float, float]],
    bars: Sequence[Box],
    inside: Box,
    taken: Sequence[Box] = (),
) -> list[Label]:
    """Return a place for each text beside its spot, so that texts do not cover each other or the marks.

    Args:
        texts: what is written, about 6.4 units per letter wide.
        spots: the centre of each mark.
        bars: other boxes to keep clear of if possible, such as intervals.
        inside: the box that all texts must stay in.
        taken: boxes of other texts.

    Texts are placed one after the other, then placed again with all others fixed, until none moves.
    """
    marks = [*taken, *((x - 7, y - 7, x + 7, y + 7) for x, y in spots)]
    chosen: list[Label | None] = [None] * len(texts)
    for _ in range(12):
        before = list(chosen)
        for number, (text, spot) in enumerate(zip(texts, spots, strict=True)):
            others = [one.box for place, one in enumerate(chosen) if one is not None and place != number]
            chosen[number] = min(_choices(text, spot), key=lambda one: _cost(one, [*others, *marks], bars, inside))
        if chosen == before:
            break
    return [one for one in chosen if one is not None]


def _choices(text: str, spot: tuple[float, float]) -> list[Label]:
    """Return the places for one label: right, left or across its spot, at several heights."""
    x, y = spot
    wide = 6.4 * len(text)
    found = []
    for shift in (0.0, -14.0, 14.0, -27.0, 27.0, -41.0, 41.0, -55.0, 55.0):
        base = y + 4 + shift
        for anchor, at, start in (
            ("start", x + 10, x + 10),
            ("end", x - 10, x - 10 - wide),
            ("middle", x, x - wide / 2),
        ):
            found.append(Label((at, base), (start, base - 10, start + wide, base + 3), anchor, shift))
    return found


def _cost(label: Label, hard: Sequence[Box], soft: Sequence[Box], inside: Box) -> float:
    box = label.box
    outside = max(0.0, inside[0] - box[0]) + max(0.0, box[2] - inside[2])
    outside += max(0.0, inside[1] - box[1]) + max(0.0, box[3] - inside[3])
    clash = 10 * sum(_overlap(box, other) for other in hard) + 0.5 * sum(_overlap(box, other) for other in soft)
    return clash + 500 * outside + abs(label.shift) * 0.5


def _overlap(one: Box, other: Box) -> float:
    return max(0.0, min(one[2], other[2]) - max(one[0], other[0])) * max(
        0.0, min(one[3], other[3]) - max(one[1], other[1])
    )


def power_of_ten(power: int) -> str:
    """Return `10 k` for 4, `1 M` for 6."""
    group = min(3, power // 3)
    return f"{10 ** (power - 3 * group)}" + ("", "\u00a0k", "\u00a0M", "\u00a0G")[group]


def interval_strip(point: Point, low: float, high: float, *, size: tuple[int, int] = (150, 14)) -> str:
    """Return one model's accuracy as a dot and its interval as a line, on an axis from `low` to `high`."""
    width, height = size

    def across(share: float) -> float:
        return 6 + (share - low) / (high - low) * (width - 12)

    middle = height / 2
    colour = generation_colour(point.generation)
    parts = [
        svg_line(6, middle, width - 6, middle),
        svg_line(across(point.interval[0]), middle, across(point.interval[1]), middle, stroke=colour, width=4),
        marker(point.generation, across(point.accuracy), middle, 4.5),
    ]
    title = f"{point.name}: {percent(point.accuracy)} on an axis from {percent(low, 0)} to {percent(high, 0)}"
    return svg_frame(width, height, title, parts)
