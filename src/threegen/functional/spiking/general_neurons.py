"""The general leaky integrate-and-fire neuron, step by step; `functional.neurons` is its iterative special case.

    tau du/dt = -(u - u_r1) + sum_j w_j sum_{t_j in [t - T_w, t]} K(t - t_j)        u := u_r2 where u reaches threshold

Wu, Deng, Li, Zhu and Shi, Frontiers in Neuroscience 12:331 (2018). Between two steps the equation is solved exactly,
with decay = exp(-1 / tau) and the weights in units of the increase of u by a spike:

    I[t] = sum_k K[k] c[t-k]           k = 0 .. T_w - 1      c[t] the summed input W x[t] + b of step t
    u[t] = u_r1 + decay (v[t-1] - u_r1) + I[t]               held at v[t-1] while the neuron is refractory
    o[t] = 1 where u[t] >= threshold + a[t-1] and the neuron is not refractory, else 0
    v[t] = u[t] + o[t] (u_r2 - u[t])   hard reset            u[t] - o[t] (threshold - u_r2)   soft reset
    a[t] = rho a[t-1] + beta o[t]      the adaptive threshold of Bellec et al., NeurIPS 2018

With u_r1 = u_r2 = 0, T_w = 1, K = 1, no refractory steps and beta = 0 this is, bit for bit, `neurons.lif_loop`.

Shapes: T time steps, B examples, then any neuron shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from threegen.checks import require_number, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import LIFParameters, NeuronState, check_currents, check_state, spike

Feedback = Callable[[Tensor], Tensor]  # spikes [B, ...] of the last step -> their contribution to the summed input


@dataclass(frozen=True, slots=True)
class GeneralOptions:
    """The options of the general neuron beyond the iterative form, checked once at construction.

    `rest` is u_r1 and `reset_to` u_r2. `kernel` holds K[0], K[1], ..., one number for each step of the window T_w.
    After a spike the neuron is held for `refractory` steps. Each spike raises the threshold by `adaptation` (beta);
    `adaptation_decay` (rho, 0..1) is the share of this increase that remains after a step. Raises `ConfigError`.
    """

    rest: float = 0.0
    reset_to: float = 0.0
    kernel: Sequence[float] = (1.0,)
    refractory: int = 0
    adaptation: float = 0.0
    adaptation_decay: float = 0.9

    def __post_init__(self) -> None:
        require_number("rest", self.rest)
        require_number("reset_to", self.reset_to)
        if not isinstance(self.kernel, tuple | list) or not self.kernel:
            raise ConfigError(f"kernel must list K at each step of the window, such as [1.0, 0.5], got {self.kernel!r}")
        object.__setattr__(self, "kernel", tuple(require_number("kernel", value) for value in self.kernel))
        require_whole("refractory", self.refractory, least=0)
        require_number("adaptation", self.adaptation, least=0.0)
        require_number("adaptation_decay", self.adaptation_decay, least=0.0, most=1.0)

    @property
    def iterative(self) -> bool:
        """Whether these are the options of the iterative form."""
        plain = (self.rest, self.reset_to, self.refractory, self.adaptation) == (0.0, 0.0, 0, 0.0)
        return plain and self.kernel == (1.0,)


ITERATIVE = GeneralOptions()


def resting_state(current: Tensor, options: GeneralOptions) -> NeuronState:
    """Return the state of a layer at rest, for input of the shape of `current` [B, ...]."""
    silent, window = torch.zeros_like(current), len(options.kernel) - 1
    return NeuronState(
        torch.full_like(current, options.rest),
        silent,
        silent if options.adaptation else None,
        silent if options.refractory else None,
        current.new_zeros(window, *current.shape) if window else None,
    )


def general_step(
    current: Tensor,
    state: NeuronState | None,
    parameters: LIFParameters,
    options: GeneralOptions = ITERATIVE,
    decay: Tensor | None = None,
    threshold: Tensor | None = None,
) -> NeuronState:
    """Advance a layer by one time step from its summed input `current` [B, ...]; `state=None` is the resting state.

    `decay` and `threshold` replace those of `parameters` if they are learned or differ between neurons. Raises
    `ShapeError`.
    """
    start = resting_state(current, options) if state is None else state
    require_state(start, current, options)
    arriving, recent = _window_of_one(current, start.recent, options.kernel)
    left = after_reset(start, parameters, options, threshold)
    share: Tensor | float = parameters.decay if decay is None else decay
    potential = options.rest + share * (left - options.rest) + arriving
    if options.refractory:
        countdown = cast(Tensor, start.countdown)
        potential = torch.where(countdown > 0, left, potential)
    lifted = potential - cast(Tensor, start.adaptation) if options.adaptation else potential
    spikes = spike(lifted, parameters, threshold)
    after = None
    if options.refractory:
        spikes = torch.where(countdown > 0, torch.zeros_like(spikes), spikes)
        waiting = (countdown - 1).clamp(min=0)
        after = torch.where(spikes.detach() > 0, torch.full_like(waiting, options.refractory), waiting)
    raised = None
    if options.adaptation:
        raised = options.adaptation_decay * cast(Tensor, start.adaptation) + options.adaptation * spikes
    return NeuronState(potential, spikes, raised, after, recent)


def general_loop(
    currents: Tensor,
    state: NeuronState | None,
    parameters: LIFParameters,
    options: GeneralOptions = ITERATIVE,
    decay: Tensor | None = None,
    feedback: Feedback | None = None,
    threshold: Tensor | None = None,
) -> tuple[Tensor, Tensor, NeuronState]:
    """Return spikes and potentials [T, B, ...] of all steps and the state after the last.

    `feedback` returns the contribution of one step's spikes to the summed input of the next: recurrent weights. `decay`
    and `threshold` are tensors, [] or one value per neuron, that replace those of `parameters`. Raises `ShapeError`.
    """
    check_currents(currents)
    spikes, potentials = [], []
    for current in currents:
        arriving = current if feedback is None or state is None else current + feedback(state.spikes)
        state = general_step(arriving, state, parameters, options, decay, threshold)
        spikes.append(state.spikes)
        potentials.append(state.potential)
    if state is None:
        raise ShapeError("a spiking layer expects at least one time step")
    return torch.stack(spikes), torch.stack(potentials), state


def after_window(currents: Tensor, recent: Tensor | None, kernel: Sequence[float]) -> tuple[Tensor, Tensor | None]:
    """Return I[t] = sum_k K[k] c[t-k] for all steps [T, B, ...], and the inputs that still affect the next step.

    `recent` holds the earlier inputs in the window, the newest first. Raises `ShapeError` if it does not fit.
    """
    if len(kernel) == 1:
        return (currents if kernel[0] == 1.0 else kernel[0] * currents), None
    window, steps = len(kernel) - 1, len(currents)
    if recent is None or recent.shape != (window, *currents.shape[1:]):
        raise ShapeError(
            f"a window of {len(kernel)} steps needs the last {window} inputs in the state; "
            "pass state=None to start from rest"
        )
    history = torch.cat([recent.flip(0), currents])
    total = kernel[0] * currents
    for age in range(1, len(kernel)):
        total = total + kernel[age] * history[window - age : window - age + steps]
    return total, history[-window:].flip(0)


def after_reset(
    state: NeuronState, parameters: LIFParameters, options: GeneralOptions, threshold: Tensor | None = None
) -> Tensor:
    """Return v, the potential after the reset."""
    fired = state.spikes.detach() if parameters.detach_reset else state.spikes
    if parameters.reset == "soft":
        level = parameters.threshold if threshold is None else threshold
        return state.potential - (level - options.reset_to) * fired
    kept = state.potential * (1 - fired)
    return kept if options.reset_to == 0.0 else kept + options.reset_to * fired


def require_state(state: NeuronState, current: Tensor, options: GeneralOptions) -> None:
    """Raise `ShapeError` if `state` does not fit input [B, ...] of a layer with these options."""
    check_state(state, current)
    needed = {"adaptation": bool(options.adaptation), "countdown": options.refractory > 0}
    for name, wanted in needed.items():
        part = getattr(state, name)
        if wanted and (part is None or part.shape != current.shape):
            raise ShapeError(f"the spiking state has no {name} of this layer; pass state=None to start from rest")


def _window_of_one(current: Tensor, recent: Tensor | None, kernel: Sequence[float]) -> tuple[Tensor, Tensor | None]:
    arriving, after = after_window(current[None], recent, kernel)
    return arriving[0], after
