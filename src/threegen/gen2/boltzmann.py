"""The Boltzmann machine: binary units, each connected with every other, some of them visible.

    E(s)              = -1/2 s^T W s - b . s               W symmetric, zero diagonal, s in {0, 1}^N
    P(s_i = 1 | rest) = 1 / (1 + exp(-u_i / T))            u = W s + b, T the temperature
    P(s)              = exp(-E(s) / T) / Z

Without hidden units and at T = 0 it is a Hopfield net: a unit takes the state of lower E, and patterns stored by Hebb's
rule are minima of E.

Ackley, Hinton and Sejnowski, "A learning algorithm for Boltzmann machines", Cognitive Science 9 (1985) 147-169;
Hopfield, "Neural networks and physical systems with emergent collective computational abilities", PNAS 79 (1982)
2554-2558; mean field: Peterson and Anderson, Complex Systems 1 (1987) 995-1019.

Shapes: B cases, N units in all, V visible ones (the first), H hidden ones.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from threegen.checks import require_features, require_number, require_states, require_unit_range, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.energy.partition import MOST_ENUMERATED, all_states
from threegen.machine.memory import require_weights


class BoltzmannMachine(nn.Module):
    """A fully connected machine of `visible` and `hidden` binary units at a `temperature`.

    `weight` `[N, N]` holds each connection once, above its diagonal; `couplings` is the symmetric matrix W. Weights are
    drawn from N(0, init^2), biases start at zero. "Exact" methods sum over all states and allow at most 25 free units.
    `forward` takes `[B, V]` and returns the hidden units' means `[B, H]` by mean field. Raises `ConfigError` for
    settings that cannot work, `ShapeError` for inputs of another width or type.
    """

    classifies = False  # `forward` returns no class scores; evaluate raises for it
    needs_unit_range = True  # only values in 0..1

    def __init__(
        self,
        visible: int,
        hidden: int = 0,
        *,
        temperature: float = 1.0,
        init: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.visible = require_whole("visible", visible)
        self.hidden = require_whole("hidden", hidden, least=0)
        self.temperature = require_number("temperature", temperature, least=0.0)
        require_number("init", init, least=0.0)
        units = visible + hidden
        require_weights("BoltzmannMachine", [(units, units)])
        self.weight = nn.Parameter(torch.empty(units, units).normal_(0.0, init, generator=generator).triu_(1))
        self.bias = nn.Parameter(torch.zeros(units))

    @classmethod
    def storing(cls, patterns: Tensor) -> BoltzmannMachine:
        """Return the Hopfield net that stores `patterns` `[P, N]` of 0 and 1: T = 0, no hidden units.

        With the patterns as signs x = 2 s - 1, Hebb's rule is J = sum x x^T / N without its diagonal, and the energy
        -1/2 x^T J x is, up to a constant, that of W = 4 J and b = -2 J 1. Up to about .138 N random patterns can be
        stored. Raises `ShapeError` and `ConfigError` for anything but patterns of 0 and 1.
        """
        if not isinstance(patterns, Tensor):
            raise ShapeError(f"patterns must be a tensor [P, N], got {type(patterns).__name__}")
        if patterns.dim() != 2:
            raise ShapeError(f"patterns must be [P, N], got {list(patterns.shape)}")
        if bool(((patterns != 0) & (patterns != 1)).any()):
            raise ConfigError("patterns must hold 0 and 1 only; for -1 and 1 use (patterns + 1) / 2")
        signs = 2 * patterns.to(torch.get_default_dtype()) - 1
        net = cls(patterns.shape[1], temperature=0.0, init=0.0)
        hebb = (signs.T @ signs / signs.shape[1]).fill_diagonal_(0.0)
        with torch.no_grad():
            net.weight.copy_((4 * hebb).triu(1))
            net.bias.copy_(-2 * hebb.sum(1))
        return net

    @property
    def units(self) -> int:
        """N, the number of all units."""
        return self.visible + self.hidden

    @property
    def couplings(self) -> Tensor:
        """W `[N, N]`, symmetric with a zero diagonal."""
        upper = self.weight.triu(1)
        return upper + upper.T

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the hidden units' means `[B, H]` by mean field, the visible ones held at `inputs` `[B, V]`."""
        return self.mean_field(self.visible_states(inputs))[:, self.visible :]

    def visible_states(self, inputs: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return a batch's inputs as states of the visible units `[B, V]`; targets are not used."""
        name = type(self).__name__
        return require_unit_range(name, require_features(name, inputs, self.visible, self.weight))

    def _states(self, states: Tensor) -> Tensor:
        """Return states of all units `[..., N]`; raises `ShapeError`, or `ConfigError` for values outside 0..1."""
        name = type(self).__name__
        return require_unit_range(name, require_states(name, "states of all units", states, self.units, self.weight))

    def _seen(self, visible: Tensor) -> Tensor:
        """Return states of the visible units `[B, V]`; raises as `_states`."""
        name = type(self).__name__
        require_states(name, "states of the visible units", visible, self.visible, self.weight)
        if visible.dim() != 2:
            raise ShapeError(f"{name} expects [B, {self.visible}], got {list(visible.shape)}")
        return require_unit_range(name, visible)

    def energy(self, states: Tensor) -> Tensor:
        """Return E `[...]` of the states of all units `[..., N]`."""
        states = self._states(states)
        return -(states @ self.weight.triu(1) * states).sum(-1) - states @ self.bias

    # -- sampling -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def gibbs(
        self,
        states: Tensor,
        sweeps: int = 1,
        *,
        clamp_visible: bool = False,
        temperature: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return states `[B, N]` after `sweeps` visits to each unit, one unit after the other in a random order.

        `clamp_visible` clamps the visible units. At temperature 0 a unit takes the state of lower energy, and keeps its
        own if both are equal.
        """
        t = self.temperature if temperature is None else require_number("temperature", temperature, least=0.0)
        if self._states(states).dim() != 2:
            raise ShapeError(f"{type(self).__name__} expects states [B, {self.units}], got {list(states.shape)}")
        states, couplings = states.clone(), self.couplings
        first = self.visible if clamp_visible else 0
        for _ in range(require_whole("sweeps", sweeps, least=0)):
            order = torch.randperm(self.units - first, generator=generator).tolist()
            levels = torch.rand(self.units, len(states), generator=generator).to(states)
            for unit in (first + place for place in order):
                u = states @ couplings[unit] + self.bias[unit]
                if t > 0:
                    states[:, unit] = (levels[unit] < torch.sigmoid(u / t)).to(states.dtype)
                else:
                    states[:, unit] = torch.where(u == 0, states[:, unit], (u > 0).to(states.dtype))
        return states

    @torch.no_grad()
    def anneal(
        self,
        states: Tensor,
        temperatures: Iterable[float],
        *,
        clamp_visible: bool = False,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return states `[B, N]` after one sweep at each of the falling `temperatures`."""
        for t in temperatures:
            states = self.gibbs(states, clamp_visible=clamp_visible, temperature=t, generator=generator)
        return states

    @torch.no_grad()
    def recall(self, states: Tensor, most_sweeps: int = 100, generator: torch.Generator | None = None) -> Tensor:
        """Return the minima of the energy `[B, N]` that are reached from `states` at temperature 0."""
        for _ in range(require_whole("most_sweeps", most_sweeps)):
            before = states
            states = self.gibbs(states, temperature=0.0, generator=generator)
            if torch.equal(before, states):
                break
        return states

    @torch.no_grad()
    def start_states(self, visible: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return states `[B, N]` with the visible units as given and fair coins for the hidden ones."""
        visible = self._seen(visible)
        coins = torch.rand(len(visible), self.hidden, generator=generator).to(visible) < 0.5
        return torch.cat([visible, coins.to(visible.dtype)], 1)

    def mean_field(self, visible: Tensor, *, steps: int = 50, damping: float = 0.5) -> Tensor:
        """Return means `[B, N]`: the visible units as given, the hidden ones at m = sigmoid((W m + b) / T).

        Each step keeps the share `damping` of the old means. Raises `ConfigError` at temperature 0.
        """
        if self.temperature == 0:
            raise ConfigError("mean field needs a temperature above 0; use recall() at temperature 0")
        require_number("damping", damping, least=0.0, below=1.0)
        visible = self._seen(visible)
        couplings, bias = self.couplings[self.visible :], self.bias[self.visible :]
        means = torch.cat([visible, visible.new_full((len(visible), self.hidden), 0.5)], 1)
        for _ in range(require_whole("steps", steps) if self.hidden else 0):
            fresh = torch.sigmoid((means @ couplings.T + bias) / self.temperature)
            old = means[:, self.visible :]
            means = torch.cat([visible, damping * old + (1 - damping) * fresh], 1)
        return means

    # -- exact sums over states ---------------------------------------------------------------------------------------

    def log_partition(self) -> Tensor:
        """Return log Z, 0-d and differentiable, summed over all 2^N states."""
        states = self._every_state(self.units)
        return (-self.energy(states) / self.temperature).logsumexp(0)

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return F `[B]` of visible states `[B, V]`: p(v) = exp(-F(v) / T) / Z, summed over all hidden states."""
        return -self.temperature * (-self.energy(self._completed(visible)) / self.temperature).logsumexp(1)

    def log_likelihood(self, visible: Tensor) -> Tensor:
        """Return log p(v) `[B]` in nats, exact and differentiable."""
        return -self.free_energy(visible) / self.temperature - self.log_partition()

    @torch.no_grad()
    def exact_statistics(self, visible: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return <s> `[N]` and <s s^T> `[N, N]`, exactly: of the free machine, or averaged over clamped `visible`."""
        states = self._every_state(self.units).unsqueeze(0) if visible is None else self._completed(visible)
        chances = (-self.energy(states) / self.temperature).softmax(1) / len(states)
        flat, weights = states.flatten(0, 1), chances.flatten()
        return weights @ flat, (flat * weights.unsqueeze(1)).T @ flat

    def _every_state(self, units: int) -> Tensor:
        if units > MOST_ENUMERATED or self.temperature == 0:
            raise ConfigError(
                f"exact sums take at most {MOST_ENUMERATED} free units at a temperature above 0, "
                f"there are {units} at {self.temperature:g}; use gibbs()"
            )
        return all_states(units).to(self.weight)

    def _completed(self, visible: Tensor) -> Tensor:
        """Return `[B, 2^H, N]`: each case with every state of the hidden units."""
        visible = self._seen(visible)
        hidden = self._every_state(self.hidden)
        shape = (len(visible), len(hidden))
        return torch.cat([visible.unsqueeze(1).expand(*shape, -1), hidden.expand(*shape, -1)], 2)
