"""The table of prices: what each torch function costs, by the function's plain name, in small families.

Products are in `products`, pooling and resampling in `windows`. The bill names functions that are in no table.
"""

from __future__ import annotations

import math

from torch import Tensor

from threegen.cost.operations import Call, Price, Work, each
from threegen.cost.products import PRODUCTS
from threegen.cost.windows import WINDOWS
from threegen.gen3.parts import nonzero


def _reduction(call: Call) -> Work:
    if call.signal == "spikes":
        unit = 1.0 if call.name == "sum" else call.out.numel() / max(call.data.numel(), 1)
        return Work("sum", {"ac": nonzero(call.data)}, signal="counts", unit=unit)
    work = {"add": call.data.numel() - call.out.numel()}
    if call.name == "mean":
        work["mul"] = call.out.numel()
    return Work("sum", work, signal=call.signal)


def _product(call: Call) -> Work:
    return Work("product", {"mul": max(call.data.numel() - call.out.numel(), 0)})


def _spread(call: Call) -> Work:
    """Return the work of a variance or a deviation: the mean, the differences from it, their squares and their mean."""
    numbers, groups = call.data.numel(), call.out.numel()
    own = {"add": 3 * numbers - 2 * groups, "mul": numbers + 2 * groups}
    return Work("statistics", own | ({"function": groups} if call.name.startswith("std") else {}))


def _norm(call: Call) -> Work:
    numbers, groups = call.data.numel(), call.out.numel()
    if call.name in ("normalize", "cosine_similarity"):  # each vector is divided by its length
        vectors = call.data.shape[int(call.get(2, "dim", 1))]
        groups = numbers // max(vectors, 1)
        own = {"mul": 2 * numbers, "add": numbers - groups, "function": groups}
        return Work("normalisation", own if call.name == "normalize" else {name: 2 * n for name, n in own.items()})
    return Work("norm", {"mul": numbers, "add": numbers - groups, "function": groups})


# -- normalisation -----------------------------------------------------------------------------------------------------
def _normalised(kind: str, call: Call, groups: int, scale: bool, shift: bool, *, centred: bool = True) -> Work:
    """Return the work of a normalisation by statistics of the data itself, `groups` of them.

    Of each element: the sum for the mean, the difference from it, its square, the sum of those; then the product with
    1 / deviation, the scale and the shift. Of each group: two divisions, epsilon, one inverse root. Not `centred`
    leaves the mean out.
    """
    numbers = call.out.numel()
    adds = (3 if centred else 1) * numbers - (2 if centred else 1) * groups + groups + shift * numbers
    own = {"add": adds, "mul": (2 + scale) * numbers + (2 if centred else 1) * groups, "function": groups}
    return Work(kind, own)


def _batch_normalisation(call: Call) -> Work:
    """In eval mode one scale and one shift; without running statistics those of the batch are computed."""
    if call.get(1, "running_mean") is not None and not call.get(5, "training", False):
        return Work("batch normalisation", {"mul": call.out.numel(), "add": call.out.numel()})
    planes = call.out.shape[1]
    return _normalised(
        "batch normalisation", call, planes, call.get(3, "weight") is not None, call.get(4, "bias") is not None
    )


def _instance_normalisation(call: Call) -> Work:
    if not call.get(5, "use_input_stats", True):
        return Work("instance normalisation", {"mul": call.out.numel(), "add": call.out.numel()})
    groups = call.out.shape[0] * call.out.shape[1]
    scale, shift = call.get(3, "weight") is not None, call.get(4, "bias") is not None
    return _normalised("instance normalisation", call, groups, scale, shift)


def _layer_normalisation(call: Call) -> Work:
    groups = call.out.numel() // math.prod(call.get(1, "normalized_shape"))
    scale = call.get(2, "weight") is not None
    if call.name == "rms_norm":
        return _normalised("layer normalisation", call, groups, scale, shift=False, centred=False)
    return _normalised("layer normalisation", call, groups, scale, call.get(3, "bias") is not None)


def _group_normalisation(call: Call) -> Work:
    groups = call.out.shape[0] * int(call.get(1, "num_groups"))
    scale, shift = call.get(2, "weight") is not None, call.get(3, "bias") is not None
    return _normalised("group normalisation", call, groups, scale, shift)


def _response_normalisation(call: Call) -> Work:
    """b_i = a_i / (k + alpha sum_j a_j^2)^beta: the windows of planes are cut off at the first and the last."""
    planes, size = call.data.shape[1], int(call.get(1, "size"))
    before, after = size // 2, (size - 1) // 2
    terms = sum(min(planes, one + after + 1) - max(0, one - before) for one in range(planes))
    sites = call.out.numel() // planes
    own = {"mul": 3 * call.out.numel(), "add": sites * terms, "function": call.out.numel()}
    return Work("response normalisation", own, stored=True)


def _extremum(call: Call) -> Work:
    return Work("maximum", {"compare": max(call.data.numel() - call.out.numel(), 0)})


def _softmax(call: Call) -> Work:
    count = call.out.numel()
    return Work("softmax", {"function": count, "add": count, "mul": count})


def _power(call: Call) -> Work:
    """A small whole power is a chain of products, any other is a function."""
    power = call.get(1, "exponent")
    if isinstance(power, int | float) and power in (1, 2, 3, 4) and call.name == "pow":
        products = {1: 0, 2: 1, 3: 2, 4: 2}[int(power)]
        return Work("multiplication", {"mul": products * call.out.numel()})
    return Work("activation", {"function": call.out.numel()})


def _log_sum_exp(call: Call) -> Work:
    return Work("softmax", {"function": call.data.numel() + call.out.numel(), "add": call.data.numel()})


def _running(operation: str) -> Price:
    return lambda call: Work("running sum", {operation: call.out.numel()})


def _distance(call: Call) -> Work:
    """Return the work of all distances between rows: one difference, product and sum per element, one root per pair."""
    pairs = call.out.numel() * call.data.shape[-1]
    return Work("distance", {"add": 2 * pairs, "mul": pairs, "function": call.out.numel()})


# Of each unit and step: exponentials or tangents, and products of gates.
_GATES = {"rnn_tanh": (1, 0), "rnn_relu": (0, 0), "lstm": (5, 3), "gru": (3, 3)}


def _recurrent(call: Call) -> Work:
    """Return the work of a whole recurrent layer or of one step of its cell: every weight once per step."""
    cell = call.name.endswith("_cell")
    functions, products = _GATES[call.name.removesuffix("_cell")]
    packed = not cell and isinstance(call.args[1], Tensor) and not call.args[1].is_floating_point()
    weights = list(call.args[2:]) if cell else list(call.args[3 if packed else 2])
    weights = [one for one in weights if isinstance(one, Tensor)]
    x = call.args[0]
    visits = x.numel() // x.shape[-1]  # samples times steps; a packed sequence holds only existing steps
    mac = visits * sum(one.numel() for one in weights if one.dim() == 2)
    own = {"mac": mac, "mac_nonzero": mac, "add": visits * sum(one.numel() for one in weights if one.dim() == 1)}
    gates = {"lstm": 4, "gru": 3}.get(call.name.removesuffix("_cell"), 1)
    # matrices come in pairs, from the input and from the state; the projection of an LSTM has other rows
    matrices = [one for one in weights if one.dim() == 2]
    pairs = [one for one in matrices if one.shape[0] == matrices[0].shape[0]]
    units = visits * sum(one.shape[0] // gates for one in pairs) // 2
    own |= {"function": functions * units, "mul": products * units}
    return Work("recurrent", {name: amount for name, amount in own.items() if amount}, stored=True)


def _family(names: str, price: Price) -> dict[str, Price]:
    return dict.fromkeys(names.split(), price)


_ELEMENTWISE: dict[str, Price] = {
    **_family("add sub subtract rsub iadd isub", each("addition", "add")),
    **_family("mul multiply imul square neg negative reciprocal", each("multiplication", "mul")),
    **_family("div divide true_divide truediv rdiv rtruediv idiv itruediv", each("multiplication", "mul")),
    **_family("floor_divide floordiv rfloordiv remainder fmod", each("multiplication", "mul")),
    **_family("addcmul addcdiv lerp", each("multiplication", "mul", "add")),
    **_family("relu relu6 hardtanh clamp clip clamp_min clamp_max abs threshold", each("rectifier", "compare")),
    **_family("hardshrink", each("rectifier", "compare")),
    **_family("softshrink", each("rectifier", "compare", "add")),
    **_family("leaky_relu prelu rrelu", each("rectifier", "compare", "mul")),
    **_family("ge gt le lt eq ne greater less sign heaviside", each("step", "compare")),
    **_family("floor ceil round trunc frac", each("rounding", "compare")),
    **_family("where maximum minimum fmax fmin masked_fill", each("choice", "compare")),
    # x relu6(x + 3) / 6: both ends of relu6 are comparisons
    "hardswish": each("activation", compare=2, add=1, mul=2),
    "hardsigmoid": each("activation", compare=2, add=1, mul=1),
    "mish": each("activation", mul=1, function=3),
    "glu": each("activation", "function", "mul"),
    **_family("sigmoid tanh exp exp2 expm1 log log2 log10 log1p sqrt rsqrt", each("activation", "function")),
    **_family(
        "gelu silu elu celu selu softplus softsign tanhshrink log_sigmoid logsigmoid", each("activation", "function")
    ),
    **_family("erf erfc sin cos tan asin acos atan arctan atan2 sinh cosh sinc logit", each("activation", "function")),
    **_family("pow rpow", _power),
}
_STATISTICS: dict[str, Price] = {
    "batch_norm": _batch_normalisation,
    "instance_norm": _instance_normalisation,
    **_family("layer_norm rms_norm", _layer_normalisation),
    "group_norm": _group_normalisation,
    "local_response_norm": _response_normalisation,
    **_family("sum mean nansum nanmean", _reduction),
    "prod": _product,
    **_family("var std", _spread),
    **_family("norm vector_norm linalg_vector_norm normalize cosine_similarity", _norm),
    **_family("cdist pairwise_distance", _distance),
    **_family("cumsum logcumsumexp", _running("add")),
    "cumprod": _running("mul"),
    **_family("cummax cummin", _running("compare")),
    **_family("softmax log_softmax softmin", _softmax),
    "logsumexp": _log_sum_exp,
    **_family("max min amax amin argmax argmin", _extremum),
}
_RECURRENT = {f"{name}{kind}": _recurrent for name in _GATES for kind in ("", "_cell")}
PRICES: dict[str, Price] = PRODUCTS | WINDOWS | _ELEMENTWISE | _STATISTICS | _RECURRENT

_MOVES = """
view reshape flatten unflatten permute transpose movedim moveaxis swapaxes swapdims t adjoint contiguous clone detach
to float double bfloat16 half cpu cuda squeeze unsqueeze expand expand_as broadcast_to broadcast_tensors repeat
repeat_interleave tile getitem get select narrow chunk split split_with_sizes tensor_split unbind view_as reshape_as
type_as type as_strided pad dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout cat concat
concatenate stack hstack vstack dstack index_select gather take take_along_dim masked_select iter copy pixel_shuffle
pixel_unshuffle channel_shuffle unfold im2col roll flip fliplr flipud rot90 ravel diagonal diag tril triu meshgrid
max_unpool1d max_unpool2d max_unpool3d atleast_1d atleast_2d atleast_3d scatter index_copy real long int short byte
pack_padded_sequence pad_packed_sequence result_type unsafe_chunk unsafe_split refine_names rename align_to
"""
_FREE = """
isfinite isnan isinf all any aminmax nonzero count_nonzero numel zeros ones full empty zeros_like ones_like full_like
empty_like new_zeros new_ones new_empty new_full new_tensor arange tensor as_tensor set len bool int long requires_grad
size dim ndimension stride is_floating_point is_complex item tolist numpy from_numpy logical_and logical_or logical_not
logical_xor and or invert equal allclose isclose storage_offset data_ptr is_contiguous hash format repr str shape index
uniform normal rand_like randn_like bernoulli random register_hook requires_grad backward grad_mode
"""
# They only move numbers and pass the signal on.
MOVES = frozenset(_MOVES.split())
# They are not part of the answer: guards, shapes, fresh tensors.
FREE = frozenset(_FREE.split()) - MOVES
