"""Wake-sleep, the up-down algorithm: the weights of each direction learn to invert the other direction.

    wake    up by the recognition weights, drawing; the generative weights learn to reconstruct each layer from the next
                dG_l = x_(l+1)^T (x_l - P(x_l | x_(l+1)))          dc_l = x_l - P(x_l | x_(l+1))
    top     contrastive divergence of the associative memory, k steps from the states that the wake phase reached
                dW = t0^T [x_n, y] - tk^T [xk, yk]                 and so for its biases
    sleep   down from xk by the generative weights, drawing; the recognition weights learn to recover the dreamed states
                dR_l = (z_l - Q(z_l | z_(l-1)))^T z_(l-1)          db_l = z_l - Q(z_l | z_(l-1))

all averaged over the batch. With `discriminative` w > 0 the top-level RBM is additionally trained on w log P(y | x_n),
by its exact gradient; the paper has no such term. The wake and sleep directions are the gradients of the
log-likelihoods of the directed layers, sum_l log P(x_l | x_(l+1)) and sum_l log Q(z_l | z_(l-1)), the states held
fixed.

Hinton, Osindero and Teh, "A fast learning algorithm for deep belief nets", Neural Computation 18 (2006) 1527-1554,
appendix B: all states are drawn before any weight moves. Wake and sleep: Hinton, Dayan, Frey and Neal, Science 268
(1995) 1158-1161. The discriminative part: Larochelle and Bengio, ICML 2008.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_labels, require_number, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import CheckpointError
from threegen.functional.energy.label_pulls import LabelPulls, plain_label_pulls
from threegen.functional.energy.units import are_plain_binary
from threegen.functional.energy.up_down import Centres, Directed, Memory, Pace, UpDownStep, learn_errors
from threegen.machine.processor import multiplies_bfloat16
from threegen.rules.contrastive_divergence import TwoLayers
from threegen.rules.rule import (
    Applied,
    PlainSGD,
    Rule,
    Step,
    Update,
    ascend,
    has_own_methods,
    require_batch,
    require_parts,
)


class BeliefNet(Protocol):
    """Directed layers below an associative memory, such as a `DBN`."""

    layers: Sequence[TwoLayers]  # upwards: weight [U, L], hidden_bias [U]; visible_bias [L] belongs to the way down
    generative: Sequence[nn.Parameter]  # downwards: [U, L]
    top: TwoLayers
    classes: int  # label units in the memory, 0 for none

    def encode(self, inputs: Tensor, depth: int | None = None) -> Tensor:
        """Return the means of layer `depth`; depth 0 checks the inputs and makes them [B, L]."""
        ...

    def below(self, number: int, upper: Tensor) -> Tensor:
        """Return the means [B, L] of layer `number` given states of the next one."""
        ...


@dataclass(frozen=True)
class UpDownStates:
    """The states drawn in one pass: `wake` x_0 .. x_n and `sleep` z_0 .. z_n; `data` and `chain` [B, P + C] of the
    memory, with the top units' probabilities `data_top` and `chain_top` [B, T]."""

    wake: list[Tensor]
    sleep: list[Tensor]
    data: Tensor
    data_top: Tensor
    chain: Tensor
    chain_top: Tensor


PARTS = ("layers", "generative", "top", "classes", "encode()", "below()")


@torch.no_grad()
def draw_states(
    net: BeliefNet, inputs: Tensor, targets: Tensor | None, steps: int, generator: torch.Generator
) -> UpDownStates:
    """Draw all states of one pass: up, `steps` of Gibbs sampling at the top, down; no weight moves."""
    wake = [net.encode(inputs, 0)]
    for layer in net.layers:
        wake.append(layer.draw_hidden(layer.hidden_given_visible(wake[-1]), generator))
    data = net.top.visible_states(wake[-1], targets if net.classes else None)
    data_top = net.top.hidden_given_visible(data)
    chain, chain_top = data, data_top
    for _ in range(steps):
        mean = net.top.visible_given_hidden(net.top.draw_hidden(chain_top, generator))
        chain = net.top.draw_visible(mean, generator)
        chain_top = net.top.hidden_given_visible(chain)
    sleep = [chain[:, : wake[-1].shape[1]]]
    for number in range(len(net.layers) - 1, -1, -1):
        mean = net.below(number, sleep[0])
        sleep.insert(0, net.layers[number].draw_visible(mean, generator) if number else mean)
    return UpDownStates(wake, sleep, data, data_top, chain, chain_top)


class WakeSleep(Rule):
    """Train a DBN by the up-down algorithm, with labels if it has classes.

    steps: k of the memory's contrastive divergence; the paper uses 3, then 6, then 10 (a schedule may set it).
    weight_cost: this share of each weight is subtracted from the ascent direction; not applied to biases.
    discriminative: w, the extra weight of the label beyond that of one visible unit; 0 is the paper's form.
    centred: count all states from their running means in the wake phase (`energy.up_down`), which allows learning rates
    several times higher; `centring_decay` is the decay of the running means. The paper does not centre.
    fused: True updates the weights in preallocated memory and yields `Applied` once per batch, if the optimiser is SGD
    without decay, with or without momentum. With any other, and with False, it yields three times, one `Update` for
    each phase. With SGD at the same rate both draw the same states and give the same weights.
    precision: "bf16" computes the products of the fused step in bfloat16 if the processor has instructions for them,
    which is twice as fast, else in float32; weights and velocities stay as they are.
    rate: r, for the batch mean: the optimiser's default rate, and the rate outside `fit`; a schedule may set it.

    Figure: `reconstruction_error`, the squared error of P(x_0 | x_1) against the image, mean over cases.
    Raises `ConfigError` for a model that is not a belief net, `DataError` for empty batches and missing or wrong
    labels, `NumericError` for inputs that are not finite.
    """

    default_rate: float

    def __init__(
        self,
        steps: int = 3,
        *,
        rate: float = 0.1,
        weight_cost: float = 0.0,
        discriminative: float = 0.0,
        centred: bool = False,
        centring_decay: float = 0.99,
        fused: bool = True,
        precision: str = "fp32",
    ) -> None:
        self.steps = require_whole("steps", steps)
        self.rate = self.default_rate = require_number("rate", rate, above=0.0)
        self.weight_cost = require_number("weight_cost", weight_cost, least=0.0)
        self.discriminative = require_number("discriminative", discriminative, least=0.0)
        self.centred = bool(centred)
        self.centring_decay = require_number("centring_decay", centring_decay, least=0.0, below=1.0)
        self._centres = Centres(self.centring_decay)
        self.fused = bool(fused)
        self.precision = require_choice("precision", precision, ("fp32", "bf16"))
        self._velocities: dict[str, Tensor] = {}  # of the fused step
        self._restored = False
        self.updates_per_batch = 1 if self.fused else 3
        self._moves = self.fused
        self._sgd: PlainSGD | None = None
        self._kept: tuple[Any, UpDownStep] | None = None

    def hand_over(self, sgd: PlainSGD | None) -> None:
        """Take plain SGD, with or without momentum; with decay or another optimiser each phase is an `Update`."""
        self._moves = self.fused and sgd is not None and sgd.weight_decay == 0.0
        if not self._restored:
            self._velocities.clear()
        self._restored = False
        self._sgd = sgd if self._moves else None
        self.updates_per_batch = 1 if self._moves else 3

    def __repr__(self) -> str:
        return f"WakeSleep(steps={self.steps})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not directed layers below an associative memory."""
        require_parts(self, model, *PARTS)

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Draw all states, then update (or fill `.grad` of) the generative weights, the top and the recognition
        weights."""
        self.check(model)
        net = cast(BeliefNet, model)
        inputs, targets = batch.inputs, None
        require_batch("WakeSleep", batch, labels=bool(net.classes))
        if net.classes and batch.targets is not None:
            targets = require_labels(batch.targets, net.classes)
        parameters = list(model.parameters())
        rate = self.rate if self._sgd is None else self._sgd.rate
        if self._moves and _kernel_knows(net) and all(_is_simple(one) for one in parameters):
            step = self._step(net, len(inputs), parameters)
            error = step(
                net.encode(inputs, 0).contiguous(),
                targets,
                steps=self.steps,
                pace=Pace(rate, self._momentum, self.weight_cost),
                generator=generator,
                centres=self._centres if self.centred else None,
                discriminative=self.discriminative,
            )
            yield Applied(reconstruction_error=error)
            return
        states = draw_states(net, inputs, targets, self.steps, generator)
        if self.centred:
            layers = [*states.wake[:-1], states.data, states.data_top]
            self._centres.follow([layer.mean(0) for layer in layers])
        phases = [self._wake(net, states), self._associate(net, states), self._sleep(net, states)]
        error = (states.wake[0] - net.below(0, states.wake[1])).square().sum() / len(inputs)
        figures = {"reconstruction_error": error}
        if self._moves:  # where compiled draws are not available, for example on a GPU: the same, but slower
            for number, (parameter, direction) in enumerate(pair for phase in phases for pair in phase):
                if parameter.requires_grad:
                    parameter.add_(self._with_momentum(f"plain.{number}", direction), alpha=rate)
            yield Applied(**figures)
            return
        for phase in phases:
            for parameter, direction in phase:
                ascend(parameter, direction)
            yield Update(**figures)

    @property
    def _momentum(self) -> float:
        return 0.0 if self._sgd is None else self._sgd.momentum

    def _with_momentum(self, name: str, direction: Tensor) -> Tensor:
        """Return the velocity called `name` after this direction, or the direction itself without momentum."""
        if not self._momentum:
            return direction
        old = self._velocities.get(name)
        self._velocities[name] = direction if old is None else old.mul_(self._momentum).add_(direction)
        return self._velocities[name]

    def _step(self, net: BeliefNet, batch: int, parameters: Sequence[Tensor]) -> UpDownStep:
        """Return the step for exactly these weights and this batch size, cached from the last call."""
        key = (batch, [(one.data_ptr(), one.dtype) for one in parameters])
        if self._kept is None or self._kept[0] != key:
            pairs = zip(net.layers, net.generative, strict=True)
            layers = [
                Directed(rbm.weight.detach(), rbm.hidden_bias.detach(), down.detach(), rbm.visible_bias.detach())
                for rbm, down in pairs
            ]
            top = net.top
            memory = Memory(top.weight.detach(), top.visible_bias.detach(), top.hidden_bias.detach(), net.classes)
            low = self.precision == "bf16" and multiplies_bfloat16()
            self._kept = (key, UpDownStep(layers, memory, batch, velocities=self._velocities, low=low))
        return self._kept[1]

    def _centre(self, number: int, states: Tensor) -> Tensor | None:
        """Return the running means of layer `number`, if states are centred."""
        return self._centres.layer(number, states.shape[1]) if self.centred else None

    def _wake(self, net: BeliefNet, states: UpDownStates) -> list[tuple[Tensor, Tensor]]:
        """Return the generative weights and biases, each with its ascent direction."""
        found: list[tuple[Tensor, Tensor]] = []
        for number, (rbm, weight) in enumerate(zip(net.layers, net.generative, strict=True)):
            lower, upper = states.wake[number], states.wake[number + 1]
            error = lower - net.below(number, upper)
            direction, bias = learn_errors(upper, error, self._centre(number + 1, upper))
            found += [(weight, self._costed(direction, weight)), (rbm.visible_bias, bias)]
        return found

    def _associate(self, net: BeliefNet, states: UpDownStates) -> list[tuple[Tensor, Tensor]]:
        """Return the memory's weights and biases with their directions: contrastive divergence."""
        visible, hidden = (states.data - states.chain).mean(0), (states.data_top - states.chain_top).mean(0)
        product = (states.data_top.T @ states.data - states.chain_top.T @ states.chain) / len(states.data)
        if self.discriminative and net.classes:
            share, below = self.discriminative / len(states.data), states.wake[-1]
            pulls = self._label_pulls(net, states)
            hidden += share * pulls.hidden.sum(0)
            visible[below.shape[1] :] += share * pulls.bias
            product += share * torch.cat([pulls.hidden.T @ below, pulls.weight], 1)
        if self.centred:
            m, middle = self._centres.means[-2:]
            product = product - torch.outer(hidden, m) - torch.outer(middle, visible)
            visible, hidden = visible - product.T @ middle, hidden - product @ m
        return [
            (net.top.weight, self._costed(product, net.top.weight)),
            (net.top.visible_bias, visible),
            (net.top.hidden_bias, hidden),
        ]

    def _label_pulls(self, net: BeliefNet, states: UpDownStates) -> LabelPulls:
        """Return the gradient of the batch's summed log P(y | x_n)."""
        below = states.wake[-1]
        width, top = below.shape[1], net.top
        alone = F.linear(below, top.weight[:, :width], top.hidden_bias)
        labels = states.data[:, width:].argmax(1)
        return plain_label_pulls(alone, top.weight[:, width:], top.visible_bias[width:], labels)

    def _sleep(self, net: BeliefNet, states: UpDownStates) -> list[tuple[Tensor, Tensor]]:
        """Return the recognition weights and biases with their directions."""
        found: list[tuple[Tensor, Tensor]] = []
        for number, rbm in enumerate(net.layers):
            lower, upper = states.sleep[number], states.sleep[number + 1]
            error = upper - rbm.hidden_given_visible(lower)
            direction, bias = learn_errors(lower, error, self._centre(number, lower))
            found += [(rbm.weight, self._costed(direction.T, rbm.weight)), (rbm.hidden_bias, bias)]
        return found

    def _costed(self, direction: Tensor, weight: Tensor) -> Tensor:
        return direction.sub_(weight, alpha=self.weight_cost) if self.weight_cost else direction

    def state_dict(self) -> dict[str, Tensor]:
        """Return the running means and the velocities, if there are any."""
        centres = {f"centre.{number}": mean for number, mean in enumerate(self._centres.means)}
        return centres | {f"velocity.{name}": one for name, one in self._velocities.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`."""
        moving = {name: one for name, one in state.items() if name.startswith("velocity.")}
        names = [f"centre.{number}" for number in range(len(state) - len(moving))]
        if set(names) != set(state) - set(moving):
            raise CheckpointError(
                f"the state of WakeSleep is running means and velocities, the checkpoint has {', '.join(sorted(state))}"
            )
        self._centres.means = [state[name].clone() for name in names]
        self._velocities.clear()
        self._velocities.update({name.removeprefix("velocity."): one.clone() for name, one in moving.items()})
        self._kept, self._restored = None, True


_OF_A_LAYER = ("hidden_given_visible", "draw_hidden", "draw_visible")
_OF_THE_TOP = (*_OF_A_LAYER, "visible_states", "visible_given_hidden")


def _kernel_knows(net: BeliefNet) -> bool:
    """Whether the fused step does what the net's own methods would: sigmoids above linear inputs, nothing replaced."""
    units = [
        getattr(net, "visible_units", None),
        *(getattr(rbm, "hidden_units", None) for rbm in (*net.layers, net.top)),
    ]
    parts = [(net, ("below",)), *((rbm, _OF_A_LAYER) for rbm in net.layers), (net.top, _OF_THE_TOP)]
    ours = all(has_own_methods(cast(nn.Module, part), methods) for part, methods in parts)
    return ours and all(one is None or are_plain_binary(one) for one in units)


def _is_simple(parameter: Tensor) -> bool:
    """Whether the fused step can move this parameter."""
    plain = parameter.device.type == "cpu" and parameter.dtype in (torch.float32, torch.float64)
    dense = parameter.is_contiguous() or (parameter.dim() == 2 and parameter.t().is_contiguous())
    return plain and parameter.requires_grad and dense
