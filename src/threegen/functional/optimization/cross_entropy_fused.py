"""Softmax, cross-entropy and its gradient in one pass, for the few scores of a small net.

    p_k = exp(s_k - max s) / sum exp        E = -log p_t        dE/ds_k = (p_k - [k = t]) / B

Elementary operations on a batch of scores take eight calls, each as slow as this whole function.

Shapes: K classes, B examples; scores of one class are contiguous.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from threegen.functional.energy.rbm_kernels import exponential
from threegen.machine.compiler import serial

Array = np.ndarray[Any, Any]


@serial
def softmax_errors(scores: Array, labels: Array, errors: Array) -> Any:
    """Fill `errors` [K, B] with dE/ds, E the mean over the batch, and return E.

    `scores` [K, B] and `errors` are float32, `labels` [B] whole numbers. Returns -1 for a label out of range.
    Non-finite scores give a non-finite result.
    """
    classes, batch = scores.shape
    highest, total = scores[0].copy(), np.zeros(batch, np.float32)
    for k in range(1, classes):
        for b in range(batch):
            highest[b] = max(highest[b], scores[k, b])
    for k in range(classes):
        row, own = scores[k], errors[k]
        for b in range(batch):
            below = row[b] - highest[b]
            own[b] = exponential(below) + (below - below)  # non-finite values remain so
        for b in range(batch):
            total[b] += own[b]
    share, loss = np.float32(1.0) / np.float32(batch), 0.0
    for b in range(batch):
        if not 0 <= labels[b] < classes:
            return -1.0
        loss += np.log(total[b]) - (scores[labels[b], b] - highest[b])
        total[b] = share / total[b]
    for k in range(classes):
        own = errors[k]
        for b in range(batch):
            own[b] *= total[b]
    for b in range(batch):
        errors[labels[b], b] -= share
    return loss / batch
