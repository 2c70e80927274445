"""What the browser may send: a drawing or 784 pixels, damage, a seed and units to switch off. Everything is checked."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.datasets.strokes import LINE, mnist_form_of_strokes
from threegen.errors import DataError
from threegen.web.damage import Damage, damaged, thickened

PIXELS = 28 * 28
MOST_POINTS = 4_000
MOST_OFF = 2_000


class BadRequest(DataError):
    """The request does not have the form that the page sends."""


@dataclass(frozen=True)
class Asked:
    """A question: the image [1, 28, 28] as the networks get it, and the units that are switched off in each model."""

    image: Tensor
    seed: int = 0
    off: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)


def read_question(body: Any) -> Asked:
    """Return the question in a decoded JSON body; raises `BadRequest`, or `DataError` if nothing is drawn."""
    if not isinstance(body, dict):
        raise BadRequest("expected a JSON object")
    damage = _damage(body.get("damage", {}))
    if "strokes" in body:
        image = mnist_form_of_strokes(_strokes(body["strokes"]), line=min(10.0, max(0.5, LINE * damage.width)))
    elif "image" in body:
        image = thickened(decoded_image(body["image"]), damage.width)
    else:
        raise BadRequest("expected strokes or an image")
    seed = whole(body, "seed", 0, least=0, most=2**31)
    return Asked(damaged(image, damage), seed, _off(body.get("off", {})))


def encoded_image(image: Tensor) -> str:
    """Return an image [1, 28, 28] in 0..1 as base64 of its 784 bytes."""
    values = (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy().tobytes()
    return base64.b64encode(values).decode("ascii")


def decoded_image(text: Any) -> Tensor:
    """Return base64 of 784 bytes as an image [1, 28, 28] in 0..1; raises `BadRequest`."""
    if not isinstance(text, str) or len(text) > 2 * PIXELS:
        raise BadRequest("an image is 784 bytes in base64")
    try:
        values = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as problem:
        raise BadRequest("an image is 784 bytes in base64") from problem
    if len(values) != PIXELS:
        raise BadRequest(f"an image is 784 bytes in base64, got {len(values)} bytes")
    return torch.from_numpy(np.frombuffer(values, np.uint8).astype(np.float32) / 255.0).reshape(1, 28, 28)


def number(body: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    """Return a finite number of the body within bounds; raises `BadRequest`."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRequest(f"{name} must be a number")
    if not least <= value <= most:
        raise BadRequest(f"{name} must be in {least:g}..{most:g}")
    return float(value)


def whole(body: Mapping[str, Any], name: str, default: int, *, least: int, most: int) -> int:
    """Return a whole number of the body within bounds; raises `BadRequest`."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadRequest(f"{name} must be a whole number in {least}..{most}")
    return value


def _damage(given: Any) -> Damage:
    if not isinstance(given, dict):
        raise BadRequest("damage must be an object")
    return Damage(
        noise=number(given, "noise", 0.0, least=0.0, most=1.0),
        rotation=number(given, "rotation", 0.0, least=-180.0, most=180.0),
        right=number(given, "right", 0.0, least=-14.0, most=14.0),
        down=number(given, "down", 0.0, least=-14.0, most=14.0),
        width=number(given, "width", 1.0, least=0.2, most=4.0),
    )


def _strokes(given: Any) -> list[list[list[float]]]:
    if not isinstance(given, list) or not all(isinstance(stroke, list) for stroke in given):
        raise BadRequest("strokes are lists of points")
    if sum(len(stroke) for stroke in given) > MOST_POINTS:
        raise BadRequest(f"a drawing has at most {MOST_POINTS:,} points")
    for stroke in given:
        for point in stroke:
            if not isinstance(point, list) or len(point) != 2 or not all(type(one) in (int, float) for one in point):
                raise BadRequest("a point is [x, y], two numbers")
            if not all(math.isfinite(one) and abs(one) <= 1e6 for one in point):
                raise BadRequest("the numbers of a point must be finite and at most a million")
    return given


def _off(given: Any) -> dict[str, dict[str, tuple[int, ...]]]:
    """Return {model: {layer: units}}; the model checks which of them exist."""
    if not isinstance(given, dict):
        raise BadRequest("off must be an object")
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for model, layers in given.items():
        if not isinstance(layers, dict):
            raise BadRequest("off names layers of models")
        for layer, units in layers.items():
            if not isinstance(units, list) or len(units) > MOST_OFF or not all(type(u) is int for u in units):
                raise BadRequest("the units to switch off must be a list of whole numbers")
            found.setdefault(model, {})[layer] = tuple(units)
    return found
