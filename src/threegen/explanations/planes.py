"""Planes: the result of a layer over one, two or three axes of space, [B, C, L], [B, C, H, W] or [B, C, D, H, W].

In this module planes are [B, T, C, P] with P places; `space` is the spatial shape of the places.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.errors import ConfigError
from threegen.explanations.places import is_planes, last_planes
from threegen.explanations.subject import Spot, Subject

Reshape = tuple[int, ...] | Callable[[Tensor], Tensor] | None
_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def default_spot(subject: Subject, x: Tensor) -> Spot:
    """Return the default layer of Grad-CAM; it is looked up once for each shape of samples."""
    key = ("planes", tuple(x.shape[1:]), x.dtype, x.device)
    if key not in subject.kept:
        node = last_planes(subject.trace(subject.samples(x)))
        if node is None:
            raise ConfigError(
                f"grad_cam needs a layer whose result is planes, and {subject.name} has none"
                + subject.advice(x, "saliency", "occlusion")
            )
        subject.kept[key] = subject.spot(node, x)
    found: Spot = subject.kept[key]
    return found


def planes_of(
    kept: list[Tensor], batch: int, spot: Spot, subject: Subject, x: Tensor, reshape: Reshape = None
) -> tuple[Tensor, tuple[int, ...]]:
    """Return a layer's results as [B, T, C, P], and their spatial shape; T counts its calls, or the steps of one
    call."""
    steps = 1 if kept[0].dim() == 4 and len(kept) == 1 and len(kept[0]) == batch else subject.trace(x).steps
    found = []
    for one in kept:
        one = _tokens(one, batch, reshape, spot) if reshape is not None else one
        if steps > 1 and one.dim() > 3 and one.shape[:2] == (steps, batch) and not (one.dim() == 4 and steps == batch):
            found.append(one.movedim(1, 0))
        elif 3 <= one.dim() <= 5 and len(one) == batch:
            found.append(one.unsqueeze(1))
        elif steps > 1 and 3 <= one.dim() <= 5 and len(one) == steps * batch:
            found.append(one.reshape(steps, batch, *one.shape[1:]).movedim(1, 0))
        else:
            raise ConfigError(
                f"the layer {spot.label!r} returns {list(one.shape)}, not planes [B, C, ...]; layers with planes: "
                f"{', '.join(n.label for n in subject.trace(x).nodes if is_planes(n)) or 'none'}"
            )
    planes = torch.cat(found, 1) if len(found) > 1 else found[0]
    return planes.flatten(3), tuple(planes.shape[3:])


def _tokens(values: Tensor, batch: int, reshape: Reshape, spot: Spot) -> Tensor:
    """Return tokens [B, N, C] (or [N, B, C]) as planes [B, C, ...]: leading ones, such as the class token, are left
    out."""
    if callable(reshape):
        made = reshape(values)
        if not isinstance(made, Tensor) or not 3 <= made.dim() <= 5 or len(made) != batch:
            found = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise ConfigError(
                f"reshape must turn {list(values.shape)} into planes [{batch}, C, ...], it returned {found}"
            )
        return made
    space = tuple(reshape) if isinstance(reshape, list | tuple) else ()
    if values.dim() == 3 and len(values) != batch and values.shape[1] == batch:
        values = values.movedim(1, 0)
    places = math.prod(space)
    if values.dim() != 3 or len(values) != batch or not 1 <= len(space) <= 3 or values.shape[1] < places:
        raise ConfigError(
            f"reshape={reshape!r} takes tokens [B, at least {places}, C], the layer {spot.label!r} returns "
            f"{list(values.shape)}; give the tokens' rows and columns, or a function that returns planes [B, C, ...]"
        )
    return values[:, -places:].movedim(1, 2).reshape(batch, -1, *space)


def resized(values: Tensor, space: tuple[int, ...], x: Tensor, subject: Subject, mode: str | None = None) -> Tensor:
    """Return maps [B, T, P] as [B, T, ...] at the size of the samples `x`; if those have no such axes, unchanged.

    `mode` is "nearest", or None for linear interpolation.
    """
    maps = values.reshape(*values.shape[:2], *space)
    axes = len(space)
    if x.dim() < axes + 1 or (axes == 2 and x.dim() < 4):
        return maps
    size = tuple(x.shape[-axes:])
    if axes == 1 and x.dim() == 3:
        size = (x.shape[_axis_of_sequence(subject, x)],)
    if mode == "nearest":
        return F.interpolate(maps, size=size, mode="nearest")
    return F.interpolate(maps, size=size, mode=_MODES[axes], align_corners=False)


def _axis_of_sequence(subject: Subject, x: Tensor) -> int:
    """Return the axis of [B, A, L] along which a one-dimensional convolution moves, from the input of the first one."""
    first = next((node for node in subject.trace(x).nodes if node.name in ("conv1d", "conv_transpose1d")), None)
    given = None if first is None or not first.args else first.args[0]
    along = given.shape[-1] if isinstance(given, Tensor) else x.shape[-1]
    return 1 if along == x.shape[1] != x.shape[2] else 2
