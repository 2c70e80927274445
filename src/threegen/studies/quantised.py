"""Fewer bits per weight: real int8 arithmetic, and rounding to any number of bits with further training.

    scale_k = max |w_k| / (2^(bits-1) - 1)        one for each output unit k
    w_k     ~ scale_k * q_k,  q_k whole, -(2^(bits-1) - 1) .. 2^(bits-1) - 1

Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR
2018. While tuning, rounding counts as the identity in the backward pass (Bengio, Leonard and Courville 2013).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_whole
from threegen.machine.torch_private import whole_product


def scales_of(weight: Tensor, bits: int) -> Tensor:
    """Return the scale `[outputs]` of each row of `weight`."""
    most = 2 ** (require_whole("bits", bits, least=2) - 1) - 1
    scales: Tensor = weight.detach().abs().amax(1).clamp(min=1e-12) / most
    return scales


class Int8Linear(nn.Module):
    """A linear layer that multiplies whole numbers: int8 weights, inputs rounded to int8 row by row, int32 sums."""

    weight: Tensor
    scales: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        scales = scales_of(layer.weight, 8)
        self.register_buffer("weight", (layer.weight.detach() / scales.unsqueeze(1)).round().to(torch.int8))
        self.register_buffer("scales", scales)
        self.register_buffer("bias", layer.bias.detach().clone())

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[B, outputs]` in float32."""
        input_scales = scales_of(inputs, 8).unsqueeze(1)
        whole = (inputs / input_scales).round().to(torch.int8)
        sums = whole_product(whole, self.weight.T)
        return sums * input_scales * self.scales + self.bias


class RoundedLinear(nn.Linear):
    """A linear layer that computes with its weights rounded to `bits`; the backward pass ignores the rounding."""

    bits: int

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[B, outputs]`."""
        scales = scales_of(self.weight, self.bits)
        most = 2 ** (self.bits - 1) - 1
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        rounded = torch.fake_quantize_per_channel_affine(self.weight, scales, zeros, 0, -most, most)
        return F.linear(inputs, rounded, self.bias)


def in_int8(model: nn.Module) -> nn.Module:
    """Return a copy of `model` whose linear layers work in int8."""
    return _replaced(model, Int8Linear)


def rounded_to(model: nn.Module, bits: int) -> nn.Module:
    """Return a copy of `model` whose linear layers round their weights to `bits`; it can be trained further."""

    def make(layer: nn.Linear) -> RoundedLinear:
        other = RoundedLinear(layer.in_features, layer.out_features, device="meta")
        other.weight, other.bias = layer.weight, layer.bias
        other.bits = bits
        return other

    return _replaced(model, make)


def weight_bytes(model: nn.Module, bits: int) -> int:
    """Return the bytes of `model`'s linear layers at `bits` per weight; scales (below 16 bits) and biases stay float32.

    At 16 and 32 bits biases have the type of the weights.
    """
    total = 0
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            total += -(-layer.weight.numel() * bits // 8)
            extra = len(layer.weight) * (2 if bits < 16 else 1)
            total += extra * (bits // 8 if bits >= 16 else 4)
    return total


def _replaced(model: nn.Module, make: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    other = copy.deepcopy(model)
    for part in list(other.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.Linear):
                setattr(part, name, make(child))
    return other
