"""What pooling, resampling and folding cost."""

from __future__ import annotations

import torch
from torch import Tensor

from threegen.cost.operations import Call, Price, Work
from threegen.gen3.parts import nonzero


def _window(call: Call) -> int:
    """Return the number of elements under the window of a pooling call."""
    size = call.get(1, "kernel_size")
    dimensions = int(call.name[call.name.index("pool") + 4])
    sizes = [size] * dimensions if isinstance(size, int) else list(size)
    if len(sizes) == 1:
        sizes *= dimensions
    product = 1
    for one in sizes:
        product *= int(one)
    return product


def _maximum_pooling(call: Call) -> Work:
    compared = call.out.numel() * (_window(call) - 1)
    return Work("maximum pooling", {"compare": compared}, stored=True, signal=call.signal)


def _average_pooling(call: Call) -> Work:
    sizes = torch.tensor(_window(call), dtype=torch.float64)
    return _averaged(call, sizes.expand(call.out.shape[-1:]))


def _adaptive_pooling(call: Call) -> Work:
    dimensions = int(call.name[call.name.index("pool") + 4]) if "pool" in call.name else call.data.dim() - 2
    sizes = torch.ones((), dtype=torch.float64)
    for given, wanted in zip(call.data.shape[-dimensions:], call.out.shape[-dimensions:], strict=True):
        ends = [-(-(i + 1) * given // wanted) - i * given // wanted for i in range(wanted)]
        sizes = sizes.unsqueeze(-1) * torch.tensor(ends, dtype=torch.float64)
    if "max" in call.name:
        windows = call.out.numel() // sizes.numel()
        compared = windows * int((sizes - 1).sum())
        return Work("maximum pooling", {"compare": compared}, stored=True, signal=call.signal)
    return _averaged(call, sizes)


def _averaged(call: Call, sizes: Tensor) -> Work:
    """Return the work of averages over windows of `sizes` elements; of spikes, one accumulate per spike and window."""
    sums = call.name.startswith("avg") and call.get(6, "divisor_override") == 1  # nothing is divided
    if call.signal == "spikes":
        nonzero(call.out[:0])  # refuses a tensor without data
        events = round(float((call.out.double().cpu() * (1 if sums else sizes)).sum()))
        even = bool((sizes == sizes.flatten()[0]).all())
        unit = 1.0 if sums else 1.0 / float(sizes.flatten()[0]) if even else None
        return Work("sum pooling" if sums else "average pooling", {"ac": events}, True, "counts", unit)
    added = int((sizes - 1).expand(call.out.shape).sum())
    work = {"add": added}
    if call.signal == "values" and not sums:
        work["mul"] = call.out.numel()
    return Work("sum pooling" if sums else "average pooling", work, stored=True, signal=call.signal)


def _power_pooling(call: Call) -> Work:
    """(sum |x|^p)^(1/p): one power per element under the window, and one of the sum."""
    size = call.get(2, "kernel_size")
    dimensions = int(call.name[call.name.index("pool") + 4])
    under = size**dimensions if isinstance(size, int) else int(torch.tensor(size).prod())
    count = call.out.numel()
    return Work("power pooling", {"function": count * (under + 1), "add": count * (under - 1)}, stored=True)


def _interpolation(call: Call) -> Work:
    """Each new value is a mean of 2 neighbours along each axis, one axis after the other."""
    mode = call.get(3, "mode", "nearest")
    if mode == "area":
        return _adaptive_pooling(call)
    if mode == "bicubic":  # four times along a row, then once along the column, each a weighted sum of four
        return Work("interpolation", {"mul": 20 * call.out.numel(), "add": 15 * call.out.numel()}, stored=True)
    axes = {"linear": 1, "bilinear": 2, "trilinear": 3}.get(mode, 0)
    neighbours = 2**axes - 1
    own = {"mul": 2 * neighbours * call.out.numel(), "add": neighbours * call.out.numel()} if axes else {}
    return Work("interpolation", own, stored=True)


def _grid_sample(call: Call) -> Work:
    """Each new value is a mean of the 2^d values around a fractional position."""
    axes = call.out.dim() - 2
    neighbours = 2**axes if call.get(2, "mode", "bilinear") == "bilinear" else 1
    count = call.out.numel()
    own = {"mul": neighbours * count, "add": (neighbours - 1) * count} if neighbours > 1 else {}
    return Work("interpolation", own, stored=True)


def _fold(call: Call) -> Work:
    return Work("sum", {"add": max(call.data.numel() - call.out.numel(), 0)})


def _bag(call: Call) -> Work:
    """Return the work of the sums (or means) of rows of a table, one per bag."""
    indices = call.get(0, "input")
    width = call.out.shape[-1]
    own = {"add": max(indices.numel() - call.out.numel() // width, 0) * width}
    if call.get(6, "mode", "mean") == "mean":
        own["mul"] = call.out.numel()
    return Work("embedding", own, stored=True)


_DIMENSIONS = (1, 2, 3)
WINDOWS: dict[str, Price] = {
    **{f"max_pool{n}d{more}": _maximum_pooling for n in _DIMENSIONS for more in ("", "_with_indices")},
    **{f"avg_pool{n}d": _average_pooling for n in _DIMENSIONS},
    **{f"adaptive_{kind}_pool{n}d": _adaptive_pooling for kind in ("avg", "max") for n in _DIMENSIONS},
    **{f"adaptive_max_pool{n}d_with_indices": _adaptive_pooling for n in _DIMENSIONS},
    **{f"fractional_max_pool{n}d{more}": _maximum_pooling for n in (2, 3) for more in ("", "_with_indices")},
    **{f"lp_pool{n}d": _power_pooling for n in _DIMENSIONS},
    **dict.fromkeys(("interpolate", "upsample"), _interpolation),
    "grid_sample": _grid_sample,
    "fold": _fold,
    "embedding": lambda call: Work("embedding", {}, stored=True),
    "embedding_bag": _bag,
}
