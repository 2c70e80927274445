"""Contrastive divergence: the model's own reconstructions stand in for its equilibrium.

    dW = P(h0|v0) v0^T - P(hk|vk) vk^T        da = v0 - vk        db = P(h0|v0) - P(hk|vk)        mean over the batch

v0 is a case of the data, vk the same after k steps of Gibbs sampling. Minus these are the gradients of
F(v0) - F(vk), vk held fixed, F the free energy. In the persistent form the chains that give vk go on from batch to
batch, k steps each, and have no tie to the data; what is kept of them are their hidden states.

What is drawn and what is a probability (Hinton's guide, section 3):

| quantity                       | here                                                                      |
|--------------------------------|---------------------------------------------------------------------------|
| h0 in dW and db                | probability                                                               |
| h that drives a reconstruction | drawn                                                                     |
| v1 ... vk                      | drawn (`visible="drawn"`), or probabilities (`visible="probabilities"`)   |
| hk in dW and db                | probability                                                               |

Hinton, "Training products of experts by minimizing contrastive divergence", Neural Computation 14 (2002) 1771-1800;
"A practical guide to training restricted Boltzmann machines", UTML TR 2010-003. Persistent chains: Tieleman,
"Training restricted Boltzmann machines using approximations to the likelihood gradient", ICML 2008.

Shapes: B examples, V visible units, H hidden units, N chains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_number, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import CheckpointError, ConfigError
from threegen.functional.draws import draw_bernoulli
from threegen.rules.rule import Rule, Step, Update, ascend, require_batch, require_parts


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


class ContrastiveDivergence(Rule):
    """Train an RBM by CD-k, or by persistent CD: one yield a batch.

    steps: k, the steps of Gibbs sampling; a schedule may set it (`EpochSteps("steps", {0: 1, 10: 3})`).
    chains: 0 starts each chain from the data; a number keeps that many persistent chains (they begin with visible
        units drawn from their biases alone) in `state_dict()`.
    visible: whether reconstructions are "drawn" or stay "probabilities" (see above).
    weight_cost: its share of each weight is taken off the ascent direction; biases are left alone (guide, section 10).
    draw_data: draw v0 anew from each batch, whose inputs are then probabilities (grey pixels), instead of taking
        the inputs as they are.
    sparsity: the wanted mean activity of hidden units, None for no target; `sparsity_cost` is the strength of the
        pull towards it and `sparsity_decay` how slowly the estimate of the activity moves (guide, section 11).

    Momentum belongs to the optimiser: `optimizer("momentum", lr=.1)` with `EpochSteps("momentum", {0: .5, 5: .9})`
    is the guide's. Figure: `reconstruction_error`, the squared error of the first reconstruction's means (of the
    drawn states with `visible="drawn"`), summed over units, mean over cases; with persistent chains there is none
    and `activity`, the mean of P(h0|v0), stands alone.

    Raises `ConfigError` for a model that is not two layers, `DataError` and `NumericError` for bad batches.
    """

    default_rate = 0.1
    uses_labels = False

    def __init__(
        self,
        steps: int = 1,
        *,
        chains: int = 0,
        visible: str = "drawn",
        draw_data: bool = False,
        weight_cost: float = 0.0,
        sparsity: float | None = None,
        sparsity_cost: float = 0.01,
        sparsity_decay: float = 0.9,
    ) -> None:
        self.steps = require_whole("steps", steps)
        self.chains = require_whole("chains", chains, least=0)
        self.visible = require_choice("visible", visible, ("drawn", "probabilities"))
        if self.chains and self.visible != "drawn":
            raise ConfigError('persistent chains must hold states: visible="drawn"')
        self.draw_data = bool(draw_data)
        self.weight_cost = require_number("weight_cost", weight_cost, least=0.0)
        self.sparsity = None if sparsity is None else require_number("sparsity", sparsity, above=0.0, below=1.0)
        self.sparsity_cost = require_number("sparsity_cost", sparsity_cost, least=0.0)
        self.sparsity_decay = require_number("sparsity_decay", sparsity_decay, least=0.0, below=1.0)
        self._chain: Tensor | None = None  # [N, H]
        self._activity: Tensor | None = None  # [H], the running mean of P(h0|v0)

    def __repr__(self) -> str:
        persistent = f", chains={self.chains}" if self.chains else ""
        return f"ContrastiveDivergence(steps={self.steps}{persistent})"

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` where `model` is not a net of visible and hidden units."""
        require_parts(self, model, *PARTS)

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` with minus the mean of the directions above and yield once."""
        self.check(model)
        rbm = cast(TwoLayers, model)
        require_batch("ContrastiveDivergence", batch, labels=False)
        v0 = rbm.visible_states(batch.inputs, batch.targets)
        if self.draw_data:
            v0 = draw_bernoulli(v0, generator)
        h0 = rbm.hidden_given_visible(v0)
        figures = {"activity": h0.mean()}
        if self.chains:
            vk, hk = self._persistent(rbm, v0.dtype, generator)
        else:
            first, vk, hk = self._from_data(rbm, h0, generator)
            figures = {"reconstruction_error": (v0 - first).square().sum() / len(v0), **figures}
        direction = h0.T @ v0 / len(v0) - hk.T @ vk / len(vk)
        hidden_direction = h0.mean(0) - hk.mean(0)
        if self.weight_cost:
            direction.sub_(rbm.weight, alpha=self.weight_cost)
        if self.sparsity is not None:
            pull = self._sparsity_pull(h0)
            hidden_direction += pull
            direction += torch.outer(pull, v0.mean(0))
        ascend(rbm.weight, direction)
        ascend(rbm.visible_bias, v0.mean(0) - vk.mean(0))
        ascend(rbm.hidden_bias, hidden_direction)
        yield Update(**figures)

    def _from_data(self, rbm: TwoLayers, h0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return the first reconstruction, vk [B, V] and P(hk|vk) [B, H] of chains that start at h0."""
        first, visible, hidden = h0, h0, h0
        for step in range(self.steps):
            visible = rbm.visible_given_hidden(rbm.draw_hidden(hidden, generator))
            if self.visible == "drawn":
                visible = rbm.draw_visible(visible, generator)
            hidden = rbm.hidden_given_visible(visible)
            first = visible if step == 0 else first
        return first, visible, hidden

    def _persistent(
        self, rbm: TwoLayers, dtype: torch.dtype, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Move the chains on by k steps; return their visible states [N, V] and P(h|v) [N, H]."""
        states = self._begun_chain(rbm, generator).to(rbm.weight.device, dtype)
        for _ in range(self.steps):
            visible = rbm.draw_visible(rbm.visible_given_hidden(states), generator)
            hidden = rbm.hidden_given_visible(visible)
            states = rbm.draw_hidden(hidden, generator)
        self._chain = states
        return visible, hidden

    def _begun_chain(self, rbm: TwoLayers, generator: torch.Generator) -> Tensor:
        """Return the chains' hidden states [N, H]; where there are none yet, of visible units without input."""
        kept = self._chain
        if kept is not None and kept.shape == (self.chains, len(rbm.hidden_bias)):
            return kept
        nothing = rbm.weight.new_zeros(self.chains, len(rbm.hidden_bias))
        visible = rbm.draw_visible(rbm.visible_given_hidden(nothing), generator)
        return rbm.draw_hidden(rbm.hidden_given_visible(visible), generator)

    def _sparsity_pull(self, h0: Tensor) -> Tensor:
        """Return cost * (target - q) [H], q the running mean of the hidden probabilities."""
        now = h0.mean(0)
        old = now if self._activity is None else self._activity.to(now.device, now.dtype)
        self._activity = self.sparsity_decay * old + (1 - self.sparsity_decay) * now
        target = 0.0 if self.sparsity is None else self.sparsity
        return self.sparsity_cost * (target - self._activity)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the persistent chains and the running mean activity, where there are any."""
        kept = {"chain": self._chain, "activity": self._activity}
        return {name: value for name, value in kept.items() if value is not None}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        unknown = set(state) - {"chain", "activity"}
        if unknown:
            raise CheckpointError(f"ContrastiveDivergence keeps no {', '.join(sorted(unknown))}")
        self._chain = state["chain"].clone() if "chain" in state else None
        self._activity = state["activity"].clone() if "activity" in state else None
