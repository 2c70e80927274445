"""The result of a method: a tensor that can be drawn. Images are drawn above their maps; a column is one sample."""

from __future__ import annotations

import copy
import os
import tempfile
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from threegen.errors import ConfigError, ResourceError
from threegen.explanations.heat import figure_bytes, heat_figure
from threegen.machine.torch_private import plain_results
from threegen.plots import data_uri, diverging_palette, escape, png, svg_frame, svg_text

_GAP = 4  # pixels between tiles
_TILE, _SLIDE = 84, 336  # pixels of a tile in a sheet of many, and of a few
_MOST_PLANES = 16  # planes of a layer that are drawn, each as a tile


def _place(path: str | Path) -> Path:
    if not isinstance(path, str | os.PathLike):
        raise ConfigError(f"a picture is saved to a path, got {path!r}")
    return Path(path)


class Picture:
    """Something that `.show()` and `.save()` can draw: it defines `_svg()` and, if possible, `_png()`."""

    def save(self, path: str | Path) -> Path:
        """Write the picture to a `.png` or `.svg` file and return its path; a folder that is missing is made.

        Raises `ConfigError` for other names, `ResourceError` if the file cannot be written.
        """
        target = _place(path)
        kind = target.suffix.lower()
        if kind == ".svg":
            # a file of its own cannot inherit a font from a page
            self._write(target, self._svg().replace("font-family:inherit", "font-family:system-ui,sans-serif").encode())
        elif kind == ".png":
            self._write(target, self._png())
        else:
            raise ConfigError(f"a picture is written as .png or .svg, got {target.name!r}; use one of these endings")
        return target

    @staticmethod
    def _write(target: Path, content: bytes) -> None:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        except OSError as problem:
            reason = problem.strerror or problem
            raise ResourceError(f"the picture {target} cannot be written: {reason}; choose another place") from problem

    def show(self) -> Path:
        """Write the picture to a temporary SVG file, open it in the browser and return its path."""
        folder = Path(tempfile.mkdtemp(prefix="threegen-"))
        target = self.save(folder / "picture.svg")
        webbrowser.open(target.as_uri())
        return target

    def _repr_svg_(self) -> str:
        return self._svg()

    def _svg(self) -> str:
        raise NotImplementedError(f"{type(self).__name__} must write _svg")

    def _png(self) -> bytes:
        raise ConfigError(f"{type(self).__name__} is a drawing; save it as .svg")


class Maps(Tensor, Picture):
    """A tensor of maps, one per sample: `[B, ...]`. Arithmetic on it gives plain tensors.

    `images` are the samples it explains (or None), `title` its name, `labels` one text per sample, `facts` are further
    tensors and numbers by name, also readable as attributes.
    """

    images: Tensor | None
    title: str
    labels: Sequence[str]
    signed: bool
    facts: dict[str, Any]
    samples_at: int  # the axis of the samples
    # No override of torch's functions: a result of arithmetic is a plain tensor, not a map.
    __torch_function__ = plain_results

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}; its facts are {', '.join(facts) or 'none'}")

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        plain = self.detach().as_subclass(Tensor)
        span = f", {float(plain.min()):.3g} to {float(plain.max()):.3g}" if plain.numel() and not plain.is_meta else ""
        facts = f"; {', '.join(self.facts)}" if self.__dict__.get("facts") else ""
        return f"{self.__dict__.get('title', 'Maps')}: maps {list(self.shape)}{span}{facts}"

    def _repr_html_(self) -> str:
        said = escape(repr(self).partition(";")[0])
        return f"<figure>{self._svg()}<figcaption>{said}</figcaption></figure>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Maps:
        copied = self.detach().as_subclass(Tensor).clone().as_subclass(Maps)
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuilt, (self.detach().as_subclass(Tensor), dict(self.__dict__))

    def with_samples_at(self, axis: int) -> Maps:
        """Return the maps with their samples along another axis, as a model that takes time first gets its input."""
        moved = self.detach().as_subclass(Tensor).movedim(0, axis).as_subclass(Maps)
        images = None if self.images is None else self.images.movedim(0, axis)
        moved.__dict__.update(self.__dict__ | {"images": images, "samples_at": axis})
        return moved

    def scaled(self) -> Tensor:
        """Return the maps stretched to 0..1, each sample by its own smallest and largest value."""
        first = self.detach().as_subclass(Tensor).movedim(self.samples_at, 0)
        flat = first.flatten(1)
        low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        return ((flat - low) / (high - low).clamp_min(1e-12)).reshape(first.shape).movedim(0, self.samples_at)

    def save(
        self,
        path: str | Path,
        *,
        overlay: bool = False,
        scale: float | None = None,
        bar: bool = False,
        colormap: str | None = None,
    ) -> Path:
        """Write the maps to a `.png`, `.svg` or `.pdf` file and return its path; a folder that is missing is made.

        With none of the options, a sheet of small tiles. `overlay` draws each map over its picture; `scale` is the size
        of a map's pixel in pixels of the file; `bar` adds a colour bar; `colormap` is a matplotlib name such as
        "viridis". With any of them, or as a PDF, it is a figure of the size of a slide (see `figure`). Raises
        `ConfigError` for other names and invalid options, `ResourceError` if it cannot be written.
        """
        target = _place(path)
        kind = target.suffix.lower()
        if kind not in (".png", ".svg", ".pdf"):
            raise ConfigError(f"maps are written as .png, .svg or .pdf, got {target.name!r}; use one of these endings")
        if kind != ".pdf" and not (overlay or bar) and scale is None and colormap is None:
            return super().save(target)
        content = figure_bytes(self.figure(overlay=overlay, scale=scale, bar=bar, colormap=colormap), kind)
        self._write(target, content)
        return target

    def figure(
        self, *, overlay: bool = False, scale: float | None = None, bar: bool = False, colormap: str | None = None
    ) -> Any:
        """Return the maps as a matplotlib figure, to add to or to save (see `heat.heat_figure`)."""
        images, maps = self._tiles()
        inked = [None if one is None else _ink(one) for one in images]
        return heat_figure(
            self.title,
            inked,
            maps,
            self.labels,
            signed=self.signed,
            overlay=overlay,
            scale=scale,
            bar=bar,
            colormap=colormap,
        )

    def _tiles(self) -> tuple[list[Tensor | None], list[list[npt.NDArray[np.float32]]]]:
        """Return each sample's image [C, H, W], or None, and its maps as numbers [h, w]."""
        values = self.detach().as_subclass(Tensor).float().cpu().movedim(self.samples_at, 0)
        if values.dim() < 3:
            values = values.reshape(len(values), 1, 1, -1)
        elif values.dim() == 3:
            values = values.unsqueeze(1)
        if self.facts.get("planes") and values.dim() == 4:
            tiles = values[:, :_MOST_PLANES]
        elif self.facts.get("volume"):
            slices = np.linspace(0, values.shape[-3] - 1, min(values.shape[-3], _MOST_PLANES)).round().astype(int)
            tiles = values.flatten(1, -4).sum(1)[:, slices.tolist()]
        elif values.dim() == 4:
            tiles = values.sum(1, keepdim=True)  # channels are summed
        else:
            tiles = values.flatten(1, -4).sum(-3)  # [B, T, C, H, W]: one tile per step
        if tiles.shape[-2] == 1:  # a line is drawn as a strip
            tiles = tiles.expand(*tiles.shape[:-2], max(1, tiles.shape[-1] // 8), -1)
        images = self.images
        pictured = images is not None and images.dim() == 4 and images.shape[1] in (1, 3)
        shown: list[Tensor | None] = (
            list(images.float().cpu()) if images is not None and pictured else [None] * len(tiles)
        )
        return shown, [list(sample) for sample in tiles.numpy()]

    def _columns(self) -> list[list[npt.NDArray[np.uint8]]]:
        """Return the tiles `[H, W, 3]` of each sample: its image if there is one, then its maps."""
        values = self.detach().as_subclass(Tensor).float().cpu()
        if self.facts.get("colours") and values.dim() == 4 and values.shape[1] == 3:
            return [[_ink(one)] for one in values]
        images, maps = self._tiles()
        rows = [[_coloured(one, self.signed) for one in sample] for sample in maps]
        return [own if one is None else [_ink(one), *own] for one, own in zip(images, rows, strict=True)]

    def _blocks(self) -> tuple[list[npt.NDArray[np.uint8]], int, int]:
        """Return sheets `[H, W, 3]` of at most ten samples each, the samples per sheet, and the width of a column."""
        columns = self._columns()
        most = len(columns) if len(columns) <= 12 else 10
        tall = max(one.shape[0] for one in columns[0])
        wide = max(one.shape[1] for one in columns[0])
        scale = max(1, round((_SLIDE if len(columns) <= 3 and len(columns[0]) <= 3 else _TILE) / wide))
        high, broad = tall * scale + _GAP, wide * scale + _GAP
        sheets = []
        for start in range(0, len(columns), most):
            part = columns[start : start + most]
            sheet = np.full((len(part[0]) * high - _GAP, most * broad - _GAP, 3), 255, dtype=np.uint8)
            for number, column in enumerate(part):
                for row, tile in enumerate(column):
                    factor = max(1, min((high - _GAP) // tile.shape[0], (broad - _GAP) // tile.shape[1]))
                    large = tile.repeat(factor, 0).repeat(factor, 1)
                    y, x = row * high, number * broad
                    sheet[y : y + large.shape[0], x : x + large.shape[1]] = large
            sheets.append(sheet)
        return sheets, most, broad

    def _png(self) -> bytes:
        sheets, _, _ = self._blocks()
        between = np.full((_GAP, sheets[0].shape[1], 3), 255, dtype=np.uint8)
        stacked = [part for sheet in sheets for part in (sheet, between)][:-1]
        return png(np.concatenate(stacked))

    def _svg(self) -> str:
        sheets, most, broad = self._blocks()
        parts, top = [svg_text(0, 14, self.title, weight=600)], 20.0
        for number, sheet in enumerate(sheets):
            names = self.labels[number * most : (number + 1) * most]
            parts += [svg_text(place * broad, top + 11, name, size=10) for place, name in enumerate(names)]
            top += 15 if self.labels else 4
            height, width = sheet.shape[:2]
            parts.append(image_element(png(sheet), 0, top, width, height))
            top += height
        return svg_frame(max(sheets[0].shape[1], 8.0 * len(self.title)), top + 2, self.title, parts)


def make_maps(
    values: Tensor,
    title: str,
    *,
    images: Tensor | None = None,
    labels: Sequence[str] = (),
    signed: bool = True,
    **facts: Any,
) -> Maps:
    """Return `values` [B, ...] as `Maps`."""
    maps = values.detach().as_subclass(Maps)
    shown = None if images is None else images.detach()
    # setattr is slow
    maps.__dict__.update(images=shown, title=title, labels=tuple(labels), signed=signed, facts=facts, samples_at=0)
    return maps


def _rebuilt(values: Tensor, attributes: dict[str, Any]) -> Maps:
    maps = values.as_subclass(Maps)
    maps.__dict__.update(attributes)
    return maps


def image_element(picture: bytes, x: float, y: float, width: float, height: float) -> str:
    """Return an SVG `<image>` of PNG bytes whose pixels stay sharp."""
    return (
        f'<image x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" href="{escape(data_uri(picture))}" '
        f'style="image-rendering:pixelated"/>'
    )


def _coloured(values: npt.NDArray[np.float32], signed: bool) -> npt.NDArray[np.uint8]:
    """Return `[H, W]` in diverging colours around zero, or, if not signed, from white to dark orange."""
    finite = np.nan_to_num(values.astype(np.float64))
    if not signed:
        low, high = finite.min(), finite.max()
        finite = (finite - low) / ((high - low) or 1.0)
    largest = np.abs(finite).max() or 1.0
    entries = np.clip(128.0 + 127.0 * finite / largest, 0.0, 255.0).round().astype(np.uint8)
    coloured: npt.NDArray[np.uint8] = diverging_palette()[entries]
    return coloured


def _ink(image: Tensor) -> npt.NDArray[np.uint8]:
    """Return an image `[C, H, W]` as `[H, W, 3]`: colours as they are, one channel as dark ink on paper."""
    low, high = float(image.min()), float(image.max())
    unit = image if low >= 0.0 and high <= 1.0 else (image - low) / max(high - low, 1e-12)
    if len(unit) == 1:
        unit = (1.0 - unit).expand(3, -1, -1)
    pixels: npt.NDArray[np.uint8] = (unit * 255.0).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return pixels
