"""A decision layer that learns from reward, image by image, without computing most of its potentials.

Only the winner's kernel changes, so between two visits of an image nearly all potentials change little. Per batch of
images a matrix product gives all potentials P0 for the weights w0 of that moment. Later, for weights w,

    P(f, p) <= P0(f, p) + D(f, p) D: the sum of max(0, w - w0) over the synapses of map f at position p

so only pairs (f, p) whose bound reaches the exact potential of the last winner are summed; the others cannot win. The
product is repeated when the sums that it saves would cost more than it. Weights are float32 and inputs are bits: a sum
in float64 is exact, so the winners are those of `DecisionConv(strict=True)`, ties included, however images are batched.
A sum in float32 is computed first, and only candidates within its rounding error are summed exactly. With a margin the
same bounds select the neurons of other classes that come within it.

Shapes: B images, C channels, L input places (H W), P output places, F features, O = k k offsets.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.functional.plasticity.decision_fused import measure_distances, rounding, walk

Array = np.ndarray[Any, Any]

_SUMS_PER_PRODUCT = 0.28  # one image's share of the product costs as much as this share of single sums
_AT_ONCE = 250  # images in one product


@dataclass(frozen=True, slots=True)
class Geometry:
    """The inputs of each output position: pairs (input position, offset in the kernel), without those in the border.

    Position p has the pairs `begin[p] : begin[p + 1]`.
    """

    begin: Array
    cell: Array
    offset: Array

    @classmethod
    def of(cls, height: int, width: int, size: int, padding: int) -> Geometry:
        """Return the geometry of a convolution of stride 1."""
        begin, cells, offsets = [0], [], []
        for y in range(height + 2 * padding - size + 1):
            for x in range(width + 2 * padding - size + 1):
                for i in range(size):
                    for j in range(size):
                        r, s = y + i - padding, x + j - padding
                        if 0 <= r < height and 0 <= s < width:
                            cells.append(r * width + s)
                            offsets.append(i * size + j)
                begin.append(len(cells))
        return cls(*(np.array(found, np.int64) for found in (begin, cells, offsets)))


@dataclass(slots=True)
class Bounds:
    """Bounds of the potentials of one batch: the weights they are for, and the distance of each from the largest."""

    weight: Array  # [F, O, C], when the product was made
    gaps: Array  # [B, P, F], in units, 255 for 255 and more
    top: Array  # [B], at least the largest potential
    leader: Array  # [B], the last winner f P + p
    sums: float = 0.0  # per image, since the product was made
    visits: int = 0


@dataclass
class BoundsStore:
    """The bounds of the most recent batches, looked up by their bits; at most `most` bytes."""

    most: int = 2 << 30
    held: dict[bytes, Bounds] = field(default_factory=dict)

    def find(self, bits: Array) -> tuple[bytes, Bounds | None]:
        """Return the key of a batch and its bounds, or None."""
        packed = np.packbits(bits)
        key = hashlib.blake2b(packed.data, digest_size=16, person=repr(bits.shape).encode()[:16]).digest()
        return key, self.held.pop(key, None)

    def keep(self, key: bytes, bounds: Bounds) -> None:
        """Store bounds as the newest; the oldest ones are dropped at the memory limit."""
        self.held[key] = bounds
        each = bounds.weight.nbytes + bounds.gaps.nbytes
        while len(self.held) > max(1, self.most // each):
            self.held.pop(next(iter(self.held)))


@dataclass(slots=True)
class RewardState:
    """The numbers of the reward rule: rates of active and other inputs, their factors, and the window of counted
    answers."""

    reward: tuple[float, float]
    punish: tuple[float, float]
    right_share: float
    wrong_share: float
    counts: list[int]  # right, wrong, seen
    window: int  # 0: the factors are fixed
    bounds: tuple[float, float]
    stabiliser: bool
    floor: float = 0.0  # the least factor
    tries: int = 0  # how often an example is shown again after a wrong answer
    margin: float = 0.0  # right answers that lead by more change nothing; 0: all change weights

    def rates(self) -> Array:
        """Return all rates as the kernels want them."""
        shares = (self.right_share, self.wrong_share)
        return np.array([*self.reward, *self.punish, *shares, *self.bounds, self.floor, self.margin])

    def take_back(self, rates: Array, marks: Array) -> None:
        """Take the shares and counts that a kernel has moved."""
        self.right_share, self.wrong_share = float(rates[4]), float(rates[5])
        self.counts = [int(count) for count in marks[:3]]


def learn_by_reward(
    weight: Tensor,
    bits: Tensor,
    targets: Tensor,
    padding: int,
    classes: int,
    state: RewardState,
    store: BoundsStore | None = None,
) -> tuple[Tensor, Tensor, float]:
    """Classify images `bits` [B, C, H, W] (uint8, 0 or 1) one after another and learn from each answer.

    Moves `weight` [F, C, k, k] (float32) and `state` in place. Returns the winners f P + p [B] (-1 where nobody fires)
    of the last attempt, the verdicts [B] (1, -1, or 0) of the first and how many potentials were added up per image.
    """
    batch, channels, height, width = bits.shape
    features, size = len(weight), weight.shape[-1]
    shape = Geometry.of(height, width, size, padding)
    own = weight.detach().permute(0, 2, 3, 1).reshape(features, size * size, channels).contiguous().numpy()
    seen = bits.permute(0, 2, 3, 1).reshape(batch, height * width, channels).contiguous().numpy()
    key, bounds = store.find(seen) if store is not None else (b"", None)
    if bounds is None or _stale(bounds):
        bounds = measure(own, seen, shape)
    verdicts = np.zeros(batch, np.int64)
    rates = state.rates()
    marks = np.array([*state.counts, state.window, state.stabiliser, features // classes, 0, state.tries], np.int64)
    sums = walk(
        own,
        bounds.weight,
        seen,
        bounds.gaps,
        bounds.top,
        bounds.leader,
        shape.begin,
        shape.cell,
        shape.offset,
        targets.contiguous().numpy(),
        rates,
        marks,
        verdicts,
    )
    bounds.sums, bounds.visits = bounds.sums + sums / batch, bounds.visits + 1
    winners = torch.from_numpy(bounds.leader.copy())
    if store is not None:
        store.keep(key, bounds)
    moved = torch.from_numpy(own).view(features, size, size, channels).permute(0, 3, 1, 2)
    weight.detach().copy_(moved)
    state.take_back(rates, marks)
    return winners, torch.from_numpy(verdicts), sums / batch


def _stale(bounds: Bounds) -> bool:
    """Return whether a new product is worth its cost: the next visit would cost more than the mean of those so far."""
    product = _SUMS_PER_PRODUCT * bounds.gaps[0].size
    mean = (product + bounds.sums) / max(1, bounds.visits)
    return bounds.visits > 0 and 2 * bounds.sums / bounds.visits > mean


def all_potentials(own: Array, seen: Array, shape: Geometry) -> Array:
    """Return the potentials [B, P, F] (float32) of bits [B, L, C] by one product per place."""
    weight, inputs = torch.from_numpy(own), torch.from_numpy(seen)
    places = len(shape.begin) - 1
    found = torch.empty(len(seen), places, len(own))
    for start in range(0, len(seen), _AT_ONCE):
        part = inputs[start : start + _AT_ONCE].float()
        for p in range(places):
            pairs = slice(shape.begin[p], shape.begin[p + 1])
            cells, offsets = torch.from_numpy(shape.cell[pairs]), torch.from_numpy(shape.offset[pairs])
            kernel = weight[:, offsets].reshape(len(own), -1).t()
            found[start : start + _AT_ONCE, p] = part[:, cells].reshape(len(part), -1) @ kernel
    return found.numpy()


def measure(own: Array, seen: Array, shape: Geometry) -> Bounds:
    """Return new bounds of bits [B, L, C] for weights [F, O, C]."""
    potentials = all_potentials(own, seen, shape)
    batch, places, features = potentials.shape
    slack = np.empty(batch)
    high = float(np.abs(own).max())
    for b in range(batch):
        slack[b] = rounding(int(seen[b].sum(dtype=np.int64)), high)
    gaps = np.empty((batch, places, features), np.uint8)
    top, leader = np.empty(batch), np.empty(batch, np.int64)
    measure_distances(potentials, slack, gaps, top, leader)
    return Bounds(own.copy(), gaps, top, leader)


def answers(weight: Tensor, bits: Tensor, padding: int) -> Tensor:
    """Return the winners f P + p [B] for bits [B, C, H, W] (uint8), -1 if no neuron fires; without learning."""
    batch, channels, height, width = bits.shape
    features, size = len(weight), weight.shape[-1]
    shape = Geometry.of(height, width, size, padding)
    own = weight.detach().permute(0, 2, 3, 1).reshape(features, size * size, channels).contiguous().numpy()
    seen = bits.permute(0, 2, 3, 1).reshape(batch, height * width, channels).contiguous().numpy()
    found = torch.empty(batch, dtype=torch.int64)
    for start in range(0, batch, _AT_ONCE):
        part = seen[start : start + _AT_ONCE]
        bounds = measure(own, part, shape)
        frozen = np.array([0.0] * 4 + [1.0, 1.0, 0.0, np.inf, 0.0, 0.0])
        marks = np.array([0, 0, 0, 0, 0, 1, 1, 0], np.int64)
        nobody = np.full(len(part), -1, np.int64)
        places = (shape.begin, shape.cell, shape.offset)
        walk(own, bounds.weight, part, bounds.gaps, bounds.top, bounds.leader, *places, nobody, frozen, marks, nobody)
        found[start : start + _AT_ONCE] = torch.from_numpy(bounds.leader)
    return found
