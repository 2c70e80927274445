"""The memory and the matrix products of one step of contrastive divergence, for a batch of a fixed size.

Visible states of the data and of the chains are stacked, as are the hidden means, those of the chains with the factor
-B/N: one product of the two stacks is then the gradient of the weights. States that are mostly 0, such as those of
handwritten digits, are listed instead (`machine.sparse.sparse_matrix`), visible ones once for the upward pass and the
gradient, if the weights are stored by inputs; the choice is made separately for data, chains and hidden states, batch
by batch.

Shapes: B examples, N chains, V visible units, H hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from threegen.functional.energy.free_energy import squared_error
from threegen.functional.energy.rbm_kernels import (
    draw_here,
    move_bias,
    move_weights,
    sigmoid_and_draw,
    sigmoid_rows,
    sum_rows,
    take_rows,
)
from threegen.functional.energy.units import are_plain_binary
from threegen.machine.draws import compare_hashed
from threegen.machine.sparse.layouts import lies_by_inputs, pays
from threegen.machine.sparse.sparse_matrix import MOST_TURNED, SparseMatrix, Stack
from threegen.randomness import draw_key

Speeds = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Motion:
    """The constants of an update: rate, momentum, weight cost, the sparsity pull [H] and the centres [V] and [H]."""

    rate: float
    momentum: float = 0.0
    cost: float = 0.0
    pull: Tensor | None = None
    centres: tuple[Tensor, Tensor] | None = None


class Layers(Protocol):
    """The parameters of the products, and the drawing of visible units."""

    weight: nn.Parameter  # [H, V]
    visible_bias: nn.Parameter  # [V]
    hidden_bias: nn.Parameter  # [H]

    def visible_given_hidden(self, hidden: Tensor) -> Tensor:
        """Return the visible means [N, V]."""
        ...

    def draw_visible(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return visible states [N, V]."""
        ...


class Products:
    """One step's memory in the type of the weights, float32 (compiled passes) or float64 (torch's own)."""

    def __init__(self, net: Layers, batch: int, chains: int, *, drawn: bool = True) -> None:
        self.net, self.batch, self.chains, self.drawn = net, batch, chains, drawn
        self.weight = net.weight.detach()
        self.biases = self.visible_bias, self.hidden_bias = net.visible_bias.detach(), net.hidden_bias.detach()
        self.dtype = self.weight.dtype
        self._arrays: dict[int, tuple[Tensor, Any]] = {}
        self.number = np.float32 if self.dtype == torch.float32 else np.float64
        self.compiled = self.dtype == torch.float32
        self.binary = are_plain_binary(getattr(net, "visible_units", None))
        hidden, visible = self.weight.shape
        self.v = torch.empty(batch + chains, visible, dtype=self.dtype)
        self.h = torch.empty(batch + chains, hidden, dtype=self.dtype)
        self.v0, self.vk = self.v[:batch], self.v[batch:]
        self.h0_means, self.hk = self.h[:batch], self.h[batch:]
        self.states = torch.empty(chains, hidden, dtype=self.dtype)  # hidden states of the chains
        self.speeds: Speeds = (
            torch.empty(0),
            torch.empty(0),
            torch.empty(0),
        )  # velocities; the caller of `move` sets them
        self.scale = -batch / chains
        # `table` [V, H] are the weights if they can be summed row by row; lists of v0 and vk if they are faster.
        self.table = self.weight.t()
        self.lists = data, chained = self._memory_for_lists(self.v0), self._memory_for_lists(self.vk)
        self.stack = None if data is None or chained is None else Stack(data, chained)
        self.state_lists = self._memory_for_lists(self.states)
        self.listed = [False, False]
        self.data = self.v0  # v0: in the caller's own memory, if it is listed
        # Sums over the rows of v0, vk, P(h0|v0) and -B/N P(hk|vk), in the type of the weights; each is computed with
        # its rows, and read by the compiled passes as an array.
        self.v0_sum, self.vk_sum = (torch.zeros(visible, dtype=self.dtype) for _ in range(2))
        self.h0_sum, self.hk_sum = (torch.zeros(hidden, dtype=self.dtype) for _ in range(2))

    def _memory_for_lists(self, states: Tensor) -> SparseMatrix | None:
        """Return memory for the lists of such states, None if products are faster for any states."""
        useful = self.binary and states.dtype == torch.float32 and lies_by_inputs(self.weight)
        if not (useful and pays(len(states), *self.weight.shape)):
            return None
        return SparseMatrix(states.shape, states.dtype)

    def array(self, own: Tensor) -> Any:
        """Return one of these tensors as an array over the same memory; each is made once, because per step needs
        many."""
        kept = self._arrays.get(id(own))
        if kept is None:
            kept = self._arrays[id(own)] = (own, own.numpy())  # kept here, so that its id is not reused
        return kept[1]

    def fits(self, net: Any, batch: int, chains: int) -> bool:
        """Return whether this memory is for that net and these sizes."""
        same = net is self.net and batch == self.batch and chains == self.chains
        return same and net.weight.data_ptr() == self.weight.data_ptr() and net.weight.dtype == self.dtype

    def take(self, given: Tensor) -> None:
        """Take the data v0 [B, V]; they must not change before the step ends."""
        usable = given.dtype == self.dtype and given.is_contiguous()
        self.data = given if usable else self.v0.copy_(given)
        lists = self.lists[0]
        self.listed[0] = lists is not None and lists.take(self.data)
        if self.compiled and usable and not self.listed[0]:
            take_rows(given.numpy(), self.array(self.v0), self.array(self.v0_sum))
            self.data = self.v0
        elif self.compiled:
            sum_rows(self.data.numpy(), self.array(self.v0_sum))
        else:
            self.data = self.v0.copy_(given)
            self._sum(self.v0, self.v0_sum)

    def load_chain(self, states: Tensor) -> None:
        """Take the chains' hidden states [N, H]."""
        self.states.copy_(states)

    def keep_chain(self) -> Tensor:
        """Return a copy of the chains' hidden states [N, H] in the type of the weights."""
        return self.states.to(self.dtype, copy=True)

    def data_means(self) -> tuple[Tensor, Tensor]:
        """Return the means over the batch of v0 [V] and P(h0|v0) [H]."""
        return self.v0_sum / self.batch, self.h0_sum / self.batch

    def h0(self, generator: torch.Generator | None) -> None:
        """Compute P(h0|v0); with a generator, draw the states from which the chains start (N = B)."""
        self._multiply_up(0, self.data, self.h0_means)
        if generator is None:
            self._squash(self.h0_means, self.hidden_bias, self.h0_sum)
        else:
            self._squash_and_draw(self.h0_means, self.hidden_bias, self.states, generator, self.h0_sum)

    def down(self, generator: torch.Generator) -> None:
        """Draw the chains' visible states given their hidden ones, or set them to their means."""
        if not self.binary:
            mean = self.net.visible_given_hidden(self.states)
            self.vk.copy_(self.net.draw_visible(mean, generator) if self.drawn else mean)
            self._sum(self.vk, self.vk_sum)
            return
        self._multiply_down()
        if self.drawn:
            self._draw(self.vk, self.visible_bias, generator, self.vk_sum)
        else:
            self._squash(self.vk, self.visible_bias, self.vk_sum)

    def up(self, generator: torch.Generator | None, last: bool) -> None:
        """Compute the chains' hidden means; with a generator draw their states; the last time, apply -B/N."""
        self.listed[1] = (lists := self.lists[1]) is not None and lists.take(self.vk)
        self._multiply_up(1, self.vk, self.hk)
        if generator is None:
            self._squash(self.hk, self.hidden_bias, self.hk_sum, self.scale)
            return
        self._squash_and_draw(self.hk, self.hidden_bias, self.states, generator, self.hk_sum)
        if last:
            self.hk.mul_(self.scale)
            self.hk_sum.mul_(self.scale)

    def _multiply_up(self, part: int, states: Tensor, result: Tensor) -> None:
        """Set `result` to the products of the weights with v0 (part 0) or vk (part 1), without the biases."""
        lists = self.lists[part]
        if lists is not None and self.listed[part]:
            lists.times(self.array(self.table), self.array(result))
        else:
            torch.mm(states, self.weight.T, out=result)

    def _multiply_down(self) -> None:
        """Set vk to the products of the weights with the chains' hidden states, without the biases."""
        lists = self.state_lists
        if lists is not None and lists.take(self.states, MOST_TURNED):
            lists.times(self.array(self.table), self.array(self.vk), turned=True)
        else:
            torch.mm(self.states, self.weight, out=self.vk)

    def _sum(self, rows: Tensor, total: Tensor) -> None:
        """Set `total` [N] to the sum of the rows."""
        torch.sum(rows, 0, dtype=self.dtype, out=total)

    def _squash(self, inputs: Tensor, bias: Tensor, total: Tensor, scale: float = 1.0) -> None:
        """Turn total inputs into means, times `scale`, and sum their rows."""
        if self.compiled:
            sigmoid_rows(self.array(inputs), self.array(bias), np.float32(scale), self.array(total))
        else:
            self._sum(inputs.add_(bias).sigmoid_().mul_(scale), total)

    def _squash_and_draw(
        self, inputs: Tensor, bias: Tensor, states: Tensor, generator: torch.Generator, total: Tensor
    ) -> None:
        """Turn total inputs into means, sum their rows, and draw `states` from them."""
        key = np.uint64(draw_key(generator))
        if self.compiled:
            sigmoid_and_draw(self.array(inputs), self.array(bias), self.array(states), key, self.array(total))
        else:
            self._sum(inputs.add_(bias).sigmoid_(), total)
            compare_hashed(self.array(inputs), self.array(states), key)

    def _draw(self, inputs: Tensor, bias: Tensor, generator: torch.Generator, total: Tensor) -> None:
        """Turn total inputs into states and sum their rows."""
        if self.compiled:
            draw_here(self.array(inputs), self.array(bias), np.uint64(draw_key(generator)), self.array(total))
        else:
            self._squash_and_draw(inputs, bias, inputs, generator, total)
            self._sum(inputs, total)

    def error(self) -> Tensor:
        """Return the squared error of the reconstructions, mean over cases, 0-d (N = B)."""
        return squared_error(self.data, self.vk)

    def move(self, motion: Motion) -> None:
        """Update the three parameters and their velocities `speeds` once."""
        speed = self.speeds[0]
        if any(self.listed):
            self._add_listed_gradient(speed, motion.momentum)
        else:
            speed.addmm_(self.h.T, self.v, beta=motion.momentum, alpha=1.0 / self.batch)
        for left, right in self._move_biases(motion):
            speed.addr_(left, right)
        if self.compiled:
            numbers = (np.float32(one) for one in (motion.cost, motion.rate))
            move_weights(_by_rows(self.weight).numpy(), _by_rows(speed).numpy(), *numbers)
        else:
            self.weight.add_(speed.sub_(self.weight, alpha=motion.cost), alpha=motion.rate)

    def _add_listed_gradient(self, speed: Tensor, keep: float) -> None:
        """Set `speed` [H, V] to `keep` times itself plus the gradient, if v0 or vk is listed."""
        share, flat = 1.0 / self.batch, speed.t().numpy()
        if self.stack is not None and all(self.listed):
            self.stack.transposed_times(self.array(self.h), flat, scale=share, keep=keep)
            return
        pairs = ((self.data, self.h0_means), (self.vk, self.hk))
        for lists, listed, (visible, hidden) in zip(self.lists, self.listed, pairs, strict=True):
            if lists is not None and listed:
                lists.transposed_times(self.array(hidden), flat, scale=share, keep=keep)
            else:
                speed.addmm_(hidden.T, visible, beta=keep, alpha=share)
            keep = 1.0

    def _move_biases(self, motion: Motion) -> list[tuple[Tensor, Tensor]]:
        """Update the biases; return pairs whose outer products are part of the weights' direction."""
        outer: list[tuple[Tensor, Tensor]] = []
        sides = [(self.v0_sum, self.vk_sum, self.scale), (self.h0_sum, self.hk_sum, 1.0)]
        if motion.centres is not None or motion.pull is not None:
            visible, hidden = ((data + chains * scale) / self.batch for data, chains, scale in sides)
            if motion.centres is not None:
                outer = [(hidden, -motion.centres[0]), (-motion.centres[1], visible)]
                visible, hidden = self._centred(visible, hidden, *motion.centres)
            if motion.pull is not None:
                hidden = hidden + motion.pull
                outer.append((motion.pull, self.data_means()[0]))
            for (data, chains, _), direction in zip(sides, (visible, hidden), strict=True):
                torch.mul(direction, self.batch, out=data)
                chains.zero_()
        for bias, speed, (data, chains, scale) in zip(self.biases, self.speeds[1:], sides, strict=True):
            numbers = (scale, 1.0 / self.batch, motion.momentum, motion.rate)
            arrays = (self.array(one) for one in (bias, speed, data, chains))
            move_bias(*arrays, *(self.number(one) for one in numbers))
        return outer

    def _centred(self, visible: Tensor, hidden: Tensor, m: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Return da - dW^T l and db - dW m for the centred dW, from only the stacked states."""
        if self.data is not self.v0:
            self.v0.copy_(self.data)
        v, h = self.v.to(m.dtype), self.h.to(m.dtype)
        down = v.T @ (h @ centre) / self.batch - (hidden @ centre) * m - (centre @ centre) * visible
        up = h.T @ (v @ m) / self.batch - (m @ m) * hidden - (visible @ m) * centre
        return visible - down, hidden - up


def _by_rows(tensor: Tensor) -> Tensor:
    """Return a matrix, or its transpose if that is the one stored row by row."""
    return tensor if tensor.is_contiguous() else tensor.t()
