"""The restricted Boltzmann machine: visible and hidden units, connected between the layers only.

    E(v, h)    = -a . v - b . h - h . W v          binary units; E0 of other kinds is added (`energy.units`)
    p(v, h)    = exp(-E(v, h)) / Z                 p(v) = exp(-F(v)) / Z
    P(h = 1|v) = sigmoid(b + W v)                  P(v = 1|h) = sigmoid(a + W^T h)
    F(v)       = -a . v - sum_j softplus(b_j + (W v)_j)

Smolensky, "Information processing in dynamical systems: foundations of harmony theory", in: Parallel Distributed
Processing, volume 1 (MIT Press 1986), chapter 6; learning: Hinton, "Training products of experts by minimizing
contrastive divergence", Neural Computation 14 (2002) 1771-1800.

Shapes: B examples, V visible units, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from threegen.checks import (
    require_choice,
    require_features,
    require_finite,
    require_number,
    require_states,
    require_whole,
)
from threegen.errors import ConfigError
from threegen.functional.energy.free_energy import free_energy
from threegen.functional.energy.partition import LogPartition, Net, annealed_log_partition, exact_log_partition
from threegen.functional.energy.units import GaussianUnits, Units, are_binary, make_units, require_unit_values
from threegen.machine.memory import require_weights
from threegen.machine.sparse.layouts import may_pay
from threegen.machine.sparse.sparse_states import weigh, weigh_down

UnitChoice = str | Units | Sequence[Units]


class RBM(nn.Module):
    """A restricted Boltzmann machine of `visible` and `hidden` units.

    `visible_units` and `hidden_units` are "bernoulli", "gaussian" or "softmax", an object such as
    `SoftmaxUnits(5, groups=20)`, or a list of objects whose units are concatenated. Weights are drawn from N(0,
    init^2), biases start at 0 (Hinton's guide, section 8); `start_visible_bias(data)` sets the visible ones. Weights
    are stored by visible unit ([V, H]), so that contrastive divergence can skip units that are 0 (see
    `machine/sparse/sparse_matrix.py`).

    `forward` takes `[B, V]` or images of V pixels and returns the hidden units' means `[B, H]`, probabilities for
    binary units. Raises `ConfigError` for settings that cannot work, `ShapeError` for inputs of another width or type.
    """

    classifies = False  # `forward` returns no class scores; evaluate raises for it

    def __init__(
        self,
        visible: int,
        hidden: int,
        visible_units: UnitChoice = "bernoulli",
        hidden_units: UnitChoice = "bernoulli",
        *,
        init: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.visible_units = make_units("visible", visible, visible_units)
        self.hidden_units = make_units("hidden", hidden, hidden_units)
        if isinstance(self.visible_units, GaussianUnits) and isinstance(self.hidden_units, GaussianUnits):
            raise ConfigError("two layers of Gaussian units have no normalised distribution; make one of them binary")
        require_weights("RBM", [(visible, hidden)])
        require_number("init", init, least=0.0)
        weight = torch.empty(hidden, visible).normal_(0.0, init, generator=generator)
        self.weight = nn.Parameter(weight)
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    @property
    def needs_unit_range(self) -> bool:
        """Whether visible values must be in 0..1; Gaussian units take any."""
        return are_binary(self.visible_units)

    @property
    def visible(self) -> int:
        """V, the number of visible units."""
        return self.weight.shape[1]

    @property
    def hidden(self) -> int:
        """H, the number of hidden units."""
        return self.weight.shape[0]

    def input_major(self) -> list[Tensor]:
        """Return the weights that `fit` stores input-major, so that blank pixels can be skipped."""
        return [self.weight] if may_pay(self.weight) else []

    def extra_repr(self) -> str:
        """Return what `print` shows."""
        return f"{self.visible} {type(self.visible_units).__name__}, {self.hidden} {type(self.hidden_units).__name__}"

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the hidden units' means `[B, H]` given `inputs`."""
        return self.hidden_given_visible(self.visible_states(inputs))

    def visible_states(self, inputs: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return a batch's inputs as states of the visible units `[B, V]`; targets are not used."""
        name = type(self).__name__
        return require_unit_values(name, self.visible_units, require_features(name, inputs, self.visible, self.weight))

    def _visible(self, states: Tensor) -> Tensor:
        """Return visible states `[..., V]`; NaN from a diverged net passes: the guard of `fit` reports it."""
        name = type(self).__name__
        require_states(name, "visible states", states, self.visible, self.weight)
        return require_unit_values(name, self.visible_units, states, finite=False)

    def _hidden(self, states: Tensor) -> Tensor:
        """Return hidden states `[..., H]`, as `_visible` does."""
        name = type(self).__name__
        require_states(name, "hidden states", states, self.hidden, self.weight)
        return require_unit_values(name, self.hidden_units, states, finite=False)

    # -- the two conditional distributions ----------------------------------------------------------------------------

    def hidden_input(self, visible: Tensor) -> Tensor:
        """Return the hidden units' total inputs b + W v, `[..., H]`."""
        return weigh(self._visible(visible), self.weight, self.hidden_bias)

    def visible_input(self, hidden: Tensor) -> Tensor:
        """Return the visible units' total inputs a + W^T h, `[..., V]`."""
        return weigh_down(self._hidden(hidden), self.weight, self.visible_bias)

    def hidden_given_visible(self, visible: Tensor) -> Tensor:
        """Return the hidden units' means `[..., H]` given visible states; probabilities for binary units."""
        return self.hidden_units.mean(self.hidden_input(visible))

    def visible_given_hidden(self, hidden: Tensor) -> Tensor:
        """Return the visible units' means `[..., V]` given hidden states; probabilities for binary units."""
        return self.visible_units.mean(self.visible_input(hidden))

    def draw_hidden(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return hidden states drawn given their means `[..., H]`."""
        return self.hidden_units.draw(self._hidden(mean), generator)

    def draw_visible(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return visible states drawn given their means `[..., V]`."""
        return self.visible_units.draw(self._visible(mean), generator)

    # -- energies -----------------------------------------------------------------------------------------------------

    def energy(self, visible: Tensor, hidden: Tensor) -> Tensor:
        """Return E `[...]` of joint states `[..., V]` and `[..., H]`."""
        own = self.visible_units.own_energy(self._visible(visible)) + self.hidden_units.own_energy(self._hidden(hidden))
        return own - visible @ self.visible_bias - (hidden * self.hidden_input(visible)).sum(-1)

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return F `[...]` of visible states `[..., V]`: p(v) = exp(-F(v)) / Z."""
        total = self.hidden_input(visible)
        return free_energy(self.visible_units, self.hidden_units, visible, self.visible_bias, total)

    def log_partition(
        self,
        method: str = "exact",
        *,
        steps: int = 14_500,
        runs: int = 100,
        base: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> LogPartition:
        """Return log Z in nats, with an error bar.

        method: "exact" sums over all states of the smaller layer (at most 25 binary units); "ais" is annealed
            importance sampling over `steps` intermediate distributions with `runs` chains.
        base: data `[N, ...]` (or states of the visible units `[N, V]`) whose means annealing starts from; by default it
        starts from units without input, which needs far more steps for the same error.

        The estimate includes its error bar and the effective number of runs; it warns if that number is too small for a
        reliable error bar. Raises `ConfigError` if the exact sum would have too many terms.

        >>> round(float(RBM(5, 4, init=0.0).log_partition()), 4)  # log 2^9: without weights all states weigh the same
        6.2383
        """
        units = (self.visible_units, self.hidden_units)
        net = Net(*units, self.weight.detach(), self.visible_bias.detach(), self.hidden_bias.detach())
        if require_choice("method", method, ("exact", "ais")) == "exact":
            return exact_log_partition(net)
        start = torch.zeros_like(net.visible_bias)
        if base is not None:
            whole = isinstance(base, Tensor) and base.dim() == 2 and base.shape[1] == self.visible
            states = require_finite("base", self._visible(base)) if whole else self.visible_states(base)
            start = self.visible_units.bias_of(states.mean(0))
        return annealed_log_partition(net, start, steps=steps, runs=runs, generator=generator)

    @torch.no_grad()
    def log_likelihood(self, visible: Tensor, log_partition: LogPartition | float) -> Tensor:
        """Return log p(v) = -F(v) - log Z in nats `[B]` of visible states `[B, V]`."""
        return -self.free_energy(visible) - float(log_partition)

    # -- initialisation and sampling -----------------------------------------------------------------------------------

    @torch.no_grad()
    def start_visible_bias(self, data: Tensor) -> None:
        """Set the visible biases so that, without weights, the units' means are those of `data` `[N, ...]`.

        For binary units this is log(p / (1 - p)) (guide, section 8.1).
        """
        self.visible_bias.copy_(self.visible_units.bias_of(self.visible_states(data).mean(0)))

    @torch.no_grad()
    def gibbs(self, visible: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
        """Return visible states `[B, V]` after `steps` full steps of Gibbs sampling from `visible` `[B, V]`."""
        visible = self._visible(visible)
        for _ in range(require_whole("steps", steps, least=0)):
            hidden = self.draw_hidden(self.hidden_given_visible(visible), generator)
            visible = self.draw_visible(self.visible_given_hidden(hidden), generator)
        return visible

    @torch.no_grad()
    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Return the visible means `[B, V]` given the hidden means of `inputs`: one pass up and down, without
        sampling."""
        return self.visible_given_hidden(self.forward(inputs))
