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

With momentum m every weight and bias has a velocity: v <- m v + direction, then the parameter moves by r v.

In bfloat16 (`low`) the factors of all products of weights and states are rounded to 8 bits, and so are the products
themselves; states 0 and 1 are exact. Weights, velocities, biases and probabilities stay in their own type.

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


@dataclass(frozen=True)
class Pace:
    """The rate r, the momentum m, and the weight cost: the share of each weight subtracted from its direction."""

    rate: float
    momentum: float = 0.0
    weight_cost: float = 0.0


class Moved:
    """A tensor that is updated in place; its velocity is `velocities[name]`, created at the first use.

    With `low`, `used` is its copy in bfloat16, which enters products; otherwise `used` is the tensor itself.
    """

    def __init__(self, name: str, own: Tensor, velocities: dict[str, Tensor], low: bool = False) -> None:
        self.name, self.own, self.velocities = name, own, velocities
        self.used = own.bfloat16() if low else own

    def refresh(self) -> None:
        """Round the weights again."""
        if self.used is not self.own:
            self.used.copy_(self.own)

    def move(self, direction: Tensor, pace: Pace, share: float) -> None:
        """Update a bias by `share` times `direction`."""
        if pace.momentum:
            self.own.add_(self._velocity().mul_(pace.momentum).add_(direction, alpha=share), alpha=pace.rate)
        else:
            self.own.add_(direction, alpha=pace.rate * share)

    def move_weights(self, left: Tensor, right: Tensor, pace: Pace, share: float, extra: Tensor | None = None) -> None:
        """Update weights [I, E] by `share` times left^T right, summed over the cases of `left` [B, I], `right` [B, E].

        `extra` [I, X] is added to the last X columns of that product.
        """
        low = self.used is not self.own
        if not pace.momentum and not low:
            step = pace.rate * share
            self.own.addmm_(left.t(), right, beta=1 - pace.rate * pace.weight_cost, alpha=step)
            if extra is not None:
                self.own[:, -extra.shape[1] :].add_(extra, alpha=step)
            return
        velocity = self._velocity() if pace.momentum else torch.zeros_like(self.own)
        if low:
            velocity.mul_(pace.momentum).add_(self._low_product(left, right), alpha=share)
        else:
            velocity.addmm_(left.t(), right, beta=pace.momentum, alpha=share)
        if extra is not None:
            velocity[:, -extra.shape[1] :].add_(extra, alpha=share)
        if pace.weight_cost:
            velocity.sub_(self.own, alpha=pace.weight_cost)
        self.own.add_(velocity, alpha=pace.rate)

    def _low_product(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left^T right by bfloat16 factors, stored in the order of the weights."""
        left, right = left.to(self.used.dtype), right.to(self.used.dtype)
        product = left.t() @ right if self.own.is_contiguous() else (right.t() @ left).t()
        return product.to(self.own.dtype)  # an addition of two types takes longer

    def _velocity(self) -> Tensor:
        if self.name not in self.velocities:
            self.velocities[self.name] = torch.zeros_like(self.own)
        return self.velocities[self.name]


class _Layer:
    """The four tensors between two layers, as `Directed` names them."""

    def __init__(self, number: int, layer: Directed, velocities: dict[str, Tensor], low: bool) -> None:
        self.recognition = Moved(f"recognition.{number}", layer.recognition, velocities, low)
        self.upper = Moved(f"upper.{number}", layer.upper, velocities)
        self.generative = Moved(f"generative.{number}", layer.generative, velocities, low)
        self.lower = Moved(f"lower.{number}", layer.lower, velocities)


class UpDownStep:
    """Runs steps for batches of one size, and holds their memory.

    `velocities` are those of momentum, by name; several sizes of batches can share them. `low` is whether products are
    computed in bfloat16.
    """

    def __init__(
        self,
        layers: Sequence[Directed],
        top: Memory,
        batch: int,
        *,
        velocities: dict[str, Tensor] | None = None,
        low: bool = False,
    ) -> None:
        speeds: dict[str, Tensor] = {} if velocities is None else velocities
        self.layers = [_Layer(number, layer, speeds, low) for number, layer in enumerate(layers)]
        self.top, self.batch = top, batch
        self.weight, self.visible = Moved("top", top.weight, speeds, low), Moved("visible", top.visible, speeds)
        self.hidden = Moved("hidden", top.hidden, speeds)
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
        pace: Pace,
        generator: torch.Generator | None,
        centres: Centres | None = None,
        discriminative: float = 0.0,
    ) -> Tensor:
        """Move all weights once by `inputs` [B, L] and `labels` [B]; return the squared error of the wake phase, 0-d.

        `steps` is k. `centres` follow the states of this batch before they are used; `discriminative` is w.
        """
        for part in (*(one for layer in self.layers for one in (layer.recognition, layer.generative)), self.weight):
            part.refresh()
        wake = self._climb(inputs, generator)
        self._associate(wake[-1], labels, steps, generator, bool(discriminative))
        sleep = self._descend(generator)
        for number, layer in enumerate(self.layers):
            _units(layer.lower.own, wake[number + 1], layer.generative.used, self._down[number])
            torch.sub(wake[number], self._down[number], out=self._down[number])
            _units(layer.upper.own, sleep[number], layer.recognition.used.t(), self._up[number])
            torch.sub(sleep[number + 1], self._up[number], out=self._up[number])
        error = self._down[0].square().sum() / self.batch
        if centres is not None:
            data, top = self._visible[: self.batch], self._hidden[: self.batch]
            centres.follow([*(states.mean(0) for states in wake[:-1]), data.mean(0), top.mean(0)])
        for number, layer in enumerate(self.layers):
            below = None if centres is None else centres.layer(number, layer.lower.own.numel())
            above = None if centres is None else centres.layer(number + 1, layer.upper.own.numel())
            pull = _pull(wake[number + 1], self._down[number], above)
            layer.generative.move_weights(wake[number + 1], self._down[number], pace, 1 / self.batch)
            layer.lower.move(pull, pace, 1 / self.batch)
            pull = _pull(sleep[number], self._up[number], below)
            layer.recognition.move_weights(self._up[number], sleep[number], pace, 1 / self.batch)
            layer.upper.move(pull, pace, 1 / self.batch)
        self._move_memory(centres, pace, discriminative)
        return error

    def _climb(self, inputs: Tensor, generator: torch.Generator | None) -> list[Tensor]:
        """Return the states of the wake phase, x_0 .. x_n."""
        states = [inputs]
        for layer, buffer in zip(self.layers, self._wake, strict=True):
            _units(layer.upper.own, states[-1], layer.recognition.used.t(), buffer)
            states.append(draw_bernoulli(buffer, generator))
        return states

    def _associate(
        self, states: Tensor, labels: Tensor | None, steps: int, generator: torch.Generator | None, pull: bool
    ) -> None:
        """Fill the two halves of visible and hidden units: from the data, and after `steps` of Gibbs sampling.

        With `pull` also compute the labels' pulls, from the same product.
        """
        batch, below, top, weight = self.batch, self.below, self.top, self.weight.used
        data, chain = self._visible[:batch], self._visible[batch:]
        data[:, :below] = states
        if labels is not None:
            data[:, below:] = F.one_hot(labels, top.classes)
        hidden = _inputs(top.hidden, data, weight.t(), self._hidden[:batch])
        self._pulls = None
        if pull and labels is not None:
            given = top.weight[:, below:]
            self._pulls = label_pulls(hidden - given.t()[labels], given, top.visible[below:], labels)
        hidden.sigmoid_()
        for _ in range(steps):
            _inputs(top.visible, draw_bernoulli(hidden, generator), weight, chain)
            self._fantasy = draw_bernoulli(chain[:, :below].sigmoid(), generator)
            chain[:, :below] = self._fantasy
            if top.classes:
                chain[:, below:] = chain[:, below:].softmax(1)
            hidden = _units(top.hidden, chain, weight.t(), self._hidden[batch:])

    def _descend(self, generator: torch.Generator | None) -> list[Tensor]:
        """Return the states of the sleep phase, z_0 .. z_n."""
        states = [self._fantasy]
        for number in range(len(self.layers) - 1, -1, -1):
            layer, buffer = self.layers[number], self._sleep[number]
            _units(layer.lower.own, states[0], layer.generative.used, buffer)
            states.insert(0, draw_bernoulli(buffer, generator) if number else buffer)
        return states

    def _move_memory(self, centres: Centres | None, pace: Pace, discriminative: float) -> None:
        batch, below, visible, hidden = self.batch, self.below, self._visible, self._hidden
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
        self.weight.move_weights(hidden, visible, pace, 1 / batch, extra)
        self.hidden.move(upper, pace, 1 / batch)
        self.visible.move(own, pace, 1 / batch)


def _pull(inputs: Tensor, errors: Tensor, centre: Tensor | None) -> Tensor:
    """Return the summed direction of the biases by `learn_errors`; `inputs` are then measured from their centre."""
    pull = errors.sum(0)
    if centre is not None:
        inputs.sub_(centre)
        pull -= errors.t() @ (inputs @ centre)
    return pull


def _inputs(bias: Tensor, states: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """Fill `out` with the total inputs of units given the states of others, `weight` [others, units]."""
    if weight.dtype == states.dtype:
        return torch.addmm(bias, states, weight, out=out)
    return out.copy_(states.to(weight.dtype) @ weight).add_(bias)  # an addition of two types takes longer


def _units(bias: Tensor, states: Tensor, weight: Tensor, out: Tensor) -> Tensor:
    """Fill `out` with the probabilities of units given the states of others, `weight` [others, units]."""
    return _inputs(bias, states, weight, out).sigmoid_()
