"""The leaky integrate-and-fire neuron: one step, the time loop, and the surrogate derivatives.

    u[t] = decay * u[t-1] * (1 - o[t-1]) + I[t]           o[t] = 1 where u[t] >= threshold, else 0

This is the iterative form of Wu, Deng, Li, Zhu and Shi, "Spatio-temporal backpropagation for training
high-performance spiking neural networks", Frontiers in Neuroscience 12:331 (2018): u is the membrane potential,
o the spike, I the summed synaptic input, and (1 - o) the reset to zero. With `reset="soft"` the neuron keeps the part
of its potential above the threshold: u[t] = decay * (u[t-1] - threshold * o[t-1]) + I[t].

A spike has no useful derivative, so the backward pass replaces it by a *surrogate* h(u - threshold), in training and in
eval mode. Every surrogate here has height 1/a at the threshold and area 1, where a is `surrogate_width`; the
rectangular one with a = 1 is the paper's.

Shapes: T time steps, B examples, then any neuron shape. Time comes first. State is always explicit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from threegen.checks import require_choice, require_number
from threegen.errors import ShapeError

RESETS = ("hard", "soft")


def rectangular(distance: Tensor, width: float) -> Tensor:
    """1/a where |d| < a/2, else 0 (Wu et al. 2018, h1)."""
    return (distance.abs() < width / 2).to(distance.dtype).mul_(1 / width)


def triangular(distance: Tensor, width: float) -> Tensor:
    """max(0, 1 - |d|/a) / a."""
    return (1 - distance.abs() / width).clamp_(min=0).div_(width)


def arctan(distance: Tensor, width: float) -> Tensor:
    """1 / (a (1 + (pi d / a)^2)): the slope of arctan(pi d / a) / pi."""
    return (1 + (distance * (math.pi / width)).square()).reciprocal().div_(width)


def sigmoid(distance: Tensor, width: float) -> Tensor:
    """4 s (1 - s) / a with s = sigmoid(4 d / a): the slope of s."""
    s = torch.sigmoid(distance * (4 / width))
    return s * (1 - s) * (4 / width)


def superspike(distance: Tensor, width: float) -> Tensor:
    """1 / (a (1 + 2 |d| / a)^2): Zenke and Ganguli 2018 with steepness 2/a, scaled to area 1."""
    return (1 + distance.abs() * (2 / width)).square().reciprocal().div_(width)


SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "rectangular": rectangular,
    "triangular": triangular,
    "arctan": arctan,
    "sigmoid": sigmoid,
    "superspike": superspike,
}


@dataclass(frozen=True, slots=True)
class LIFParameters:
    """The constants of a layer of neurons, checked once at construction.

    `decay` in 0..1 (1: no leak), `threshold` above 0, `reset` "hard" or "soft", `surrogate` one of `SURROGATES` or your
    own function of (u - threshold, width),
    `surrogate_width` above 0. `detach_reset=True` stops the gradient that flows through the reset; the paper and the
    default keep it. Raises `ConfigError`.
    """

    decay: float = 0.5
    threshold: float = 0.5
    reset: str = "hard"
    surrogate: Any = "rectangular"  # a name, or a function of (potential - threshold, width)
    surrogate_width: float = 1.0
    detach_reset: bool = False

    def __post_init__(self) -> None:
        require_number("decay", self.decay, least=0.0, most=1.0)
        require_number("threshold", self.threshold, above=0.0)
        require_choice("reset", self.reset, RESETS)
        if not callable(self.surrogate):
            require_choice("surrogate", self.surrogate, SURROGATES)
        require_number("surrogate_width", self.surrogate_width, above=0.0)

    def derivative(self, potential: Tensor) -> Tensor:
        """Return the surrogate derivative h(potential - threshold), of the shape of `potential`."""
        return self.slope(potential - self.threshold)

    def slope(self, distance: Tensor) -> Tensor:
        """Return the surrogate derivative h at a `distance` from the threshold."""
        kind: Callable[[Tensor, float], Tensor] = SURROGATES.get(self.surrogate, self.surrogate)
        return kind(distance, self.surrogate_width)


class NeuronState(NamedTuple):
    """The state of a layer between two time steps: potentials before the reset, and spikes, [B, ...].

    The other fields are set only if an option needs them (see `functional.general_neurons`): the increase of the
    threshold and the remaining refractory steps, [B, ...]; the inputs within the window, the newest first, [T_w - 1, B,
    ...]; the state of a normalisation after the layer; and the synaptic current [B, ...].
    """

    potential: Tensor
    spikes: Tensor
    adaptation: Tensor | None = None
    countdown: Tensor | None = None
    recent: Tensor | None = None
    normalisation: Tensor | None = None
    current: Tensor | None = None

    def detach(self) -> NeuronState:
        """Return the state without its history: back-propagation through time ends here."""
        after = [None if one is None else one.detach() for one in self[2:]]
        return NeuronState(self.potential.detach(), self.spikes.detach(), *after)


torch.serialization.add_safe_globals([NeuronState])  # saved states load with weights_only=True


class _Spike(torch.autograd.Function):
    """1 where the potential reaches the threshold; its backward pass uses the surrogate."""

    @staticmethod
    def forward(ctx: Any, potential: Tensor, parameters: LIFParameters) -> Tensor:
        ctx.save_for_backward(potential)
        ctx.parameters = parameters
        return (potential >= parameters.threshold).to(potential.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (potential,) = ctx.saved_tensors
        return gradients[0] * ctx.parameters.derivative(potential), None


class _SpikeOver(torch.autograd.Function):
    """1 where the distance to the threshold is not negative; the threshold gets its gradient through the distance."""

    @staticmethod
    def forward(ctx: Any, distance: Tensor, parameters: LIFParameters) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.parameters = parameters
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (distance,) = ctx.saved_tensors
        return gradients[0] * ctx.parameters.slope(distance), None


def spike(potential: Tensor, parameters: LIFParameters, threshold: Tensor | None = None) -> Tensor:
    """Return 1 where `potential` >= threshold, else 0, in its type; differentiable by the surrogate.

    A tensor given as `threshold` replaces the number in `parameters`, and also gets a gradient.
    """
    if threshold is None:
        return _Spike.apply(potential, parameters)  # type: ignore[no-untyped-call,no-any-return]
    return _SpikeOver.apply(potential - threshold, parameters)  # type: ignore[no-untyped-call,no-any-return]


def lif_step(current: Tensor, state: NeuronState | None, parameters: LIFParameters) -> NeuronState:
    """Advance a layer by one time step from its input `current` [B, ...]; `state=None` is the resting state."""
    if state is None:
        potential = current
    else:
        check_state(state, current)
        fired = state.spikes.detach() if parameters.detach_reset else state.spikes
        if parameters.reset == "hard":
            carried = state.potential * (1 - fired)
        else:
            carried = state.potential - parameters.threshold * fired
        potential = parameters.decay * carried + current
    return NeuronState(potential, spike(potential, parameters))


def lif_loop(currents: Tensor, state: NeuronState | None, parameters: LIFParameters) -> tuple[Tensor, Tensor]:
    """Return (spikes, potentials) [T, B, ...] by elementary steps: the definition, and the reference of `lif`."""
    check_currents(currents)
    states = []
    for current in currents:
        state = lif_step(current, state, parameters)
        states.append(state)
    return torch.stack([one.spikes for one in states]), torch.stack([one.potential for one in states])


def lif(currents: Tensor, state: NeuronState | None, parameters: LIFParameters) -> tuple[Tensor, Tensor]:
    """Return (spikes, potentials) of a layer over all time steps; the fast version of `lif_loop`.

    `currents` [T, B, ...] is the summed synaptic input; `state` is the state after an earlier call, or None for rest.
    Both results have the shape of `currents`; potentials are those before the reset. The hand-written backward pass
    stores only the potentials and recomputes spikes and surrogate from them. Raises `ShapeError`.
    """
    check_currents(currents)
    if state is None:
        return _LIF.apply(currents, None, None, parameters)  # type: ignore[no-untyped-call,no-any-return]
    check_state(state, currents[0])
    return _LIF.apply(currents, state.potential, state.spikes, parameters)  # type: ignore[no-untyped-call,no-any-return]


def check_currents(currents: Tensor) -> None:
    """Raise `ShapeError` unless `currents` is floating, [T, B, ...] with at least one time step."""
    if not isinstance(currents, Tensor) or not currents.is_floating_point():
        kind = currents.dtype if isinstance(currents, Tensor) else type(currents).__name__
        raise ShapeError(f"a spiking layer expects a floating-point tensor [T, B, ...], got {kind}")
    if currents.dim() < 2 or currents.shape[0] < 1:
        raise ShapeError(
            f"a spiking layer expects input [T, B, ...] with T at least 1 (time first), got {list(currents.shape)}"
        )


def check_state(state: NeuronState, current: Tensor) -> None:
    """Raise `ShapeError` if `state` does not fit input of the shape of `current` [B, ...]."""
    for name, values in (("potential", state.potential), ("spikes", state.spikes)):
        if values.shape != current.shape:
            raise ShapeError(
                f"the spiking state ({name}) is for a batch and layer of shape {list(values.shape)}, the input has "
                f"{list(current.shape)}; pass state=None to start from rest"
            )


class _LIF(torch.autograd.Function):
    """The whole time loop with its backward pass.

    With g[t] = dL/du[t], c the slope of u[t+1] by u[t] and G the gradient that arrives from outside:
        g[t] = G_u[t] + G_o[t] h[t] + g[t+1] c[t]
        c[t] = decay (1 - o[t] - u[t] h[t])      hard reset      (the last term is the gradient through the reset:
        c[t] = decay (1 - threshold h[t])        soft reset       detached, it is left out)
    """

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, potential: Tensor | None, fired: Tensor | None, parameters: LIFParameters
    ) -> tuple[Tensor, Tensor]:
        hard, decay, threshold = parameters.reset == "hard", parameters.decay, parameters.threshold
        potentials = torch.empty_like(currents, memory_format=torch.contiguous_format)
        spikes = torch.empty_like(potentials)
        kept = torch.empty_like(potentials[0])
        u, o = potential, fired
        for t in range(len(currents)):
            if u is None or o is None:
                potentials[t].copy_(currents[t])
            elif hard:
                kept.copy_(o).neg_().add_(1)
                torch.addcmul(currents[t], u, kept, value=decay, out=potentials[t])
            else:
                torch.sub(u, o, alpha=threshold, out=kept)
                torch.add(currents[t], kept.mul_(decay), out=potentials[t])  # add(alpha=) would round once only
            u, o = potentials[t], spikes[t]
            torch.ge(u, threshold, out=o)
        ctx.save_for_backward(potentials, potential, fired)
        ctx.parameters = parameters
        ctx.set_materialize_grads(False)
        return spikes, potentials

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        by_spikes, by_potentials = gradients
        potentials, potential, fired = ctx.saved_tensors
        parameters: LIFParameters = ctx.parameters
        if by_spikes is None and by_potentials is None:
            return None, None, None, None
        result = torch.empty_like(potentials)
        for t in range(len(potentials) - 1, -1, -1):  # one step at a time: every temporary stays in the cache
            slope = parameters.derivative(potentials[t])
            if by_spikes is None:
                result[t].zero_()
            else:
                torch.mul(by_spikes[t], slope, out=result[t])
            if by_potentials is not None:
                result[t].add_(by_potentials[t])
            if t + 1 < len(potentials):
                result[t].addcmul_(result[t + 1], _carried(potentials[t], slope, parameters))
        if potential is None:
            return result, None, None, None
        return result, *initial_gradients(result[0], potential, fired, parameters), None


def _carried(potentials: Tensor, slope: Tensor, parameters: LIFParameters) -> Tensor:
    """Return c[t], the derivative of the next potential by this one; `slope` is overwritten."""
    if parameters.reset == "hard":
        alive = (potentials < parameters.threshold).to(potentials.dtype)
        if not parameters.detach_reset:
            alive.addcmul_(potentials, slope, value=-1)
        return alive.mul_(parameters.decay)
    if parameters.detach_reset:
        return slope.fill_(parameters.decay)
    return slope.mul_(-parameters.threshold).add_(1).mul_(parameters.decay)


def initial_gradients(
    first: Tensor, potential: Tensor, fired: Tensor, parameters: LIFParameters
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients of the initial state, in which potential and spikes are independent."""
    scaled = first * parameters.decay
    if parameters.reset == "hard":
        return scaled * (1 - fired), None if parameters.detach_reset else -scaled * potential
    return scaled, None if parameters.detach_reset else scaled * -parameters.threshold
