"""A layer whose first spike is the answer and which learns from reward, as a compiled walk over spikes.

The fast version of `RewardSTDP` on `DecisionConv(strict=True)` with a finite threshold: winners, verdicts and weights
are those of the plain tensors, in all bits.

Shapes: B examples, C input maps, H x W inputs, F features, k x k kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.functional.plasticity.decision_bounds import RewardState
from threegen.functional.plasticity.decision_fused import changes, count_answer
from threegen.functional.plasticity.rank_order_fused import (
    FiringLayer,
    find_winners,
    move_winner,
    rows_of,
    sort_inputs,
)
from threegen.functional.plasticity.whole_sums import whole_bits
from threegen.machine.compiler import serial

Array = np.ndarray[Any, Any]


def learn_by_first_spikes(
    weight: Tensor,
    times: Tensor,
    targets: Tensor,
    layer: FiringLayer,
    classes: int,
    state: RewardState,
    dropped: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Let the layer answer input times [B, C, H, W] (uint8) one after another and learn from each answer.

    Moves `weight` and `state` in place. Maps that are `dropped` (bool [F]) do not take part. Returns the winners' maps
    [B] (-1 where nobody fires) of the last attempt and the verdicts [B] (1, -1, or 0) of the first.
    """
    bits = whole_bits(weight[0].numel(), layer.bounds[1])
    rows = rows_of(weight, bits)
    if dropped is not None:
        rows[..., dropped.numpy()] = 0
    winners, verdicts = np.full(len(times), -1, np.int64), np.zeros(len(times), np.int64)
    rates = state.rates()
    each = len(weight) // classes
    marks = np.array([*state.counts, state.window, state.stabiliser, each, state.tries], np.int64)
    wholes = layer.wholes(bits)
    wholes[3] = 1  # the first spike decides
    stored = weight.detach()
    own = stored.contiguous()
    inputs, labels = times.contiguous().numpy(), targets.contiguous().numpy()
    _walk(own.numpy(), rows, inputs, labels, wholes, rates, marks, 2.0**bits, winners, verdicts)
    if own is not stored:
        stored.copy_(own)
    state.take_back(rates, marks)
    return torch.from_numpy(winners), torch.from_numpy(verdicts)


@serial
def _walk(
    weight: Array,
    rows: Array,
    times: Array,
    targets: Array,
    wholes: Array,
    rates: Array,
    marks: Array,
    scale: float,
    winners: Array,
    verdicts: Array,
) -> None:
    steps, pad = wholes[0], wholes[1]
    _, channels, height, width = times.shape
    size, features = rows.shape[1], rows.shape[3]
    potentials = np.empty((height + 2 * pad - size + 1, width + 2 * pad - size + 1, features), np.int32)
    places, begin = np.empty(channels * height * width, np.int64), np.empty(steps + 1, np.int64)
    won = np.empty((1, 4), np.int64)
    for b in range(len(times)):
        sort_inputs(times[b], steps, places, begin)
        for attempt in range(1 + marks[6]):
            if find_winners(rows, potentials, places, begin, wholes, height, width, won) == 0:
                winners[b] = -1
                if attempt == 0:
                    count_answer(rates, marks, 0)
                break
            winners[b] = won[0, 0]
            right = winners[b] // marks[5] == targets[b]
            up, down = changes(rates, right, attempt > 0)
            change = np.array([np.float64(up), np.float64(down), rates[6], rates[7]])
            move_winner(weight, rows, times[b], steps, pad, won[0], change, marks[4], scale)
            if attempt == 0:
                verdicts[b] = 1 if right else -1
                count_answer(rates, marks, verdicts[b])
            if right:
                break
