"""Occlusion: cover a part of the image and measure the drop of the score (Zeiler and Fergus 2014, section 4.2).

    drop(p) = s_c(x) - s_c(x with the window at p covered)

A map colours each pixel with the mean drop of the windows over it. If `cell` is given, each window colours a smaller
cell in its middle and may extend beyond the border: a 20x20 grey window moved by 4 that paints its 4x4 centre is
`occlusion(x, window=20, stride=4, cell=4, fill=0.5)`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from threegen.checks import require_choice, require_finite, require_number, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.explanations.incremental import Incremental, Plan, make_plan
from threegen.explanations.maps import Maps, make_maps
from threegen.explanations.subject import Subject, Target, chosen_scores, chosen_targets

Size = int | tuple[int, int]
CHUNK = 32  # images per run: on a CPU larger batches exceed the cache and are slower
BOXES = 128  # positions per run of the incremental path, whose pieces are small


def occlusion(
    subject: Subject,
    x: Tensor,
    target: Target = None,
    *,
    window: Size = 4,
    stride: Size = 1,
    fill: float | Tensor = 0.0,
    cell: Size | None = None,
    measure: str = "score",
    incremental: bool | None = None,
    chunk: int = CHUNK,
) -> Maps:
    """Return the maps of drops [B, 1, H, W] of images [B, ..., H, W], with the values they were made from.

    `window`, `stride` and `cell` are sizes in pixels, one for both axes or (rows, columns); `fill` is a value, or a
    tensor that broadcasts to a sample. `measure` is "score" or "probability" (which one output has only with
    `explain(model, scores="binary")`). `incremental` None uses the exact incremental path if the net allows it, True
    requires it, False runs every position in full, `chunk` at a time.

    The result also has, by position [B, rows, columns]: `scores` of the target, `drops`, `predicted` classes; and
    `tally` [B, K], the number of positions at which each class was the answer; `heat` and `answers` [B, H, W], the
    target's score and the predicted class painted into the cells; `targets` [B]; `incremental`, whether that path was
    used. Raises `ConfigError` for invalid sizes or a net that `incremental=True` does not support.
    """
    require_choice("measure", measure, ("score", "probability"))
    require_whole("chunk", chunk)
    subject.samples(x)
    if x.dim() < 4:
        raise ShapeError(
            f"occlusion takes images [B, ..., H, W], got {list(x.shape)}"
            + subject.advice(x, "saliency", "feature_maps")
        )
    windows, cells = _grid(tuple(x.shape[-2:]), _pair("window", window), _pair("stride", stride), cell)
    fill = _filling(fill, x)
    base = subject.scores(x)
    targets = chosen_targets(target, base)
    if measure == "probability":
        subject.as_scores.require_classes(base)
    plan = _plan(subject, x, base, fill, incremental)
    shape = (len(windows[0]), len(windows[1]))
    boxes = [(*rows, *columns) for rows in windows[0] for columns in windows[1]]
    with subject.quiet(), torch.inference_mode():
        scores = torch.stack([_occluded(subject, one[None], boxes, fill, plan, chunk) for one in x])
    if measure == "probability":
        base, scores = subject.as_scores.probabilities(base), subject.as_scores.probabilities(scores)
    return _finish(x, base, scores, targets, shape, cells, plan is not None)


def _finish(
    x: Tensor,
    base: Tensor,
    scores: Tensor,
    targets: Tensor,
    shape: tuple[int, int],
    cells: tuple[Tensor, Tensor],
    incremental: bool,
) -> Maps:
    """Return the maps of the scores (or probabilities) [B, P, K]."""
    classes = base.shape[1]
    predicted = scores.argmax(2).reshape(-1, *shape)
    own = scores.gather(2, targets[:, None, None].expand(-1, scores.shape[1], 1))[:, :, 0].reshape(-1, *shape)
    drops = chosen_scores(base, targets)[:, None, None] - own
    rows, columns = (one.to(drops) for one in cells)
    covered = rows.sum(0)[:, None] * columns.sum(0)
    values = rows.T @ drops @ columns / covered.clamp(min=1)
    heat = rows.T @ own @ columns / covered.clamp(min=1)
    nearest = predicted[:, rows.argmax(0)][:, :, columns.argmax(0)]
    tally = torch.stack([torch.bincount(one.flatten(), minlength=classes) for one in predicted])
    return make_maps(
        values.unsqueeze(1),
        "Occlusion",
        images=x if x.dim() == 4 else None,
        scores=own,
        drops=drops,
        predicted=predicted,
        tally=tally,
        heat=heat,
        answers=nearest,
        targets=targets,
        incremental=incremental,
    )


def _pair(name: str, size: Size) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, list | tuple) else ()
    if len(pair) != 2:
        raise ConfigError(f"{name} must be one size or (rows, columns), got {size!r}")
    return require_whole(name, pair[0]), require_whole(name, pair[1])


def _grid(
    size: tuple[int, ...], window: tuple[int, int], stride: tuple[int, int], cell: Size | None
) -> tuple[list[list[tuple[int, int]]], tuple[Tensor, Tensor]]:
    """Return the windows' bounds by axis, clipped at the border, and the pixels that each colours, [positions,
    pixels]."""
    cells = window if cell is None else _pair("cell", cell)
    bounds, painted = [], []
    for axis in (0, 1):
        length, wide, step, inner = size[axis], window[axis], stride[axis], cells[axis]
        if inner > wide or inner > length:
            raise ConfigError(
                f"the cell of {inner} pixels must fit into the window of {wide} and the image of {length}"
            )
        count = max(0, -(-(length - inner) // step)) + 1
        starts = [number * step + (inner - wide) // 2 for number in range(count)]
        bounds.append([(max(start, 0), min(start + wide, length)) for start in starts])
        paint = torch.zeros(count, length)
        for number in range(count):
            paint[number, number * step : number * step + inner] = 1
        painted.append(paint)
    return bounds, (painted[0], painted[1])


def _filling(fill: float | Tensor, x: Tensor) -> float | Tensor:
    if not isinstance(fill, Tensor):
        return require_number("fill", fill)
    try:
        return require_finite("fill", fill.to(x).broadcast_to(x.shape[1:]))
    except RuntimeError:
        raise ShapeError(
            f"fill must be a number or broadcast to a sample {list(x.shape[1:])}, got {list(fill.shape)}"
        ) from None


def _plan(subject: Subject, x: Tensor, base: Tensor, fill: float | Tensor, incremental: bool | None) -> Plan | None:
    """Return the incremental plan if it is wanted, possible, and gives the model's own scores; else None."""
    plan = None
    known = subject.as_scores.choice is None or subject.as_scores.binary  # a tensor, not one of several outputs
    if incremental is not False and not isinstance(fill, Tensor) and not subject.draws and known:
        plan = make_plan(subject.trace(x), x, subject.as_scores.ending)
    if plan is not None:
        with subject.quiet(), torch.inference_mode():
            check = subject.as_scores(plan.full(x[:1].clone()), 1)
        if check.shape != base[:1].shape or not torch.allclose(check, base[:1], rtol=1e-4, atol=1e-5):
            plan = None
    if incremental and plan is None:
        raise ConfigError(
            f"{subject.name} is not a chain of convolution, pooling, normalisation and linear layers under a constant "
            "fill; leave incremental=None"
        )
    return plan


def _occluded(
    subject: Subject,
    image: Tensor,
    boxes: Sequence[tuple[int, int, int, int]],
    fill: float | Tensor,
    plan: Plan | None,
    chunk: int,
) -> Tensor:
    """Return the scores [P, K] of one image [1, ...] under every window."""
    if plan is not None:
        ready = Incremental(plan, image)
        value = require_number("fill", float(fill))
        found = [ready.scores(boxes[i : i + BOXES], value) for i in range(0, len(boxes), BOXES)]
        return subject.as_scores(torch.cat(found), len(boxes))
    filled = torch.as_tensor(fill, dtype=image.dtype, device=image.device).expand(image.shape[1:])
    found = []
    for start in range(0, len(boxes), chunk):
        part = boxes[start : start + chunk]
        covered = image.repeat(len(part), *[1] * (image.dim() - 1))
        for number, (top, bottom, left, right) in enumerate(part):
            covered[number, ..., top:bottom, left:right] = filled[..., top:bottom, left:right]
        found.append(subject.run(covered).scores)
    return torch.cat(found)
