"""Convert arrays of any origin to the two tensors of a data set; every error is one clear sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_finite, require_labels, require_whole
from threegen.errors import ConfigError, DataError, ShapeError

# Without class names, classes are counted from the labels; a label beyond this is surely not a class.
_MOST_COUNTED_CLASSES = 10_000
_CHANNELS = (1, 3, 4)

ImageShape = tuple[int, int, int] | bool | None


def to_inputs(x: Any, *, image: ImageShape = None, examples: int | None = None) -> Tensor:
    """Return `x` as a float32 tensor `[N, ...]` of its own memory; pixels 0..255 in uint8 are divided by 255.

    image: None takes `[N, H, W]` as grey images `[N, 1, H, W]` and checks that `[N, C, H, W]` has its channels
    second; a shape `(C, H, W)` gives each row that shape; False leaves every shape as it is.
    examples: the number of labels, to recognise arrays whose first axis is not the examples. Raises `DataError` (empty,
    wrong type), `ShapeError` (layout) or `NumericError` (NaN, infinite).
    """
    values = _to_tensor("x", x)
    if values.dim() == 0:
        raise ShapeError("x is a single number; expected [B, features] or [B, C, H, W]")
    if values.shape[0] == 0 or values.numel() == 0:
        raise DataError(f"the data set is empty: x has shape {list(values.shape)}")
    values = _arrange(values, image, examples)
    return require_finite("x", _to_float(values)).contiguous()


def to_targets(y: Any, examples: int, classes: Sequence[str] | int | None) -> tuple[Tensor, tuple[str, ...]]:
    """Return labels as int64 `[N]` and the names of the classes (`"0"`, `"1"`, ... if none are given).

    Raises `DataError` if the labels are not whole numbers, too few or too many, or outside the classes.
    """
    labels = _to_tensor("y", y)
    if labels.dim() != 1:
        advice = "use y.argmax(1) for one-hot labels" if labels.dim() == 2 and labels.shape[1] > 1 else "use y.ravel()"
        raise DataError(f"y must be labels [B], got shape {list(labels.shape)}; {advice}")
    if len(labels) != examples:
        raise DataError(
            f"{examples:,} {_plural(examples, 'image')} but {len(labels):,} {_plural(len(labels), 'label')}"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise DataError(f"y must be whole numbers, one per example, got {labels.dtype}; use y.astype('int64')")
    labels = labels.to(torch.int64)
    names = _class_names(labels, classes)
    return require_labels(labels, len(names)), names


def _plural(count: int, word: str) -> str:
    return word if count == 1 else word + "s"


def _to_tensor(what: str, values: Any) -> Tensor:
    """Return a copy, so that later changes of the caller's array do not change the data set."""
    if isinstance(values, Tensor):
        if values.is_complex():
            raise DataError(f"{what} holds complex numbers; expected real ones")
        return values.detach().clone()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise DataError(f"{what} cannot be made an array: its rows differ in length") from error
    if array.dtype.kind not in "buif":
        advice = "; number the classes 0, 1, ... and pass their names as classes=" if what == "y" else ""
        raise DataError(f"{what} must hold numbers, got {array.dtype}{advice}")
    if array.dtype == np.uint64 or array.dtype.itemsize > 8:
        array = array.astype(np.int64 if array.dtype.kind == "u" else np.float64)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C", copy=True))


def _to_float(values: Tensor) -> Tensor:
    if values.is_floating_point():
        return values.to(torch.float32)
    if values.dtype == torch.bool:
        return values.to(torch.float32)
    low, high = (int(bound) for bound in torch.aminmax(values))
    if values.dtype == torch.uint8 and high > 1:
        return values.to(torch.float32).div_(255.0)
    if low >= -1 and high <= 1:
        return values.to(torch.float32)
    raise DataError(
        f"x holds {str(values.dtype).removeprefix('torch.')} values {low}..{high}; pass pixels 0..255 as uint8 "
        "(they are divided by 255) and anything else as float32"
    )


def _arrange(values: Tensor, image: ImageShape, examples: int | None) -> Tensor:
    shape = list(values.shape)
    if examples is not None and shape[0] != examples and shape[-1] == examples:
        raise ShapeError(f"x is {shape}: its {examples:,} examples come last; expected [B, ...]; move that axis first")
    if image is False:
        return values
    if isinstance(image, tuple):
        return _as_pictures(values, image)
    if image is not None and image is not True:
        raise ConfigError(f"image must be (C, H, W), True, False or None, got {image!r}")
    if values.dim() == 3:
        return values.unsqueeze(1)
    if values.dim() == 4:
        if shape[3] in _CHANNELS and shape[1] not in _CHANNELS:
            raise _channels_last(shape)
        return values
    if image is True:
        raise ShapeError(f"x is {shape}; images are [B, C, H, W] or [B, H, W]; for flat rows give image=(C, H, W)")
    return values


def _channels_last(shape: list[int]) -> ShapeError:
    return ShapeError(
        f"x is {shape}, which looks like [B, H, W, C]; expected [B, C, H, W]; "
        "use x.transpose(0, 3, 1, 2) (numpy), x.permute(0, 3, 1, 2) (torch), or image=False if it is right as it is"
    )


def _as_pictures(values: Tensor, image: tuple[int, int, int]) -> Tensor:
    if len(image) != 3:
        raise ConfigError(f"image must be (channels, height, width), got {image!r}")
    channels, height, width = (require_whole("image", size) for size in image)
    shape = list(values.shape)
    if shape[1:] == [height, width, channels] and shape[1:] != [channels, height, width]:
        raise _channels_last(shape)
    fitting = ([channels * height * width], [channels, height, width], [height, width] if channels == 1 else None)
    if shape[1:] not in fitting:
        raise ShapeError(
            f"x is {shape}; expected [B, {channels * height * width}] or [B, {channels}, {height}, {width}]"
        )
    return values.reshape(-1, channels, height, width)


def _class_names(labels: Tensor, classes: Sequence[str] | int | None) -> tuple[str, ...]:
    if isinstance(classes, int):
        return tuple(str(number) for number in range(require_whole("classes", classes)))
    if classes is not None:
        names = (classes,) if isinstance(classes, str) else tuple(str(name) for name in classes)
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"classes must be different names, got {list(names)!r}")
        return names
    largest = int(labels.max())
    if largest >= _MOST_COUNTED_CLASSES:
        index = int(labels.argmax())
        raise DataError(f"label {largest} at index {index} is not a class number; give classes= if it is intended")
    return tuple(str(number) for number in range(max(1, largest + 1)))
