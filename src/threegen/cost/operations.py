"""What each torch function costs: one small function a family, looked up by the function's name.

A `Call` is one call of a torch function as it happened; a `Work` is its price over the whole batch. The signal that
arrives is "values", "spikes" (0 or 1) or "counts" (summed or averaged spikes). It comes from the model's structure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its arguments, its result, the first tensor that depends on the input, and that one's signal.

    `table` [out, in] says which planes a convolution's planes are connected with, where not with all of their group.
    """

    name: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    out: Tensor
    data: Tensor
    signal: str
    table: Tensor | None = None

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """Return the argument called `name`, or the one at `position`, or `default`."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if position < len(self.args) else default


@dataclass(frozen=True, slots=True)
class Work:
    """The price of a call: operations over the whole batch; `stored` where the output is a layer's own."""

    kind: str
    operations: dict[str, int] = field(default_factory=dict)
    stored: bool = False
    signal: str = "values"


def nonzero(x: Tensor) -> int:
    """Return how many elements of `x` are not zero."""
    return int(torch.count_nonzero(x))


def _products(kind: str, call: Call, dense: int, effective: int, bias: bool) -> Work:
    """Return the work of a layer of products: accumulates where spikes arrive, else multiply-accumulates."""
    own = {"ac": effective} if call.signal == "spikes" else {"mac": dense, "mac_nonzero": effective}
    if bias:
        own["add"] = call.out.numel()
    return Work(kind, own, stored=True)


def _linear(call: Call) -> Work:
    outputs = call.get(1, "weight").shape[0]
    bias = call.get(2, "bias") is not None
    return _products("linear", call, call.data.numel() * outputs, nonzero(call.data) * outputs, bias)


def _matmul(call: Call) -> Work:
    left, right = call.get(0, "input"), call.get(1, "mat2", call.get(1, "other"))
    dense = call.out.numel() * left.shape[-1]
    weight = right if call.data is left else left
    # One matrix or vector for all rows: each element of the data meets the same number of weights.
    effective = nonzero(call.data) * (dense // max(call.data.numel(), 1)) if weight.dim() <= 2 else dense
    return _products("linear", call, dense, effective, bias=False)


def _addmm(call: Call) -> Work:
    columns = call.get(2, "mat2").shape[1]
    return _products("linear", call, call.data.numel() * columns, nonzero(call.data) * columns, bias=True)


def connections(x: Tensor, weight: Tensor, table: Tensor | None = None, **options: Any) -> Tensor:
    """Return, for each element of one example of `x` [C, ...], how many products of the convolution it enters."""
    one = torch.ones(1, *x.shape[1:], dtype=torch.float64, requires_grad=True)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[weight.dim() - 2]
    there = torch.ones(weight.shape, dtype=torch.float64)
    if table is not None:
        there *= table.cpu().view(*table.shape, *[1] * (weight.dim() - 2))
    with torch.enable_grad():
        total = convolve(one, there, **options).sum()
        return torch.autograd.grad(total, one)[0][0]


def _convolution(call: Call) -> Work:
    weight = call.get(1, "weight")
    x = call.data if call.data.dim() == weight.dim() else call.data.unsqueeze(0)
    options = {
        name: call.get(position, name, default)
        for position, name, default in ((3, "stride", 1), (4, "padding", 0), (5, "dilation", 1), (6, "groups", 1))
    }
    reach = connections(x, weight, call.table, **options)
    effective = int(((x != 0).sum(0).cpu() * reach).sum())
    dense = call.out.numel() * (weight.numel() // weight.shape[0])
    if call.table is not None:
        dense = dense * int(call.table.sum()) // call.table.numel()
    return _products("convolution", call, dense, effective, call.get(2, "bias") is not None)


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
    dimensions = int(call.name[call.name.index("pool") + 4])
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
    """Return the work of averages over windows of `sizes` elements; of spikes, one accumulate a spike and window."""
    if call.signal == "spikes":
        events = round(float((call.out.double().cpu() * sizes).sum()))
        return Work("average pooling", {"ac": events}, stored=True, signal="counts")
    added = int((sizes - 1).expand(call.out.shape).sum())
    work = {"add": added}
    sums = call.name.startswith("avg") and call.get(6, "divisor_override") == 1  # nothing is divided
    if call.signal == "values" and not sums:
        work["mul"] = call.out.numel()
    return Work("sum pooling" if sums else "average pooling", work, stored=True, signal=call.signal)


def _reduction(call: Call) -> Work:
    if call.signal == "spikes":
        return Work("sum", {"ac": nonzero(call.data)}, signal="counts")
    work = {"add": call.data.numel() - call.out.numel()}
    if call.name == "mean":
        work["mul"] = call.out.numel()
    return Work("sum", work, signal=call.signal)


def _normalisation(call: Call) -> Work:
    return Work("batch normalisation", {"mul": call.out.numel(), "add": call.out.numel()})


def _response_normalisation(call: Call) -> Work:
    """b_i = a_i / (k + alpha sum_j a_j^2)^beta: the windows of planes are cut off at the first and the last."""
    planes, size = call.data.shape[1], int(call.get(1, "size"))
    before, after = size // 2, (size - 1) // 2
    terms = sum(min(planes, one + after + 1) - max(0, one - before) for one in range(planes))
    sites = call.out.numel() // planes
    own = {"mul": 3 * call.out.numel(), "add": sites * terms, "function": call.out.numel()}
    return Work("response normalisation", own, stored=True)


def _interpolation(call: Call) -> Work:
    """Each new value is a mean of 2 neighbours along each axis, one axis after the other."""
    mode = call.get(3, "mode", "nearest")
    axes = {"linear": 1, "bilinear": 2, "trilinear": 3}.get(mode, 0)
    neighbours = 2**axes - 1
    own = {"mul": 2 * neighbours * call.out.numel(), "add": neighbours * call.out.numel()} if axes else {}
    return Work("interpolation", own, stored=True)


def _each(kind: str, *operations: str) -> Callable[[Call], Work]:
    """Return the price of an elementwise function: one of each of `operations` an output element."""

    def price(call: Call) -> Work:
        return Work(kind, dict.fromkeys(operations, call.out.numel()))

    return price


def _extremum(call: Call) -> Work:
    return Work("maximum", {"compare": max(call.data.numel() - call.out.numel(), 0)})


def _softmax(call: Call) -> Work:
    count = call.out.numel()
    return Work("softmax", {"function": count, "add": count, "mul": count})


# Of each unit and step: exponentials or tangents, and products of gates.
_GATES = {"rnn_tanh": (1, 0), "rnn_relu": (0, 0), "lstm": (5, 3), "gru": (3, 3)}


def _recurrent(call: Call) -> Work:
    """Return the work of a whole recurrent layer or of one step of its cell: every weight once a step."""
    cell = call.name.endswith("_cell")
    functions, products = _GATES[call.name.removesuffix("_cell")]
    weights = list(call.args[2:]) if cell else list(call.get(2, "params", ()))
    weights = [one for one in weights if isinstance(one, Tensor)]
    visits = len(call.data) if cell else call.data.shape[0] * call.data.shape[1]
    mac = visits * sum(one.numel() for one in weights if one.dim() == 2)
    own = {"mac": mac, "mac_nonzero": mac, "add": visits * sum(one.numel() for one in weights if one.dim() == 1)}
    gates = {"lstm": 4, "gru": 3}.get(call.name.removesuffix("_cell"), 1)
    # matrices come in pairs, from the input and from the state: one pair a layer and direction
    units = visits * sum(one.shape[0] // gates for one in weights if one.dim() == 2) // 2
    own |= {"function": functions * units, "mul": products * units}
    return Work("recurrent", {name: amount for name, amount in own.items() if amount}, stored=True)


PRICES: dict[str, Callable[[Call], Work]] = {
    "linear": _linear,
    **dict.fromkeys(("matmul", "mm", "mv", "bmm"), _matmul),
    "addmm": _addmm,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _maximum_pooling),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _average_pooling),
    **{f"adaptive_{kind}_pool{n}d": _adaptive_pooling for kind in ("avg", "max") for n in (1, 2, 3)},
    "batch_norm": _normalisation,
    "local_response_norm": _response_normalisation,
    "interpolate": _interpolation,
    **{f"{name}{kind}": _recurrent for name in _GATES for kind in ("", "_cell")},
    **dict.fromkeys(("sum", "mean"), _reduction),
    **dict.fromkeys(("add", "sub", "rsub", "iadd", "isub"), _each("addition", "add")),
    **dict.fromkeys(("mul", "div", "truediv", "imul", "square", "neg"), _each("multiplication", "mul")),
    **dict.fromkeys(("relu", "relu6", "hardtanh", "clamp", "clamp_min", "abs"), _each("rectifier", "compare")),
    **dict.fromkeys(("ge", "gt", "le", "lt", "eq", "ne", "sign", "heaviside"), _each("step", "compare")),
    **dict.fromkeys(("where", "maximum", "minimum"), _each("choice", "compare")),
    **dict.fromkeys(("leaky_relu", "prelu"), _each("rectifier", "compare", "mul")),
    **dict.fromkeys(
        ("sigmoid", "tanh", "exp", "expm1", "log", "log1p", "gelu", "silu", "elu", "softplus", "erf", "sqrt", "rsqrt"),
        _each("activation", "function"),
    ),
    **dict.fromkeys(("softmax", "log_softmax"), _softmax),
    **dict.fromkeys(("max", "min", "amax", "amin", "argmax", "argmin"), _extremum),
}

_MOVES = """
view reshape flatten unflatten permute transpose movedim swapaxes t contiguous clone detach to float double bfloat16
half cpu cuda squeeze unsqueeze expand expand_as repeat getitem get select narrow chunk split unbind view_as reshape_as
type_as as_strided pad dropout dropout1d dropout2d dropout3d alpha_dropout cat stack index_select iter copy
pixel_shuffle
"""
_FREE = """
isfinite isnan isinf all any aminmax nonzero count_nonzero numel zeros ones full empty zeros_like ones_like full_like
empty_like new_zeros new_ones new_empty new_full arange tensor as_tensor set len bool int requires_grad
"""
# They move numbers about and hand the signal on.
MOVES = frozenset(_MOVES.split())
# They are no part of the answer: guards, shapes, fresh tensors.
FREE = frozenset(_FREE.split())
