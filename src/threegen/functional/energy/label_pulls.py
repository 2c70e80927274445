"""Learning of the classifier in an associative memory: the exact gradient of log P(y|x) with label units.

    o_c = d + U x + L_c       s_c = a_c + sum_j softplus(o_cj)       p = softmax(s) = P(y|x)       e_c = [c = y] - p_c

    dU = sum_c e_c sigmoid(o_c) x^T        dL_c = e_c sigmoid(o_c)        dd = sum_c e_c sigmoid(o_c)        da_c = e_c

Larochelle and Bengio, "Classification using discriminative restricted Boltzmann machines", ICML 2008, section 4. Two
ways to compute it: torch's own operations for any type and device, and one compiled pass over the cases, in which
softplus is max(o, 0) + log(1 + z) with z = exp(-|o|), and log(1 + z) = 2 artanh(z / (2 + z)) a series to its
thirteenth power.

Shapes: B cases, T hidden units, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.functional.energy.rbm_kernels import exponential
from threegen.machine.compiler import regrouping, serial

_ZERO, _ONE, _TWO = np.float32(0.0), np.float32(1.0), np.float32(2.0)
_BLOCK = 512  # units whose softplus values are summed in float32
_ODD = tuple(np.float32(2.0 / n) for n in (3, 5, 7, 9, 11, 13))


@dataclass(frozen=True)
class LabelPulls:
    """`hidden` [B, T] is sum_c e_c sigmoid(o_c), `weight` [T, C] and `bias` [C] are dL and da summed over the cases."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor


def label_pulls(inputs: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> LabelPulls:
    """Return the pulls of `labels` [B], given `inputs` d + U x [B, T], `weight` L [T, C] and `bias` a [C]."""
    if inputs.device.type == "cpu" and inputs.dtype == torch.float32:
        return _compiled_pulls(inputs, weight, bias, labels)
    return plain_label_pulls(inputs, weight, bias, labels)


def plain_label_pulls(inputs: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> LabelPulls:
    """Return the same by torch's own operations; B x C x T numbers are in memory at once."""
    total = inputs.unsqueeze(1) + weight.T  # [B, C, T]
    chances = (bias + F.softplus(total).sum(2)).softmax(1)
    errors = F.one_hot(labels, len(bias)).to(chances.dtype) - chances  # [B, C]
    pulls = torch.sigmoid(total) * errors.unsqueeze(2)
    return LabelPulls(pulls.sum(1), pulls.sum(0).T, errors.sum(0))


def _compiled_pulls(inputs: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> LabelPulls:
    found = LabelPulls(torch.zeros_like(inputs), torch.zeros_like(weight.T.contiguous()), torch.zeros_like(bias))
    given = (inputs.contiguous(), weight.T.contiguous(), bias.contiguous(), labels.contiguous())
    _pull(*(one.numpy() for one in given), found.hidden.numpy(), found.weight.numpy(), found.bias.numpy())
    return LabelPulls(found.hidden, found.weight.T, found.bias)


@regrouping
def _soften(inputs: Any, weight: Any, slopes: Any) -> Any:
    """Fill `slopes` [T] with sigmoid(inputs + weight); return the sum of softplus of the same."""
    total = _ZERO
    for j in range(len(slopes)):
        x = inputs[j] + weight[j]
        small = exponential(-abs(x))
        part = small / (_TWO + small)
        square = part * part
        tail = _ODD[2] + square * (_ODD[3] + square * (_ODD[4] + square * _ODD[5]))
        total += max(x, _ZERO) + part * (_TWO + square * (_ODD[0] + square * (_ODD[1] + square * tail)))
        slopes[j] = (_ONE if x >= _ZERO else small) / (_ONE + small)
    return total


@serial
def _add(slopes: Any, error: Any, hidden: Any, weight: Any) -> None:
    for j in range(len(slopes)):
        pull = error * slopes[j]
        hidden[j] += pull
        weight[j] += pull


@serial
def _pull(inputs: Any, weight: Any, bias: Any, labels: Any, hidden: Any, weight_pull: Any, bias_pull: Any) -> None:
    """Add to `hidden` [B, T], `weight_pull` [C, T] and `bias_pull` [C] the contribution of each case; `weight` is [C,
    T]."""
    slopes, scores = np.empty(weight.shape, np.float32), np.empty(len(bias))
    for b in range(len(inputs)):
        for c in range(len(bias)):
            scores[c] = bias[c]
            for low in range(0, len(inputs[b]), _BLOCK):
                high = min(low + _BLOCK, len(inputs[b]))
                scores[c] += _soften(inputs[b, low:high], weight[c, low:high], slopes[c, low:high])
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        for c in range(len(bias)):
            error = np.float32((1.0 if c == labels[b] else 0.0) - chances[c])
            _add(slopes[c], error, hidden[b], weight_pull[c])
            bias_pull[c] += error
