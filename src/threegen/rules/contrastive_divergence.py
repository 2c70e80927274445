"""Contrastive divergence: the model's reconstructions replace samples of its equilibrium distribution.

    dW = P(h0|v0) v0^T - P(hk|vk) vk^T        da = v0 - vk        db = P(h0|v0) - P(hk|vk)        mean over the batch

v0 is a case of the data, vk the same after k steps of Gibbs sampling. Minus these are the gradients of
F(v0) - F(vk), vk held fixed, F the free energy. In the persistent form the chains that give vk continue from batch to
batch, k steps each, independent of the data; their hidden states are stored.

What is drawn and what is a probability (Hinton's guide, section 3):

| quantity                       | here                                                                      |
|--------------------------------|---------------------------------------------------------------------------|
| h0 in dW and db                | probability                                                               |
| h that drives a reconstruction | drawn                                                                     |
| v1 ... vk                      | drawn (`visible="drawn"`), or probabilities (`visible="probabilities"`)   |
| hk in dW and db                | probability                                                               |

Hinton, "Training products of experts by minimizing contrastive divergence", Neural Computation 14 (2002) 1771-1800;
"A practical guide to training restricted Boltzmann machines", UTML TR 2010-003. Persistent chains: Tieleman,
"Training restricted Boltzmann machines using approximations to the likelihood gradient", ICML 2008. Centred form:
Melchior, Fischer and Wiskott, "How to center deep Boltzmann machines", JMLR 17 (2016) 1-61, algorithm 1.

Shapes: B examples, V visible units, H hidden units, N chains.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_number, require_unit_range, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import CheckpointError, ConfigError
from threegen.functional.energy.free_energy import squared_error
from threegen.functional.energy.units import Units, are_binary
from threegen.machine.draws import draw_bernoulli
from threegen.machine.sparse.sparse_states import ListBuffers
from threegen.rules.contrastive_fused import SPEEDS, FusedSteps, obstacle
from threegen.rules.rule import SLACK, Applied, PlainSGD, Rule, Step, Update, descend, require_batch, require_parts


class TwoLayers(Protocol):
    """A net of visible and hidden units without connections inside a layer, as an RBM is."""

    weight: nn.Parameter  # [H, V]
    visible_bias: nn.Parameter  # [V]
    hidden_bias: nn.Parameter  # [H]

    def visible_states(self, inputs: Tensor, targets: Tensor | None = None) -> Tensor:
        """Return a batch as states of the visible units [B, V]."""
        ...

    def hidden_given_visible(self, visible: Tensor) -> Tensor:
        """Return the hidden means [B, H]."""
        ...

    def visible_given_hidden(self, hidden: Tensor) -> Tensor:
        """Return the visible means [B, V]."""
        ...

    def draw_hidden(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return hidden states [B, H]."""
        ...

    def draw_visible(self, mean: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return visible states [B, V]."""
        ...


PARTS = ("weight", "visible_bias", "hidden_bias", "hidden_given_visible()", "visible_given_hidden()")


class Gradients(NamedTuple):
    """The result of one batch: gradients of W [H, V], a [V] and b [H], and the figures."""

    weight: Tensor
    visible: Tensor
    hidden: Tensor
    squares: float  # the sum of squares of the first, infinite if it is not known
    figures: dict[str, Tensor]


class ContrastiveDivergence(Rule):
    """Train an RBM by CD-k, or by persistent CD: one yield per batch.

    steps: k, the steps of Gibbs sampling; a schedule may set it (`EpochSteps("steps", {0: 1, 10: 3})`).
    chains: 0 starts each chain from the data; another number is that of persistent chains, stored in `state_dict()`
    (they start with visible units drawn from their biases only).
    visible: whether reconstructions are "drawn" or stay "probabilities" (see above).
    weight_cost: this share of each weight is subtracted from the ascent direction; not applied to biases (guide,
    section 10).
    draw_data: draw v0 from each batch, whose inputs are then probabilities (grey pixels), instead of using the inputs
    as they are.
    centred: learn as if states were counted from their running means m (visible) and l (hidden) in the data, which
        makes learning independent of which of two states is called 1: dW - db m^T - l da^T replaces dW, and its
        products with l and m are subtracted from da and db. `centring_decay` is the decay of the running means.
    sparsity: the target mean activity of hidden units, None for no target; `sparsity_cost` is the strength of the
    penalty and `sparsity_decay` the decay of the running estimate of the activity (guide, section 11).

    backend: "auto" lets kernels apply plain SGD (with momentum and weight decay) if they can, on the CPU and for binary
    hidden units; "plain" never uses them; "fused" raises `ConfigError` if they cannot.

    Momentum belongs to the optimiser: `optimizer("momentum", lr=.1)` with `EpochSteps("momentum", {0: .5, 5: .9})`
    is the guide's. Figure: `reconstruction_error`, the squared error of the first reconstruction's means (of the
    drawn states with `visible="drawn"`), summed over units, mean over cases; with persistent chains the only figure is
    `activity`, the mean of P(h0|v0).

    Raises `ConfigError` for a model that is not two layers, `DataError` and `NumericError` for bad batches.
    """

    default_rate = 0.1
    uses_labels = False

    def __init__(
        self,
        steps: int = 1,
        *,
        backend: str = "auto",
        chains: int = 0,
        visible: str = "drawn",
        draw_data: bool = False,
        weight_cost: float = 0.0,
        centred: bool = False,
        centring_decay: float = 0.99,
        sparsity: float | None = None,
        sparsity_cost: float = 0.01,
        sparsity_decay: float = 0.9,
    ) -> None:
        self.steps = require_whole("steps", steps)
        self.backend = require_choice("backend", backend, ("auto", "fused", "plain"))
        self.chains = require_whole("chains", chains, least=0)
        self.visible = require_choice("visible", visible, ("drawn", "probabilities"))
        if self.chains and self.visible != "drawn":
            raise ConfigError('persistent chains must hold states: visible="drawn"')
        self.draw_data = bool(draw_data)
        self.weight_cost = require_number("weight_cost", weight_cost, least=0.0)
        self.centred = bool(centred)
        self.centring_decay = require_number("centring_decay", centring_decay, least=0.0, below=1.0)
        self.sparsity = None if sparsity is None else require_number("sparsity", sparsity, above=0.0, below=1.0)
        self.sparsity_cost = require_number("sparsity_cost", sparsity_cost, least=0.0)
        self.sparsity_decay = require_number("sparsity_decay", sparsity_decay, least=0.0, below=1.0)
        self._buffers = ListBuffers()  # where visible states are not 0; scratch memory only, no state
        self._chain: Tensor | None = None  # [N, H]
        # Running means of P(h0|v0) [H]: for the sparsity target, and, with those of v0 [V], for the centres.
        self._running: dict[str, Tensor] = {}
        self._sgd: PlainSGD | None = None
        self._fused, self._restored = FusedSteps(), False

    def __repr__(self) -> str:
        persistent = f", chains={self.chains}" if self.chains else ""
        return f"ContrastiveDivergence(steps={self.steps}{persistent})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a net of visible and hidden units, or draws data of real values."""
        require_parts(self, model, *PARTS)
        units = getattr(model, "visible_units", None)
        if self.draw_data and isinstance(units, Units) and not are_binary(units):
            raise ConfigError(
                f"draw_data draws binary states from probabilities, {type(model).__name__} has visible units of real "
                "values; leave draw_data out"
            )

    def hand_over(self, sgd: PlainSGD | None) -> None:
        """Take over plain SGD; its velocities start at 0, except those just restored from a checkpoint."""
        self._sgd = sgd
        if not self._restored:
            self._fused = FusedSteps()
        self._restored = False

    def _can_move(self, model: nn.Module) -> bool:
        """Return whether the kernels update the parameters. Raises `ConfigError` if they must and cannot."""
        if self.backend == "plain":
            return False
        if self._sgd is not None and self._fused.knows(model):
            return True
        why = obstacle(model)
        if type(self).gradients is not ContrastiveDivergence.gradients:
            why = f"{type(self).__name__} replaces gradients()"
        if self._sgd is None:
            why = "the optimiser is not plain SGD handed over by fit (one process, fp32, no clip_norm, no accumulate)"
        if why is not None and self.backend == "fused":
            raise ConfigError(f'ContrastiveDivergence(backend="fused") cannot run here: {why}; use backend="auto"')
        return why is None

    @property
    def draws_by_example(self) -> bool:
        """Whether its draws are per example: chains start from the data, and there are no running means of the
        activity."""
        return not self.chains and not self.centred and self.sparsity is None

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Yield once: `Applied` if kernels apply plain SGD, else `Update` with the gradients of F(v0) - F(vk)."""
        rbm = cast(TwoLayers, model)
        require_batch("ContrastiveDivergence", batch, labels=False)
        if self._can_move(model) and self._sgd is not None:
            given = rbm.visible_states(batch.inputs, batch.targets)
            yield Applied(**self._fused.step(self, rbm, given, self._sgd, generator))
            return
        self.check(model)
        found = self.gradients(rbm, batch, generator)
        bound = math.inf
        fresh = all(one.grad is None for one in (rbm.weight, rbm.visible_bias, rbm.hidden_bias))
        if fresh and math.isfinite(found.squares):
            bound = SLACK * (found.squares + sum(float(one.dot(one)) for one in (found.visible, found.hidden)))
        descend(rbm.weight, found.weight, own=True)
        descend(rbm.visible_bias, found.visible, own=True)
        descend(rbm.hidden_bias, found.hidden, own=True)
        yield Update(bound, **found.figures)

    def gradients(self, rbm: TwoLayers, batch: Batch, generator: torch.Generator) -> Gradients:
        """Return the gradients of F(v0) - F(vk) and of the costs, and the figures."""
        v0 = rbm.visible_states(batch.inputs, batch.targets)
        if self.draw_data:
            v0 = draw_bernoulli(require_unit_range("draw_data", v0), generator)
        v0 = self._buffers.listed("data", v0, rbm.weight)
        seen = v0.mean(0)  # while they are still in the cache
        h0 = rbm.hidden_given_visible(v0)
        figures = {"activity": h0.mean()}
        if self.chains:
            vk, hk = self._persistent(rbm, v0.dtype, generator)
        else:
            first, vk, hk = self._from_data(rbm, h0, generator)
            figures = {"reconstruction_error": squared_error(v0, first), **figures}
        weight, hidden, squares = self._buffers.differences((vk, hk), (v0, h0), rbm.weight, self.weight_cost)
        visible = vk.mean(0).sub_(seen)
        if self.centred:
            m, centre = self._centres(seen, h0.mean(0))
            weight.addr_(hidden, m, alpha=-1.0).addr_(centre, visible, alpha=-1.0)
            uncosted = torch.sub(weight, rbm.weight, alpha=self.weight_cost)
            hidden, visible = hidden - uncosted @ m, visible - uncosted.T @ centre
        if self.sparsity is not None:
            pull = self._sparsity_pull(h0.mean(0))
            hidden -= pull
            weight.addr_(pull, seen, alpha=-1.0)
        if self.centred or self.sparsity is not None:
            squares = math.inf
        return Gradients(weight, visible, hidden, squares, figures)

    def _from_data(self, rbm: TwoLayers, h0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first reconstruction, vk [B, V] and P(hk|vk) [B, H] of chains that start at h0."""
        first, visible, hidden = h0, h0, h0
        for step in range(self.steps):
            states = self._buffers.listed("states", rbm.draw_hidden(hidden, generator), rbm.weight, above=True)
            visible = rbm.visible_given_hidden(states)
            if self.visible == "drawn":
                visible = self._buffers.listed("chains", rbm.draw_visible(visible, generator), rbm.weight)
            hidden = rbm.hidden_given_visible(visible)
            first = visible if step == 0 else first
        return first, visible, hidden

    def _persistent(self, rbm: TwoLayers, dtype: torch.dtype, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Advance the chains by k steps; return their visible states [N, V] and P(h|v) [N, H]."""
        states = self._begun_chain(rbm, generator).to(rbm.weight.device, dtype)
        for _ in range(self.steps):
            visible = rbm.draw_visible(rbm.visible_given_hidden(states), generator)
            visible = self._buffers.listed("chains", visible, rbm.weight)
            hidden = rbm.hidden_given_visible(visible)
            states = rbm.draw_hidden(hidden, generator)
        self._chain = states
        return visible, hidden

    def _begun_chain(self, rbm: TwoLayers, generator: torch.Generator) -> Tensor:
        """Return the chains' hidden states [N, H]; if there are none yet, from visible units without input."""
        kept = self._chain
        if kept is not None and kept.shape == (self.chains, len(rbm.hidden_bias)):
            return kept
        nothing = rbm.weight.new_zeros(self.chains, len(rbm.hidden_bias))
        visible = rbm.draw_visible(rbm.visible_given_hidden(nothing), generator)
        return rbm.draw_hidden(rbm.hidden_given_visible(visible), generator)

    def _follow(self, name: str, now: Tensor, decay: float) -> Tensor:
        """Move the running mean `name` towards `now` and return it; its first value is `now`."""
        old = self._running.get(name, now).to(now.device, now.dtype)
        self._running[name] = decay * old + (1 - decay) * now
        return self._running[name]

    def _centres(self, visible: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return the running means m [V] and l [H], given those of this batch."""
        return (
            self._follow("visible_centre", visible, self.centring_decay),
            self._follow("hidden_centre", hidden, self.centring_decay),
        )

    def _sparsity_pull(self, activity: Tensor) -> Tensor:
        """Return cost * (target - q) [H], q the running mean of the hidden probabilities."""
        q = self._follow("activity", activity, self.sparsity_decay)
        return self.sparsity_cost * ((0.0 if self.sparsity is None else self.sparsity) - q)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the persistent chains, the running means and the kernels' velocities, if there are any."""
        chain = {} if self._chain is None else {"chain": self._chain}
        return {**chain, **self._running, **self._fused.speeds}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`."""
        unknown = set(state) - {"chain", "activity", "visible_centre", "hidden_centre", *SPEEDS}
        if unknown:
            raise CheckpointError(f"the state of ContrastiveDivergence has no {', '.join(sorted(unknown))}")
        self._chain = state["chain"].clone() if "chain" in state else None
        self._running = {name: value.clone() for name, value in state.items() if name not in ("chain", *SPEEDS)}
        self._fused.restore(state)
        self._restored = True
