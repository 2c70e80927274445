"""Charts as SVG text and pictures as PNG bytes: pure functions, the same bytes for the same numbers.

SVG text inherits its colours from the page through the CSS variables `--ink`, `--soft`, `--line`, `--paper` and
`--accent`; the values after the comma apply outside a page. Lengths are in SVG user units, about one pixel.
"""

from __future__ import annotations

import base64
import html
import itertools
import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from threegen.checks import require_whole
from threegen.errors import DataError, ShapeError

Array = npt.NDArray[np.generic]

INK = "var(--ink,#1d1c1a)"
SOFT = "var(--soft,#6b6862)"
LINE = "var(--line,#dcd8d0)"
PAPER = "var(--paper,#fffefb)"
ACCENT = "var(--accent,#1f5fa8)"


# -- numbers and text ------------------------------------------------------------------------------------------------


def escape(text: object) -> str:
    """Return `text` safe inside HTML and SVG, attributes too."""
    return html.escape(str(text), quote=True)


def html_table(rows: Sequence[Mapping[Any, object]], title: str = "", *, most: int = 100) -> str:
    """Return rows of plain values as an HTML table for notebooks; at most the last `most` rows are shown."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_shown(row.get(name, str())))}</td>' for name in names)}</tr>"
        for row in rows[-most:]
    )
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers (1, 2 or 5 times a power of ten apart) within `low..high`."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(f"an axis needs finite bounds, got {low!r} to {high!r}")
    if high <= low:
        return [low]
    rough = (high - low) / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1.0, 2.0, 5.0, 10.0) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _number(value: float) -> str:
    """Return a coordinate with at most two decimals and no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def svg_text(
    x: float, y: float, text: object, *, size: float = 11, anchor: str = "start", fill: str = SOFT, weight: int = 400
) -> str:
    """Return one `<text>` element."""
    heavy = f";font-weight:{weight}" if weight != 400 else ""
    return (
        f'<text x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}" '
        f'style="font-size:{size:g}px;fill:{fill}{heavy}">{escape(text)}</text>'
    )


def svg_line(
    x1: float, y1: float, x2: float, y2: float, *, stroke: str = LINE, width: float = 1, dash: str = ""
) -> str:
    """Return one `<line>` element."""
    dashed = f";stroke-dasharray:{dash}" if dash else ""
    return (
        f'<line x1="{_number(x1)}" y1="{_number(y1)}" x2="{_number(x2)}" y2="{_number(y2)}" '
        f'style="stroke:{stroke};stroke-width:{width:g}{dashed}"/>'
    )


def svg_frame(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """Return a whole `<svg>`: scalable, with `title` as its accessible name."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_number(width)} {_number(height)}" '
        f'width="{_number(width)}" height="{_number(height)}" role="img" aria-label="{escape(title)}" '
        f'style="font-family:inherit">{"".join(parts)}</svg>'
    )


def _finite(what: str, values: Array | Sequence[float]) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise DataError(f"{what} has {int((~np.isfinite(numbers)).sum()):,} non-finite values; leave them out first")
    return numbers


# -- charts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Series:
    """One line of a chart: its name, its points, its colour; `marks` draws a dot on each point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str = ACCENT
    marks: bool = True
    dash: str = ""


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "",
    y_format: str = "{:g}",
    y_range: tuple[float, float] | None = None,
    level: tuple[float, str] | None = None,
    whole_x: bool = True,
    size: tuple[int, int] = (360, 210),
) -> str:
    """Return lines over a shared axis, each labelled at its right end; `level` is a dashed line with a label.

    Raises `DataError` for no points or for values that are not finite, `ShapeError` for x and y of unequal length.
    """
    if not series or not any(len(one.x) for one in series):
        raise DataError(f"{title}: a line chart needs at least one point")
    for one in series:
        if len(one.x) != len(one.y):
            raise ShapeError(f"{title}: {one.name} has {len(one.x)} x values and {len(one.y)} y values")
    xs = np.concatenate([_finite(f"{title}: {one.name} x", one.x) for one in series])
    ys = np.concatenate([_finite(f"{title}: {one.name} y", one.y) for one in series])
    low, high = y_range or _padded(float(ys.min()), float(ys.max()), level)
    width, height = size
    labels = max((len(one.name) for one in series), default=0) * 6.0 if len(series) > 1 else 0.0
    y_ticks = nice_ticks(low, high)
    left = 12 + 6.2 * max(len(y_format.format(tick)) for tick in y_ticks)
    box = (left, 10.0, width - 14 - labels, height - (34.0 if x_label else 22.0))
    x_low, x_high = float(xs.min()), float(xs.max())

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return box[0] + 8 + across * (box[2] - box[0] - 16), box[3] - (y - low) / (high - low) * (box[3] - box[1])

    parts = [svg_line(box[0], place(0, tick)[1], box[2], place(0, tick)[1]) for tick in y_ticks]
    parts += [svg_text(box[0] - 6, place(0, tick)[1] + 4, y_format.format(tick), anchor="end") for tick in y_ticks]
    for tick in nice_ticks(x_low, x_high, 5):
        if not whole_x or tick == int(tick):
            parts.append(svg_text(place(tick, low)[0], box[3] + 16, f"{tick:g}", anchor="middle"))
    if x_label:
        parts.append(svg_text((box[0] + box[2]) / 2, height - 3, x_label, anchor="middle"))
    if level is not None:
        parts.append(svg_line(box[0], place(0, level[0])[1], box[2], place(0, level[0])[1], stroke=SOFT, dash="4 3"))
        parts.append(svg_text(box[2] - 2, place(0, level[0])[1] - 4, level[1], anchor="end"))
    parts += [_polyline([place(x, y) for x, y in zip(one.x, one.y, strict=True)], one) for one in series]
    if len(series) > 1:
        ends = _spread([place(one.x[-1], one.y[-1])[1] for one in series], 13.0)
        parts += [svg_text(box[2] + 6, y + 4, one.name, fill=one.colour) for one, y in zip(series, ends, strict=True)]
    return svg_frame(width, height, title, parts)


def _padded(low: float, high: float, level: tuple[float, str] | None) -> tuple[float, float]:
    if level is not None:
        low, high = min(low, level[0]), max(high, level[0])
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return (0.0 if 0.0 <= low < (high - low) else low - room), high + room


def _polyline(points: Sequence[tuple[float, float]], one: Series) -> str:
    path = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    dashed = f";stroke-dasharray:{one.dash}" if one.dash else ""
    style = f"fill:none;stroke:{one.colour};stroke-width:2;stroke-linejoin:round{dashed}"
    line = f'<polyline points="{path}" style="{style}"/>'
    dots = "".join(
        f'<circle cx="{_number(x)}" cy="{_number(y)}" r="3" style="fill:{one.colour};stroke:{PAPER};stroke-width:1"/>'
        for x, y in points
    )
    return line + (dots if one.marks and len(points) <= 40 else "")


def _spread(positions: Sequence[float], apart: float) -> list[float]:
    """Push label positions down until each is `apart` from the one above it; the order stays."""
    placed = list(positions)
    order = sorted(range(len(placed)), key=lambda number: placed[number])
    for above, below in itertools.pairwise(order):
        placed[below] = max(placed[below], placed[above] + apart)
    return placed


def heat_table(counts: Array, labels: Sequence[str], *, title: str, size: int = 360) -> str:
    """Return a confusion matrix `[K, K]` as cells: rows are the truth, columns the answers.

    Right answers are outlined and show their count. Mistakes are shaded by the square root of their share of the row,
    so that rare ones stay visible. Empty cells stay empty. With more than 20 classes the numbers are left out.
    """
    table = np.asarray(counts)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or len(labels) != len(table):
        raise ShapeError(f"{title}: a heat table takes [K, K] counts and K labels, got {table.shape}, {len(labels)}")
    classes = len(table)
    left, top = 36.0 + 5.2 * max(0, max(len(label) for label in labels) - 1), 34.0
    cell = (size - left - 4) / classes
    font = min(11.0, cell * 0.36)
    wrong = np.where(np.eye(classes, dtype=bool), 0, table)
    most = max(1.0, float(wrong.max()))
    parts = [svg_text(left + cell * classes / 2, 11, "answer", anchor="middle")]
    middle = top + cell * classes / 2
    turned = f"rotate(-90 11 {_number(middle)})"
    parts.append(f'<g transform="{turned}">{svg_text(11, middle, "truth", anchor="middle")}</g>')
    for row, label in enumerate(labels):
        parts.append(svg_text(left + (row + 0.5) * cell, top - 7, label, anchor="middle", fill=INK))
        parts.append(svg_text(left - 7, top + (row + 0.5) * cell + 4, label, anchor="end", fill=INK))
        for column in range(classes):
            count, x, y = int(table[row, column]), left + column * cell, top + row * cell
            shade = 0.08 if row == column else 0.92 * math.sqrt(count / most)
            parts.append(
                f'<rect x="{_number(x + 0.75)}" y="{_number(y + 0.75)}" width="{_number(cell - 1.5)}" '
                f'height="{_number(cell - 1.5)}" rx="2" style="fill:{ACCENT if row == column or count else SOFT};'
                f'fill-opacity:{_number(shade if count else 0.05)}"/>'
            )
            if count and classes <= 20:
                dark = shade > 0.74
                fill = PAPER if dark else INK
                middle_y = y + cell / 2 + font * 0.36
                parts.append(
                    svg_text(
                        x + cell / 2,
                        middle_y,
                        count,
                        size=font,
                        anchor="middle",
                        fill=fill,
                        weight=600 if dark else 400,
                    )
                )
    return svg_frame(size, top + cell * classes + 4, title, parts)


def raster(
    spikes: npt.NDArray[np.bool_],
    *,
    title: str,
    labels: Sequence[str] = (),
    most_rows: int = 100,
    size: tuple[int, int] = (360, 0),
) -> str:
    """Return spikes `[T, N]` as ticks: time runs to the right, one row per neuron, each row's spike count at its end.

    With more than `most_rows` neurons, that many are drawn, evenly spaced (`shown_rows` says which). Counts are written
    only for rows that have `labels`.
    """
    fired = np.asarray(spikes, dtype=bool)
    if fired.ndim != 2 or 0 in fired.shape:
        raise ShapeError(f"{title}: a raster takes spikes [T, N], got {fired.shape}")
    rows = shown_rows(fired.shape[1], most_rows)
    named = len(labels) == fired.shape[1] == len(rows)
    pitch = 15.0 if named else max(2.0, min(6.0, 200.0 / len(rows)))
    left, right = (12 + 6.0 * max(len(label) for label in labels), 34.0) if named else (8.0, 8.0)
    width, height = size[0], size[1] or int(36 + pitch * len(rows))
    step = (width - left - right) / len(fired)
    bottom = pitch * len(rows) + 4
    parts = []
    for tick in {1, len(fired), *(int(number) for number in nice_ticks(1, len(fired), 5) if number == int(number))}:
        if tick in (1, len(fired)) or tick < len(fired) - len(fired) // 8:
            x = left + (tick - 0.5) * step
            parts.append((tick, svg_line(x, 2, x, bottom) + svg_text(x, bottom + 13, tick, anchor="middle")))
    drawn = [part for _, part in sorted(parts)]
    drawn.append(svg_text((left + width - right) / 2, bottom + 28, "time step", anchor="middle"))
    half = max(0.6, min(step * 0.32, 7.0 if named else 4.0))
    tall = max(1.2, min(pitch * 0.62, 5.0))
    moves = []
    for row, neuron in enumerate(rows):
        y = 4 + (row + 0.5) * pitch
        for when in np.flatnonzero(fired[:, neuron]):
            moves.append(f"M{_number(left + (when + 0.5) * step - half)} {_number(y)}h{_number(2 * half)}")
        if named:
            total = int(fired[:, neuron].sum())
            drawn.append(svg_text(left - 8, y + 4, labels[neuron], anchor="end", fill=INK))
            drawn.append(svg_text(width - right + 8, y + 4, total, fill=INK if total else SOFT))
    drawn.append(f'<path d="{"".join(moves)}" style="fill:none;stroke:{ACCENT};stroke-width:{_number(tall)}"/>')
    return svg_frame(width, height, title, drawn)


def shown_rows(neurons: int, most: int) -> list[int]:
    """Return the numbers of the neurons that a raster draws: all of them, or `most` evenly spaced ones."""
    return sorted({int(number) for number in np.linspace(0, neurons - 1, min(neurons, most)).round()})


# -- pictures --------------------------------------------------------------------------------------------------------


def png(pixels: npt.NDArray[np.uint8], palette: npt.NDArray[np.uint8] | None = None) -> bytes:
    """Return a PNG of grey `[H, W]`, colour `[H, W, 3]` or, with a `palette [256, 3]`, indexed `[H, W]` bytes."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ShapeError(f"a PNG takes uint8 [H, W] or [H, W, 3], got {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    kind = 3 if palette is not None else 2 if pixels.ndim == 3 else 0
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    colours = chunk(b"PLTE", palette.astype(np.uint8).tobytes()) if palette is not None else b""
    return b"\x89PNG\r\n\x1a\n" + head + colours + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b"")


def data_uri(picture: bytes) -> str:
    """Return PNG bytes as a data URI for use inside a page."""
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def diverging_palette() -> npt.NDArray[np.uint8]:
    """Return 256 colours: deep blue (negative), near white (zero, entry 128), deep orange (positive)."""
    stops = np.array([[22, 66, 122], [92, 148, 200], [246, 244, 239], [226, 138, 66], [138, 58, 8]], dtype=float)
    position = np.interp(np.arange(256), [0, 64, 128, 192, 255], np.arange(5))
    return np.stack([np.interp(position, np.arange(5), stops[:, c]) for c in range(3)], 1).round().astype(np.uint8)


def ink_picture(image: Array) -> bytes:
    """Return an image `[H, W]` in 0..1 as a grey PNG, dark ink on white paper."""
    return png(_to_bytes(1.0 - np.clip(_finite("the image", image), 0.0, 1.0)))


def weight_picture(weights: Array, scale: float | None = None) -> bytes:
    """Return weights `[h, w]` in diverging colours; `scale` is the largest magnitude (by default their own)."""
    return png(_to_signed_bytes(_finite("the weights", weights), scale), diverging_palette())


def contact_sheet(
    pictures: Array, *, columns: int = 10, scale: int = 1, gap: int = 2, diverging: bool = False
) -> bytes:
    """Return `[n, h, w]` (or colour `[n, 3, h, w]`) as one PNG, row by row, `columns` per row, each pixel drawn `scale`
    pixels wide.

    Values are grey levels in 0..1 on a white ground, or, with `diverging`, signed weights in diverging colours, each
    picture scaled to its own largest magnitude.
    """
    columns, scale = require_whole("columns", columns), require_whole("scale", scale)
    gap = require_whole("gap", gap, least=0)
    values = _finite("the pictures", pictures)
    if values.ndim not in (3, 4) or (values.ndim == 4 and (values.shape[1] != 3 or diverging)) or not len(values):
        raise ShapeError(f"a contact sheet takes [n, h, w] or colours [n, 3, h, w], got {values.shape}")
    if diverging:
        tiles = np.stack([_to_signed_bytes(one, None) for one in values])
    else:
        tiles = _to_bytes(np.clip(values, 0.0, 1.0))
    if tiles.ndim == 4:
        tiles = tiles.transpose(0, 2, 3, 1)
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    lines = -(-count // columns)
    shape = (lines * (height + gap) - gap, columns * (width + gap) - gap, *tiles.shape[3:])
    sheet = np.full(shape, 128 if diverging else 255, dtype=np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // columns * (height + gap), number % columns * (width + gap)
        sheet[y : y + height, x : x + width] = tile
    return png(sheet, diverging_palette() if diverging else None)


def _to_bytes(values: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    return (values * 255.0).round().astype(np.uint8)


def _to_signed_bytes(values: npt.NDArray[np.float64], scale: float | None) -> npt.NDArray[np.uint8]:
    largest = float(np.abs(values).max()) if scale is None else scale
    return np.clip(128.0 + 127.0 * values / (largest or 1.0), 0.0, 255.0).round().astype(np.uint8)
