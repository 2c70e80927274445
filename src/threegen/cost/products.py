"""What products cost: linear layers, matrices, convolutions and transposed ones, contractions, attention."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.cost.operations import Call, Price, Work, products
from threegen.gen3.parts import nonzero


def _linear(call: Call) -> Work:
    outputs = call.get(1, "weight").shape[0]
    bias = call.get(2, "bias") is not None
    return products(
        *("linear", call, call.data.numel() * outputs, lambda: nonzero(call.data) * outputs, bias),
        summed=lambda: float(call.data.sum(dtype=torch.float64)) * outputs,
    )


def _matrices(call: Call, left: Tensor, right: Tensor, bias: bool) -> Work:
    """Return the work of the product of two arrays of matrices (or vectors)."""
    dense = call.out.numel() * left.shape[-1]
    weight = right if call.data is left else left
    # One matrix or vector for all rows: each element of the data is multiplied by the same number of weights.
    share = dense // max(call.data.numel(), 1)
    return products(
        "linear", call, dense, lambda: nonzero(call.data) * share if weight.dim() <= 2 else dense, bias=bias
    )


def _matmul(call: Call) -> Work:
    first, second = call.get(0, "input"), call.get(1, "mat2", call.get(1, "other", call.get(1, "vec")))
    return _matrices(call, *((second, first) if call.name == "rmatmul" else (first, second)), bias=False)


def _added_to(call: Call) -> Work:
    """Return the work of `addmm` and the like: a product that is added to something."""
    names = {"addmv": ("mat", "vec"), "addmm": ("mat1", "mat2")}.get(call.name, ("batch1", "batch2"))
    work = _matrices(call, call.get(1, names[0]), call.get(2, names[1]), bias=True)
    if call.name == "addbmm":  # the products of the batch are added up too
        inner = call.get(1, "batch1")
        dense = call.out.numel() * inner.shape[-1] * len(inner)
        return products("linear", call, dense, lambda: dense, bias=True)
    return work


def _outer(call: Call) -> Work:
    return Work("multiplication", {"mul": call.out.numel()})


def _dot(call: Call) -> Work:
    length = call.get(0, "input").shape[-1]
    dense = call.out.numel() * length
    return products("linear", call, dense, lambda: dense, bias=False)


def _bilinear(call: Call) -> Work:
    """y_o = x1 W_o x2 + b: for each output first W_o x2, then the product with x1."""
    outputs, first, second = call.get(2, "weight").shape
    dense = call.out.numel() // outputs * outputs * (first * second + first)
    return products("linear", call, dense, lambda: dense, call.get(3, "bias") is not None)


def _tensordot(call: Call) -> Work:
    first, second = call.args[0], call.args[1]
    dense = call.out.numel() * math.isqrt(first.numel() * second.numel() // max(call.out.numel(), 1))
    share = dense // max(call.data.numel(), 1)
    return products("linear", call, dense, lambda: nonzero(call.data) * share, bias=False)


# -- contractions ------------------------------------------------------------------------------------------------------
def _einsum(call: Call) -> Work:
    """Two operands at a time, from the left: every combination of their letters is one multiply-accumulate.

    If no letter is summed, it is a multiplication.
    """
    operands, terms, result = _equation(call)
    known: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        known.update(
            {letter: max(known.get(letter, 1), size) for letter, size in zip(term, operand.shape, strict=True)}
        )
    mac = mul = add = 0
    share = 1  # products that an element of the data enters, if there are only two operands
    left = terms[0]
    if len(terms) == 1:
        add = operands[0].numel() - call.out.numel()
    for place, right in enumerate(terms[1:], start=1):
        together = set(left) | set(right)
        later = set(result).union(*terms[place + 1 :])
        size = math.prod(known[letter] for letter in together)
        share = size // max(call.data.numel(), 1)
        if together - later:
            mac += size
        else:
            mul += size
        left = tuple(together & later)
    if not mac:
        return Work("multiplication", {name: n for name, n in (("mul", mul), ("add", max(add, 0))) if n})
    single = len(operands) == 2
    return products("linear", call, mac + mul, lambda: nonzero(call.data) * share if single else mac + mul, bias=False)


def _equation(call: Call) -> tuple[list[Tensor], list[tuple[str, ...]], tuple[str, ...]]:
    """Return the operands of an `einsum`, the letters of each, and those of the result; an ellipsis is spelt out."""
    if isinstance(call.args[0], str):
        text = call.args[0].replace(" ", "")
        operands = list(call.args[1:])
        if len(operands) == 1 and isinstance(operands[0], list | tuple):
            operands = list(operands[0])
        inputs, arrow, output = text.partition("->")
        split = inputs.split(",")
    else:  # operands and lists of numbers, alternating
        spelt = ["".join("..." if one is ... else chr(97 + one) for one in part) for part in call.args[1::2]]
        operands, split = list(call.args[0 : 2 * (len(call.args) // 2) : 2]), spelt[: len(call.args) // 2]
        arrow = "->" if len(call.args) % 2 else ""
        output = "".join("..." if one is ... else chr(97 + one) for one in call.args[-1]) if arrow else ""
    terms, longest = [], 0
    for term, operand in zip(split, operands, strict=True):
        before, dots, after = term.partition("...")
        extra = operand.dim() - len(before) - len(after) if dots else 0
        longest = max(longest, extra)
        terms.append((*before, *(f".{number}" for number in range(extra, 0, -1)), *after))
    every = tuple(f".{number}" for number in range(longest, 0, -1))
    if arrow:
        before, dots, after = output.partition("...")
        return operands, terms, (*before, *(every if dots else ()), *after)
    once = sorted(one for one, times in Counter("".join(split).replace(".", "")).items() if times == 1)
    return operands, terms, (*every, *once)


# -- convolutions ------------------------------------------------------------------------------------------------------
def connections(x: Tensor, weight: Tensor, table: Tensor | None = None, **options: Any) -> Tensor:
    """Return, for each element of one example of `x` [C, ...], how many products of the convolution it enters.

    Options of a transposed convolution (`output_padding` among them) make it one.
    """
    one = torch.ones(1, *x.shape[1:], dtype=torch.float64, requires_grad=True)
    plain = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
    transposed = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
    convolve = (transposed if "output_padding" in options else plain)[weight.dim() - 2]
    there = torch.ones(weight.shape, dtype=torch.float64)
    if table is not None:
        there *= table.cpu().view(*table.shape, *[1] * (weight.dim() - 2))
    with torch.enable_grad():
        total = convolve(one, there, **options).sum()
        return torch.autograd.grad(total, one)[0][0]


_PLAIN = (("stride", 3, 1), ("padding", 4, 0), ("dilation", 5, 1), ("groups", 6, 1))
_TRANSPOSED = (("stride", 3, 1), ("padding", 4, 0), ("output_padding", 5, 0), ("groups", 6, 1), ("dilation", 7, 1))


def _convolution(call: Call) -> Work:
    """Return the work of a convolution; a transposed one has its products counted per input element."""
    weight = call.get(1, "weight")
    transposed = "transpose" in call.name
    x = call.data if call.data.dim() == weight.dim() else call.data.unsqueeze(0)
    names = _TRANSPOSED if transposed else _PLAIN
    options = {name: call.get(position, name, default) for name, position, default in names}
    if options["stride"] is None or options["stride"] == []:
        options["stride"] = 1
    dense = (x.numel() if transposed else call.out.numel()) * (weight.numel() // weight.shape[0])
    if call.table is not None:
        dense = dense * int(call.table.sum()) // call.table.numel()

    def effective() -> int:
        reach = connections(x, weight, call.table, **options)
        return int(((x != 0).sum(0).cpu() * reach).sum())

    def summed() -> float:
        return float((x.sum(0, dtype=torch.float64).cpu() * connections(x, weight, call.table, **options)).sum())

    return products("convolution", call, dense, effective, call.get(2, "bias") is not None, summed=summed)


# -- attention ---------------------------------------------------------------------------------------------------------
def _attention_of(queries: int, keys: int, rows: int, width: int, width_of_values: int) -> dict[str, int]:
    """Return the work of `rows` tables of `queries` x `keys` attention: every pair, masked ones included.

    Products with the queries (scaled first), a softmax over the keys, the weighted sum of the values.
    """
    pairs = rows * queries * keys
    mac = pairs * (width + width_of_values)
    scaled = rows * queries * width
    return {"mac": mac, "mac_nonzero": mac, "mul": scaled + pairs, "function": pairs, "add": pairs}


def _attention(call: Call) -> Work:
    """Price `F.scaled_dot_product_attention`: queries [..., L, D], keys [..., S, D], values [..., S, V]."""
    query, key, value = (call.get(place, name) for place, name in enumerate(("query", "key", "value")))
    rows = call.out.numel() // (call.out.shape[-1] * call.out.shape[-2])
    own = _attention_of(query.shape[-2], key.shape[-2], rows, query.shape[-1], value.shape[-1])
    return Work("attention", own, stored=True)


def _attention_of_many_heads(call: Call) -> Work:
    """Return the work of `F.multi_head_attention_forward`: the projections in, attention, the projection out."""
    query, key, value = (call.get(place, name) for place, name in enumerate(("query", "key", "value")))
    width, heads = call.get(3, "embed_dim_to_check"), call.get(4, "num_heads")
    batch = query.shape[1] if query.dim() == 3 else 1
    asked, there = query.shape[0], key.shape[0]
    mac = batch * width * (asked * query.shape[-1] + there * key.shape[-1] + there * value.shape[-1] + asked * width)
    own = {"mac": mac, "mac_nonzero": mac}
    more = (call.get(7, "bias_k") is not None) + bool(call.get(9, "add_zero_attn"))
    inner = _attention_of(asked, there + more, batch * heads, width // heads, width // heads)
    biases = 0
    if call.get(6, "in_proj_bias") is not None:
        biases += batch * width * (asked + 2 * there)
    if call.get(12, "out_proj_bias") is not None:
        biases += batch * width * asked
    own = {name: own.get(name, 0) + amount for name, amount in inner.items()}
    own["add"] += biases
    return Work("attention", own, stored=True)


PRODUCTS: dict[str, Price] = {
    "linear": _linear,
    **dict.fromkeys(("matmul", "rmatmul", "mm", "mv", "bmm"), _matmul),
    **dict.fromkeys(("addmm", "addmv", "baddbmm", "addbmm"), _added_to),
    **dict.fromkeys(("dot", "vdot", "inner"), _dot),
    **dict.fromkeys(("outer", "ger", "kron"), _outer),
    "bilinear": _bilinear,
    "tensordot": _tensordot,
    "einsum": _einsum,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution),
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _attention_of_many_heads,
}
