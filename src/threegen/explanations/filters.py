"""A layer's weights as pictures: kernels in colour or per channel, rows of a linear layer in the shape of the image."""

from __future__ import annotations

import math

from torch import Tensor, nn

from threegen.errors import ConfigError
from threegen.explanations.cam import Layer
from threegen.explanations.maps import Maps, make_maps
from threegen.explanations.subject import Subject


def filters(subject: Subject, layer: Layer = None, *, shape: tuple[int, ...] | None = None) -> Maps:
    """Return the weights [units, C, h, w] of a convolution or a linear layer; None takes the first layer of weights.

    The rows of a linear layer take `shape` (C, h, w); None finds a square. Filters of three channels are drawn
    as colours, each stretched to its own range; others in diverging colours, their channels added up.
    Raises `ConfigError` for a layer without weights or rows that do not form pictures.
    """
    found = {path: module for path, module in subject.model.named_modules() if _weights(module) is not None}
    if not found:
        raise ConfigError(f"{subject.name} has no layer with weights to draw")
    if layer is None:
        path = next(iter(found))
    else:
        named = [path for path, module in found.items() if path == layer or module is layer]
        if not named:
            raise ConfigError(f"{layer!r} is not a layer with weights of {subject.name}; it has {', '.join(found)}")
        path = named[0]
    weight = _weights(found[path])
    if weight is None:
        raise ConfigError(f"{path!r} has no weights")
    if weight.dim() == 2:
        weight = weight.reshape(len(weight), *_shape(weight.shape[1], shape, path))
    labels = [str(unit) for unit in range(len(weight))] if len(weight) <= 20 else []
    return make_maps(
        weight, f"Weights of {path or subject.name}", labels=labels, layer=path, colours=weight.shape[1] == 3
    )


def _weights(module: nn.Module) -> Tensor | None:
    """Return the weights [units, ...] of a layer in the axis order of pictures, or None."""
    weight = getattr(module, "weight", None)
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight.detach().transpose(0, 1)
    if isinstance(weight, Tensor) and weight.dim() in (2, 4):
        return weight.detach()
    return None


def _shape(inputs: int, shape: tuple[int, ...] | None, path: str) -> tuple[int, ...]:
    if shape is not None:
        sizes = list(shape) if isinstance(shape, list | tuple) else []
        if len(sizes) not in (2, 3) or not all(isinstance(one, int) for one in sizes) or math.prod(sizes) != inputs:
            raise ConfigError(f"{path!r} has {inputs} inputs, they do not form a picture of {shape!r}")
        return (1, *shape) if len(shape) == 2 else shape
    for channels in (1, 2, 3):
        side = math.isqrt(inputs // channels)
        if inputs == channels * side * side:
            return (channels, side, side)
    return (1, 1, inputs)
