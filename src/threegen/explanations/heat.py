"""Large heat maps for slides, over the picture, with a colour bar; drawn by matplotlib without its global state."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from threegen.checks import did_you_mean, require_number
from threegen.errors import ConfigError
from threegen.plots import diverging_palette

Values = npt.NDArray[np.float32]
_DOTS = 100  # pixels per inch
_PANEL = 420  # pixels of a panel, if no scale is given
_LARGEST = 30_000  # pixels along one side of a file
_MOST = 6  # samples in a row
_INK = 0.45  # how dark a picture is under its map
_STRONGEST = 0.85  # opacity of the largest value over a picture


def heat_figure(
    title: str,
    images: Sequence[npt.NDArray[np.uint8] | None],
    maps: Sequence[Sequence[Values]],
    labels: Sequence[str],
    *,
    signed: bool,
    overlay: bool = False,
    scale: float | None = None,
    bar: bool = False,
    colormap: str | None = None,
) -> Any:
    """Return a matplotlib figure: one column per sample, its image [H, W, 3] above its maps [h, w], or under them.

    With `overlay` each map is drawn on its image, more opaque for larger values. `scale` is the size of a map's pixel
    on the screen (at 100 dots per inch), by default such that a panel is 420 wide; `bar` adds a colour bar with the
    map's own values, `colormap` is a matplotlib name. Raises `ConfigError`.
    """
    from matplotlib.figure import Figure

    palette = _palette(colormap, signed)
    high, wide = maps[0][0].shape
    if scale is not None:
        require_number("scale", scale, above=0.0)
        panel = (wide * scale / _DOTS, high * scale / _DOTS)
    else:
        panel = (_PANEL / _DOTS, _PANEL / _DOTS * min(3.0, max(0.15, high / wide)))
    pictured = images[0] is not None
    if overlay and not pictured:
        raise ConfigError(f"overlay draws a map over its picture, and {title!r} has none; leave it out")
    each = len(maps[0]) + (pictured and not overlay)
    columns = min(len(maps), _MOST)
    lines = -(-len(maps) // columns)
    extra = (1.1 if bar else 0.12, 0.12)  # inches beside and between the panels
    size = (columns * (panel[0] + extra[0]) + 0.3, lines * each * (panel[1] + extra[1]) + 0.3 * lines + 0.55)
    if max(size) * _DOTS > _LARGEST:
        raise ConfigError(
            f"{title!r} would be {max(size) * _DOTS:,.0f} pixels long, more than {_LARGEST:,}; "
            "use a smaller scale, or fewer samples"
        )
    figure = Figure(figsize=size, dpi=_DOTS, layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold")
    axes = figure.subplots(lines * each, columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for number, (image, own) in enumerate(zip(images, maps, strict=True)):
        row, column = number // columns * each, number % columns
        if number < len(labels):
            axes[row, column].set_title(labels[number], fontsize=12)
        shown = [one for one in (image,) if one is not None and not overlay]
        for place, picture in enumerate(shown):
            axes[row + place, column].imshow(picture, interpolation="nearest")
        for place, values in enumerate(own):
            _draw(
                figure, axes[row + len(shown) + place, column], values, image if overlay else None, palette, signed, bar
            )
    return figure


def _draw(
    figure: Any, axis: Any, values: Values, image: npt.NDArray[np.uint8] | None, palette: Any, signed: bool, bar: bool
) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    finite = np.nan_to_num(values.astype(np.float64))
    largest = float(np.abs(finite).max()) or 1.0
    low, most = (-largest, largest) if signed else (float(finite.min()), float(finite.max()))
    norm = Normalize(low, most if most > low else low + 1.0)
    painted = palette(norm(finite))
    bounds = None
    if image is not None:
        height, width = image.shape[:2]
        bounds = (-0.5, width - 0.5, height - 0.5, -0.5)
        # paler, so that colours are visible on black ink
        pale = np.round(255 - (255.0 - image) * _INK).astype(np.uint8)
        axis.imshow(pale, interpolation="nearest")
        strength = np.abs(finite) / largest if signed else np.asarray(norm(finite))
        painted[..., 3] = _STRONGEST * strength
    axis.imshow(painted, interpolation="nearest", extent=bounds, aspect="auto" if image is None else "equal")
    if bar:
        figure.colorbar(ScalarMappable(norm, palette), ax=axis, fraction=0.05, pad=0.02)


def _palette(name: str | None, signed: bool) -> Any:
    import matplotlib
    from matplotlib.colors import ListedColormap

    if name is None:
        entries = diverging_palette() / 255.0
        return ListedColormap(entries if signed else entries[128:])
    if not isinstance(name, str) or name not in matplotlib.colormaps:
        known = sorted(matplotlib.colormaps)
        raise ConfigError(
            f"colormap {name!r} is not one of matplotlib's{did_you_mean(name, known)}; for example viridis, magma, "
            f"RdBu_r"
        )
    return matplotlib.colormaps[name]


def figure_bytes(figure: Any, kind: str) -> bytes:
    """Return a figure as a file of `kind` (.png, .svg or .pdf): the same bytes for the same numbers."""
    import matplotlib

    stamp = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind)
    written = BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "threegen", "svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(written, format=kind[1:], dpi=_DOTS, metadata=stamp)
    return written.getvalue()
