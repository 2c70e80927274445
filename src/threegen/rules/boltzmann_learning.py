"""Learning in a Boltzmann machine: correlations with clamped visible units minus those of the free machine.

    dw_ij = (<s_i s_j>+ - <s_i s_j>-) / T            db_i = (<s_i>+ - <s_i>-) / T

In the first phase (+) the visible units are clamped to the data, in the second (-) the machine runs free. This is the
gradient of the mean log-likelihood of the data.

Ackley, Hinton and Sejnowski, "A learning algorithm for Boltzmann machines", Cognitive Science 9 (1985) 147-169. Free
chains that continue from batch to batch: Neal, Artificial Intelligence 56 (1992) 71-113.

Shapes: B cases, N units, M free machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import CheckpointError, ConfigError
from threegen.rules.rule import Rule, Step, Update, ascend, require_batch, require_parts

PARTS = ("weight", "bias", "couplings", "temperature", "gibbs()", "mean_field()", "exact_statistics()")


class BoltzmannLearning(Rule):
    """Train a Boltzmann machine by its two phases: one yield per batch.

    clamped: how the hidden units settle in the first phase: "gibbs" draws their states, starting from fair coins and
    visiting each unit `sweeps` times; "mean-field" uses their means; "exact" sums over all states, in both phases.
    machines: how many free machines run in the second phase, with `sweeps` more visits per batch; they are stored in
    `state_dict()` and start as fair coins.

    Figure: `reconstruction_error`, the squared distance of the mean visible states of the two phases.
    Raises `ConfigError` for a model that is not a Boltzmann machine, `DataError` and `NumericError` for bad batches.
    """

    default_rate = 0.1
    uses_labels = False

    def __init__(self, clamped: str = "gibbs", *, sweeps: int = 10, machines: int = 100) -> None:
        self.clamped = require_choice("clamped", clamped, ("gibbs", "mean-field", "exact"))
        self.sweeps = require_whole("sweeps", sweeps)
        self.machines = require_whole("machines", machines)
        self._free: Tensor | None = None  # [M, N]

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a Boltzmann machine at a temperature above 0."""
        require_parts(self, model, *PARTS)
        if cast(Any, model).temperature == 0:
            raise ConfigError("BoltzmannLearning needs a temperature above 0; build the machine with temperature=1.0")

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Fill `.grad` with minus the difference of the two phases and yield once."""
        self.check(model)
        machine = cast(Any, model)
        require_batch("BoltzmannLearning", batch, labels=False)
        visible: Tensor = machine.visible_states(batch.inputs)
        seen = self._seeing(machine, visible, generator)
        dreamt = machine.exact_statistics() if self.clamped == "exact" else self._dreaming(machine, generator)
        first, second = ((own - other) / machine.temperature for own, other in zip(seen, dreamt, strict=True))
        ascend(machine.weight, second.triu(1))
        ascend(machine.bias, first)
        apart = (seen[0] - dreamt[0])[: visible.shape[1]]
        yield Update(reconstruction_error=apart.square().sum())

    def _seeing(self, machine: Any, visible: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return <s>+ [N] and <s s^T>+ [N, N]."""
        if self.clamped == "exact":
            return cast(tuple[Tensor, Tensor], machine.exact_statistics(visible))
        if self.clamped == "mean-field":
            states = machine.mean_field(visible)
        else:
            states = machine.start_states(visible, generator)
            states = machine.gibbs(states, self.sweeps, clamp_visible=True, generator=generator)
        return states.mean(0), states.T @ states / len(states)

    def _dreaming(self, machine: Any, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Advance the free machines; return <s>- [N] and <s s^T>- [N, N]."""
        states = self._free
        if states is None or states.shape != (self.machines, machine.units):
            states = (torch.rand(self.machines, machine.units, generator=generator) < 0.5).to(machine.weight)
        states = machine.gibbs(states.to(machine.weight), self.sweeps, generator=generator)
        self._free = states
        return states.mean(0), states.T @ states / len(states)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the free machines' states, once there are any."""
        return {} if self._free is None else {"free": self._free}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`."""
        if set(state) - {"free"}:
            raise CheckpointError(
                f"the state of BoltzmannLearning is the free machines only, not {', '.join(sorted(state))}"
            )
        self._free = state["free"].clone() if "free" in state else None
