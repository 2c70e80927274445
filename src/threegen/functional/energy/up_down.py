"""One step of the up-down algorithm in preallocated memory: the compiled draws, and a product for each term.

    wake     x_l ~ P(x_l | x_(l-1)) by R_l, upwards from the data        G_l += r/B x_(l+1)^T (x_l - P(x_l | x_(l+1)))
    top      [x_n, y] <-> t, k steps of Gibbs sampling                   W   += r/B (t0^T [x_n, y] - tk^T [xk, yk])
    sleep    z_n = xk, z_l ~ P(z_l | z_(l+1)) by G_(l+1), downwards      R_l += r/B (z_l - P(z_l | z_(l-1)))^T z_(l-1)

Every state and every prediction is computed before the first weight changes, as in the pseudo-code of Hinton, Osindero
and Teh, Neural Computation 18 (2006) 1527-1554, appendix B; the biases are updated in the same way. t0 and tk are
probabilities, as in contrastive divergence; x_0 is the image itself and z_0 its probabilities; y is one-hot and yk the
softmax.

To weight labels more, the memory ascends log p(x_n, y) + w log P(y|x_n), the objective of Larochelle and Bengio's
hybrid machines (ICML 2008); the second gradient is exact (`energy.label_pulls`). The paper has w = 0.

With centring, states are measured from their running means m: with u = x - m instead of each input x of a weight, the
biases' direction is the mean error minus m times the weights' direction. The mean of a layer's states is common to all
cases; if it is not subtracted, it limits the rate at which the weights can learn the differences between cases.
Schraudolph, "Centering neural network gradient factors", in: Neural Networks: Tricks of the Trade (1998); for Boltzmann
machines Melchior, Fischer and Wiskott, JMLR 17 (2016) 1-61.

Shapes: B examples, L and U units of a lower and the next upper layer, P units below the top, C classes, T top units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.functional.energy.label_pulls import LabelPulls, label_pulls
from threegen.machine.draws import draw_bernoulli


@dataclass(frozen=True)
class Directed:
    """The weights between two layers: up by `recognition` [U, L] and `upper` [U], down by `generative`, `lower` [L]."""

    recognition: Tensor
    upper: Tensor
    generative: Tensor  # [U, L]
    lower: Tensor


@dataclass(frozen=True)
class Memory:
    """The two layers at the top: `weight` [T, P + C], `visible` [P + C] and `hidden` [T] biases, C `classes` or 0."""

    weight: Tensor
    visible: Tensor
    hidden: Tensor
    classes: int


class Centres:
    """The running means of the states in the wake phase: of x_0 .. x_(n-1), of [x_n, y], and of the top units t."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.means: list[Tensor] = []

    def follow(self, now: Sequence[Tensor]) -> None:
        """Move each mean towards that of a batch by the share 1 - decay; they start at the first batch's."""
        if not self.means:
            self.means = [mean.clone() for mean in now]
        for own, mean in zip(self.means, now, strict=True):
            own.lerp_(mean, 1.0 - self.decay)

    def layer(self, number: int, width: int) -> Tensor:
        """Return the means of layer `number`, `width` units wide; of the last but one those without labels."""
        return self.means[number][:width]


def learn_errors(inputs: Tensor, errors: Tensor, centre: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the directions of weights [I, E] and biases [E] from `errors` [B, E] of units with `inputs` [B, I].

    Without a centre these are the means of the products and of the errors over the batch.
    """
    if centre is None:
        return inputs.T @ errors / len(inputs), errors.mean(0)
    moved = inputs - centre
    return moved.T @ errors / len(inputs), errors.mean(0) - errors.T @ (moved @ centre) / len(inputs)


class UpDownStep:
    """Runs steps for batches of one size, and holds their memory."""

    def __init__(self, layers: Sequence[Directed], top: Memory, batch: int) -> None:
        self.layers, self.top, self.batch = layers, top, batch
        like = top.weight
        self.below = like.shape[1] - top.classes  # P

        def rows(width: int, times: int = 1) -> Tensor:
            return like.new_empty(times * batch, width)

        upward = [layer.upper.numel() for layer in layers]
        downward = [layer.lower.numel() for layer in layers]
        self._wake = [rows(width) for width in upward]
        self._sleep = [rows(width) for width in downward]
        self._fantasy = rows(self.below)
        self._down = [rows(width) for width in downward]  # predictions, and then errors, of the generative weights
        self._up = [rows(width) for width in upward]  # those of the recognition weights
        self._visible, self._hidden = rows(like.shape[1], 2), rows(like.shape[0], 2)
        self._pulls: LabelPulls | None = None

    def __call__(
        self,
        inputs: Tensor,
        labels: Tensor | None,
        *,
        steps: int,
        rate: float,
        weight_cost: float,
        generator: torch.Generator | None,
        centres: Centres | None = None,
        discriminative: float = 0.0,
    ) -> Tensor:
        """Move all weights once by `inputs` [B, L] and `labels` [B]; return the squared error of the wake phase, 0-d.

        `steps` is k, `rate` r; `weight_cost` times a weight is subtracted from its ascent direction, not for biases.
        `centres` follow the states of this batch before they are used; `discriminative` is w.
        """
        wake = self._climb(inputs, generator)
        self._associate(wake[-1], labels, steps, generator, bool(discriminative))
        sleep = self._descend(generator)
        for number, layer in enumerate(self.layers):
            _units(layer.lower, wake[number + 1], layer.generative, self._down[number])
            torch.sub(wake[number], self._down[number], out=self._down[number])
            _units(layer.upper, sleep[number], layer.recognition.t(), self._up[number])
            torch.sub(sleep[number + 1], self._up[number], out=self._up[number])
        error = self._down[0].square().sum() / self.batch
        if centres is not None:
            data, top = self._visible[: self.batch], self._hidden[: self.batch]
            centres.follow([*(states.mean(0) for states in wake[:-1]), data.mean(0), top.mean(0)])
        share, keep = rate / self.batch, 1 - rate * weight_cost
        for number, layer in enumerate(self.layers):
            below = None if centres is None else centres.layer(number, layer.lower.numel())
            above = None if centres is None else centres.layer(number + 1, layer.upper.numel())
            _teach(layer.generative, layer.lower, wake[number + 1], self._down[number], above, share, keep)
            _teach(layer.recognition.t(), layer.upper, sleep[number], self._up[number], below, share, keep)
        self._move_memory(centres, share, keep, discriminative)
        return error

    def _climb(self, inputs: Tensor, generator: torch.Generator | None) -> list[Tensor]:
        """Return the states of the wake phase, x_0 .. x_n."""
        states = [inputs]
        for layer, buffer in zip(self.layers, self._wake, strict=True):
            _units(layer.upper, states[-1], layer.recognition.t(), buffer)
            states.append(draw_bernoulli(buffer, generator))
        return states

    def _associate(
        self, states: Tensor, labels: Tensor | None, steps: int, generator: torch.Generator | None, pull: bool
    ) -> None:
        """Fill the two halves of visible and hidden units: from the data, and after `steps` of Gibbs sampling.

        With `pull` also compute the labels' pulls, from the same product.
        """
        batch, below, top = self.batch, self.below, self.top
        data, chain = self._visible[:batch], self._visible[batch:]
        data[:, :below] = states
        if labels is not None:
            data[:, below:] = F.one_hot(labels, top.classes)
        hidden = torch.addmm(top.hidden, data, top.weight.t(), out=self._hidden[:batch])
        self._pulls = None
        if pull and labels is not None:
            given = top.weight[:, below:]
            self._pulls = label_pulls(hidden - given.t()[labels], given, top.visible[below:], labels)
        hidden.sigmoid_()
        for _ in range(steps):
            torch.addmm(top.visible, draw_bernoulli(hidden, generator), top.weight, out=chain)
            self._fantasy = draw_bernoulli(chain[:, :below].sigmoid(), generator)
            chain[:, :below] = self._fantasy
            if top.classes:
                chain[:, below:] = chain[:, below:].softmax(1)
            hidden = _units(top.hidden, chain, top.weight.t(), self._hidden[batch:])

    def _descend(self, generator: torch.Generator | None) -> list[Tensor]:
        """Return the states of the sleep phase, z_0 .. z_n."""
        states = [self._fantasy]
        for number in range(len(self.layers) - 1, -1, -1):
            layer, buffer = self.layers[number], self._sleep[number]
            _units(layer.lower, states[0], layer.generative, buffer)
            states.insert(0, draw_bernoulli(buffer, generator) if number else buffer)
        return states

    def _move_memory(self, centres: Centres | None, share: float, keep: float, discriminative: float) -> None:
        batch, below, top, visible, hidden = self.batch, self.below, self.top, self._visible, self._hidden
        own = visible[:batch].sum(0) - visible[batch:].sum(0)
        upper = hidden[:batch].sum(0) - hidden[batch:].sum(0)
        if centres is not None:
            m, middle = centres.means[-2:]
            visible.sub_(m)
            hidden.sub_(middle)
        hidden[batch:].neg_()
        extra = None
        if self._pulls is not None:  # the pulls on lower units go with the data's states, those on labels separately
            pulls = self._pulls
            labels = visible[:batch, below:] if centres is None else visible[:batch, below:] + m[below:]
            extra = pulls.weight - pulls.hidden.t() @ labels
            if centres is not None:
                extra -= torch.outer(middle, pulls.bias)
            extra *= discriminative
            hidden[:batch].add_(pulls.hidden, alpha=discriminative)
            own[below:].add_(pulls.bias, alpha=discriminative)
            upper.add_(pulls.hidden.sum(0), alpha=discriminative)
        if centres is not None:
            own -= visible.t() @ (hidden @ middle)
            upper -= hidden.t() @ (visible @ m)
            if extra is not None:
                own[below:] -= extra.t() @ middle
                upper -= extra @ m[below:]
        top.weight.addmm_(hidden.t(), visible, beta=keep, alpha=share)
        if extra is not None:
            top.weight[:, below:].add_(extra, alpha=share)
        top.hidden.add_(upper, alpha=share)
        top.visible.add_(own, alpha=share)


def _teach(
    weight: Tensor, bias: Tensor, inputs: Tensor, errors: Tensor, centre: Tensor | None, share: float, keep: float
) -> None:
    """Update `weight` [I, E] and `bias` [E] in place by `learn_errors`; `inputs` are measured from their centre."""
    pull = errors.sum(0)
    if centre is not None:
        inputs.sub_(centre)
        pull -= errors.t() @ (inputs @ centre)
    weight.addmm_(inputs.t(), errors, beta=keep, alpha=share)
    bias.add_(pull, alpha=share)


def _units(bias: Tensor, states: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """Fill `out` with the probabilities of units given the states of others, `weight` [others, units]."""
    return torch.addmm(bias, states, weight, out=out).sigmoid_()
