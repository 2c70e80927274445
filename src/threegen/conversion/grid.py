"""Thresholds by grid search, and weights refitted to the spikes that arrive: layer by layer, without labels.

    grid     (theta, v_0) = argmin |P y - g P r(theta, v_0)|^2,   g = <P y, P r> / <P r, P r>       for each channel
    refit    W' = argmin sum |W' x - z|^2 + d |W' - W|^2          z: the network's own summed input, centred
             where z <= 0 only the part of W' x above zero counts

y are the activations of the network, r the rates after T steps on the actual input spikes, P the pooling after the
layer, x the mean of the arriving signal over the steps. g is the value of one spike in the next weights.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.conversion.build import Scale
from threegen.conversion.currents import Signal, batches, counts_of
from threegen.conversion.graph import LINEAR, Graph, Op

THRESHOLDS = (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0)
STARTS = (0.3, 0.4, 0.6, 0.7)  # tried besides 0.5, with the best threshold for 0.5 and the adjacent ones
ENOUGH = 150_000  # values of a channel on which a pair is evaluated
STIFFNESS = 1e-3  # relative to the mean square of the signal: regularisation towards the original weights
ROUNDS = 3  # of the one-sided fit
LARGEST_FIT = 4096  # most inputs per output for which weights are fitted
LARGEST_COLUMNS = 120_000_000  # most values in the fit of one layer; beyond it fewer images are used


def grid(y: Tensor, currents: Tensor, pool: Op | None, steps: int, reset: str) -> Scale:
    """Return the best scale of each channel for activations y [N, C, ...] and summed input [T or 1, N, C, ...].

    `pool` is the average pooling directly after the layer, if there is one.
    """
    channels = y.shape[1]
    places = max(y[0, 0].numel(), 1)
    few = min(len(y), max(200, -(-ENOUGH // places)))
    y, currents = y[:few], currents[:, :few]
    top = y.transpose(0, 1).reshape(channels, -1).amax(1)
    safe = torch.where(top > 0, top, torch.ones_like(top))
    trial = _Trial(y, currents, pool, steps, reset)
    half = torch.full_like(safe, 0.5)
    shares = torch.tensor(THRESHOLDS, dtype=y.dtype)
    for share in shares:
        trial.judge(safe * share, half)
    best = torch.tensor(
        [int((shares * top).sub(one).abs().argmin()) for top, one in zip(safe, trial.threshold, strict=True)]
    )
    for beside in (-1, 0, 1):
        threshold = safe * shares[(best + beside).clamp(0, len(shares) - 1)]
        for start in STARTS:
            trial.judge(threshold, torch.full_like(safe, start))
    return Scale(trial.threshold, trial.worth, trial.start)


class _Trial:
    """Tries thresholds and initial potentials, and keeps the best of each channel."""

    def __init__(self, y: Tensor, currents: Tensor, pool: Op | None, steps: int, reset: str) -> None:
        self.currents, self.pool, self.steps, self.reset = currents, pool, steps, reset
        self.wanted = _pooled(y, pool)
        self.square = _dot(self.wanted, self.wanted)
        top = y.transpose(0, 1).reshape(y.shape[1], -1).amax(1)
        self.threshold = torch.where(top > 0, top, torch.ones_like(top))
        self.worth, self.start = self.threshold.clone(), torch.full_like(top, 0.5)
        self.missed = torch.full((len(top),), torch.inf, dtype=torch.float64)

    def judge(self, threshold: Tensor, start: Tensor) -> None:
        """Keep `threshold` and `start` [C] for the channels where they reduce the error of the activations."""
        counts = counts_of(self.currents, threshold, start, self.steps, self.reset)
        rates = _pooled(counts.div_(self.steps), self.pool)
        together, own = _dot(self.wanted, rates), _dot(rates, rates)
        worth = together / own.clamp(min=1e-30)
        missed = self.square - worth * together
        better = (missed < self.missed) & (own > 0) & (worth > 0)
        self.missed = torch.where(better, missed, self.missed)
        for kept, new in ((self.threshold, threshold), (self.start, start), (self.worth, worth.to(threshold.dtype))):
            kept[better] = new[better]


def _pooled(values: Tensor, pool: Op | None) -> Tensor:
    return values if pool is None else pool.run([values])


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Return the sum of products of each channel, [C]."""
    return (one * other).transpose(0, 1).reshape(one.shape[1], -1).sum(1, dtype=torch.float64)


def refit(graph: Graph, number: int, signals: dict[int, Signal], z: Tensor, *, rectified: bool) -> bool:
    """Fit the weights of the linear part before operation `number` to the arriving signals; return whether that was
    done.

    z [N, C, ...] are the network's own values there. The contributions of other parts to the sum do not change.
    """
    op = _last_linear(graph, number)
    if op is None or graph.constant(op.number) or not _fits(op):
        return False
    module = cast(Any, op.module)
    (inside,) = op.takes
    groups = int(op.options.get("groups", 1))
    seen = z[0, 0].numel() * module.weight[0].numel() * groups  # values of the columns of one image
    count = min(len(z), max(LARGEST_COLUMNS // max(seen, 1), 1))
    columns, targets, offsets = [], [], []
    for start, stop in batches(count):
        given = {one: signals[one].mean(start, stop) for one in graph.sources(number)}
        x = graph.evaluate(inside, {one: given[one] for one in graph.sources(inside)})
        with_bias = graph.evaluate(number, given) - op.run([x])  # the other summands
        columns.append(_columns(op, x))
        targets.append(_rows(z[start:stop]))
        offsets.append(_rows(with_bias))
    x_all, wanted, other = torch.cat(columns), torch.cat(targets), torch.cat(offsets)
    outputs = len(module.weight) // groups
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        width = x_all.shape[1] // groups
        own = x_all[:, group * width : (group + 1) * width]
        weight, bias = _fitted(
            own, wanted[:, rows], other[:, rows], module.weight.detach()[rows].reshape(outputs, -1), rectified
        )
        with torch.no_grad():
            module.weight[rows] = weight.view_as(module.weight[rows])
            _set_bias(op, rows, bias)
    return True


def _fits(op: Op) -> bool:
    module = cast(Any, op.module)
    inputs = module.weight[0].numel()
    plane = op.kind == "linear" or module.weight.dim() == 4
    numbers = op.kind == "linear" or not isinstance(op.options["padding"], str)
    return bool(plane and numbers and inputs <= LARGEST_FIT)


def _set_bias(op: Op, rows: slice, bias: Tensor) -> None:
    module = cast(Any, op.module)
    if module.bias is None:
        module.bias = torch.nn.Parameter(torch.zeros(len(module.weight), dtype=module.weight.dtype))
        op.options["bias"] = True
    module.bias[rows] = bias.to(module.bias.dtype)


def _fitted(x: Tensor, z: Tensor, other: Tensor, weight: Tensor, rectified: bool) -> tuple[Tensor, Tensor]:
    """Return weights [C, D] and biases [C] for inputs [M, D] and target sums [M, C], to which `other` contributes."""
    centre = x.mean(0, dtype=torch.float64)
    centred = (x.double() - centre) if x.numel() < 2e7 else (x - centre.to(x.dtype))
    gram = (centred.T @ centred).double()
    stiff = STIFFNESS * gram.diagonal().mean().clamp(min=1e-12)
    factor = torch.linalg.cholesky(gram + stiff * torch.eye(len(gram), dtype=torch.float64))
    held = stiff * weight.T.double()
    target = z
    for _ in range(ROUNDS if rectified else 1):
        rest = (target - other).to(centred.dtype)
        middle = rest.mean(0, dtype=torch.float64)
        right = (centred.T @ (rest - middle.to(rest.dtype))).double()
        new = torch.cholesky_solve(right + held, factor).T
        bias = middle - new @ centre
        if rectified:
            made = x @ new.T.to(x.dtype) + bias.to(x.dtype) + other
            target = torch.where(z > 0, z, made.clamp(max=0))
    return new.to(weight.dtype), bias.to(weight.dtype)


def _last_linear(graph: Graph, number: int) -> Op | None:
    """Return the linear part nearest to operation `number`, with only sums and reshapes in between."""
    waiting = [number]
    while waiting:
        op = graph.ops[waiting.pop(0)]
        if op.kind in LINEAR:
            return op
        if op.kind == "add":
            waiting += op.takes
    return None


def _columns(op: Op, x: Tensor) -> Tensor:
    """Return the inputs of each output of a linear part, [M, D] (groups concatenated)."""
    if op.kind == "linear":
        return x
    own = op.options
    patches = F.unfold(x, own["kernel"], dilation=own["dilation"], padding=own["padding"], stride=own["stride"])
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def _rows(z: Tensor) -> Tensor:
    """Return the sums [N, C, ...] of every output and place, [M, C]."""
    return z.flatten(2).transpose(1, 2).reshape(-1, z.shape[1]) if z.dim() > 2 else z
