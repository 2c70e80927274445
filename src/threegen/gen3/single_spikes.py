"""What nets of single spikes share: the spike times of a layer without competition, pooled, and what answers cost.

A compiled kernel sums exactly in whole units of 2^-22 (see `functional.plasticity.whole_sums`). It is used on the CPU
for a layer with `strict=True` whose `fire` is the library's own; every other layer's own `fire` is called.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.functional.plasticity.rank_order_fused import FiringLayer, firing_times
from threegen.gen3.fast_way import replaced_method
from threegen.gen3.ordered_conv import OrderedConv, RankLatency
from threegen.gen3.parts import NEURONS, Cost


def fired_at(layer: OrderedConv, times: Tensor) -> Tensor:
    """Return the spike times (uint8) of all neurons for input times, without competition.

    Shapes: [B, C, H, W] to [B, F, R, S].
    """
    if _kernel_fires(layer, times):
        return firing_times(layer.weight, times, _described(layer))
    return layer.fire(times.long())[0].to(torch.uint8)


def pooled_times(layer: OrderedConv, times: Tensor, pool: int, whole: bool = False) -> Tensor:
    """Return the earliest spike time (uint8) of each square of `pool` x `pool` places, without competition.

    `whole` also takes the rest at the edge, which fills no square. Shapes: [B, C, H, W] to [B, F, R, S].
    """
    if not whole and _kernel_fires(layer, times):
        return firing_times(layer.weight, times, _described(layer), pool)
    return (-F.max_pool2d(-fired_at(layer, times).float(), pool, ceil_mode=whole)).to(torch.uint8)


def spikes_fingerprint(model: nn.Module, encoder: RankLatency, layers: Sequence[OrderedConv], what: str) -> str:
    """Return a fingerprint of spike times: of `what` they are (data, a name), the model's class, and the settings and
    weights of the encoder and of the layers that they have passed."""
    names = ("steps", "padding", "threshold", "strict", "equal_bins", "least", "radius")
    digest = hashlib.sha256(f"{type(model).__module__}.{type(model).__qualname__} {what}".encode())
    for part, weight in ((encoder, encoder.filters), *((layer, layer.weight) for layer in layers)):
        settings = {name: getattr(part, name) for name in names if hasattr(part, name)}
        digest.update(f"{type(part).__module__}.{type(part).__qualname__} {settings}".encode())
        digest.update(weight.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _kernel_fires(layer: OrderedConv, times: Tensor) -> bool:
    known = layer.strict and layer.steps < 256 and math.isfinite(layer.threshold)
    on_cpu = times.device.type == "cpu" and layer.weight.device.type == "cpu" and times.dtype == torch.uint8
    return known and on_cpu and replaced_method(layer, ("fire",)) is None


def _described(layer: OrderedConv) -> FiringLayer:
    return FiringLayer(layer.steps, layer.padding, layer.threshold, layer.winners, layer.radius, layer.bounds)


def encoder_cost(encoder: RankLatency, encoded: Tensor, scores: Tensor) -> Cost:
    """Return what contrasts, local gain and order cost, for the spike times [B, C, H, W] that came out."""
    responses = encoded.numel()
    products = responses * encoder.filters.shape[-1] ** 2
    gain = {"mul": responses, "add": responses * (2 * encoder.radius + 1) ** 2}
    order = {"compare": responses * (math.ceil(math.log2(encoded[0].numel())) + 1)}
    operations = {"mac": products, "mac_nonzero": products, **gain, **order}
    return Cost("encoder", operations, scores, fed_by="values", shape=tuple(encoded.shape[1:]))


def layer_cost(layer: OrderedConv, times: Tensor, scores: Tensor) -> Cost:
    """Return what a layer costs for input times [B, C, H, W]: its sums, and a comparison per neuron and step."""
    sums, shape = additions(layer, times < layer.steps)
    looks = 1 if math.isinf(layer.threshold) else layer.steps
    operations = {"ac": sums, "threshold": looks * len(times) * math.prod(shape)}
    return Cost(NEURONS, operations, scores, fed_by="spikes", shape=shape)


def additions(layer: OrderedConv, fired: Tensor) -> tuple[int, tuple[int, int, int]]:
    """Return the number of weights added for the inputs that fire [B, C, H, W] (bool), and the shape of the maps."""
    size = layer.weight.shape[-1]
    ones = torch.ones(1, 1, size, size, dtype=torch.float64)
    reached = F.conv2d(fired.sum(1, keepdim=True).double().cpu(), ones, padding=layer.padding)
    features = len(layer.weight)
    return int(reached.sum()) * features, (features, reached.shape[2], reached.shape[3])
