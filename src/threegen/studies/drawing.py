"""Drawings of the studies by matplotlib, without its global state; each is saved as PNG and as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLOURS = ("#16427a", "#d9722e", "#2f8f6b", "#8a3ab0", "#7a7f87", "#c23b4b", "#5c94c8", "#b8941f")


def panels(
    rows: int = 1, columns: int = 1, *, width: float = 4.6, height: float = 3.3, many: bool = False
) -> tuple[Any, list[Any]]:
    """Return a figure and its `rows * columns` axes, row by row; sizes of one panel in inches.

    `many` uses fixed even spacing: fitting the space to dozens of labels takes seconds.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout=None if many else "constrained")
    if many:
        figure.subplots_adjust(left=0.03, right=0.99, bottom=0.02, top=0.98, wspace=0.12, hspace=0.55)
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def save(figure: Any, folder: Path, name: str) -> list[str]:
    """Write a figure as `NAME.png` and `NAME.svg` into `folder`; return both names."""
    import matplotlib

    names = [f"{name}.png", f"{name}.svg"]
    with matplotlib.rc_context({"svg.hashsalt": "threegen", "svg.fonttype": "none"}):
        figure.savefig(folder / names[0], dpi=110)
        figure.savefig(folder / names[1], metadata={"Date": None})
    return names


def lines(
    axis: Any,
    curves: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    x: Sequence[float] | None = None,
    across: str = "",
    up: str = "",
    log: bool = False,
    marker: str = "",
) -> None:
    """Draw named curves over the places `x` (by default 1, 2, 3, ...), with a legend; may be called again."""
    for number, (name, values) in enumerate(curves.items(), start=len(axis.lines)):
        places = list(x) if x is not None else list(range(1, len(values) + 1))
        axis.plot(
            places[: len(values)],
            values,
            label=name,
            color=COLOURS[number % len(COLOURS)],
            linewidth=1.5,
            marker=marker or None,
            markersize=3.5,
        )
    dress(axis, title=title, across=across, up=up)
    if log:
        axis.set_yscale("log")
    axis.legend(fontsize=8, frameon=False)


def bars(axis: Any, values: Mapping[str, float], *, title: str = "", up: str = "") -> None:
    """Draw one bar per name, its number above it."""
    drawn = axis.bar(list(values), list(values.values()), color=[COLOURS[i % len(COLOURS)] for i in range(len(values))])
    axis.bar_label(drawn, fmt="%.3g", fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    dress(axis, title=title, up=up)


def dress(axis: Any, *, title: str = "", across: str = "", up: str = "") -> None:
    """Give an axis its title and labels."""
    axis.set_title(title, fontsize=10, loc="left")
    axis.set_xlabel(across, fontsize=9)
    axis.set_ylabel(up, fontsize=9)
