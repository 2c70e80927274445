"""Contrastive divergence as a kernel: preallocated memory, one stacked product for the gradient, fused momentum.

    velocity <- momentum velocity + [h0; -hk]^T [v0; vk] / B - weight_cost W        W <- W + rate velocity

The fast path of `ContrastiveDivergence`; the plain path with SGD and momentum is its reference: for the same generator
both draw the same states. CD-1 needs at least five matrix products per step (up, down, up, and a gradient of the size
of two); everything else takes one pass over memory between them (`functional/energy/rbm_kernels.py`).

Shapes: B examples, N chains (N = B without persistent ones), V visible units, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_unit_range
from threegen.functional.energy.rbm_products import Motion, Products
from threegen.functional.energy.units import are_plain_binary
from threegen.machine.draws import draw_bernoulli
from threegen.machine.sparse.layouts import stored_like
from threegen.machine.torch_private import own_parameters
from threegen.rules.rule import PlainSGD, has_own_methods

SPEEDS = ("weight_speed", "visible_speed", "hidden_speed")
_PARAMETERS = ("weight", "visible_bias", "hidden_bias")
_METHODS = ("visible_states", "hidden_given_visible", "visible_given_hidden", "draw_hidden", "draw_visible")


def obstacle(model: nn.Module) -> str | None:
    """Return why the kernels cannot train `model`, or None if they can."""
    if not are_plain_binary(getattr(model, "hidden_units", None)) or not hasattr(model, "visible_units"):
        return "the hidden units are not plain binary ones"
    if not has_own_methods(model, _METHODS):
        return f"{type(model).__name__} replaces a method of the library"
    for name in _PARAMETERS:
        parameter = own_parameters(model).get(name)
        if parameter is None or not parameter.requires_grad:
            return f"{name} is frozen or not a plain parameter"
        if parameter.device.type != "cpu" or parameter.dtype not in (torch.float32, torch.float64):
            return f"{name} is {parameter.dtype} on {parameter.device.type}"
    return None


class FusedSteps:
    """Trains an RBM by steps of contrastive divergence with SGD and momentum; owns the velocities and the memory."""

    def __init__(self) -> None:
        self.speeds: dict[str, Tensor] = {}  # velocities of the three parameters
        self._memory: Products | None = None  # scratch memory, no state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restore velocities from a checkpoint; other entries are ignored."""
        self.speeds = {name: state[name].clone() for name in SPEEDS if name in state}
        self._memory = None

    def knows(self, model: Any) -> bool:
        """Return whether the last step was one of `model`, which then need not be checked again."""
        return self._memory is not None and self._memory.net is model

    def step(self, rule: Any, rbm: Any, given: Tensor, sgd: PlainSGD, generator: torch.Generator) -> dict[str, Tensor]:
        """Update the parameters by one step of `rule` on the states `given` [B, V]; return the figures."""
        memory = self._ready(rule, rbm, given)
        memory.take(draw_bernoulli(require_unit_range("draw_data", given), generator) if rule.draw_data else given)
        figures = {}
        if rule.chains:
            memory.h0(None)
            if rule._chain is None:
                rule._chain = rule._begun_chain(rbm, generator)
            memory.load_chain(rule._chain)
        else:
            memory.h0(generator)
        for step in range(rule.steps):
            memory.down(generator)
            if step == 0 and not rule.chains:
                figures["reconstruction_error"] = memory.error()
            last = step == rule.steps - 1
            memory.up(generator if rule.chains or not last else None, last)
        if rule.chains:
            rule._chain = memory.keep_chain()
        visible, hidden = memory.data_means()
        figures["activity"] = hidden.mean()
        pull = None if rule.sparsity is None else rule._sparsity_pull(hidden)
        centres = rule._centres(visible, hidden) if rule.centred else None
        memory.move(Motion(sgd.rate, sgd.momentum, rule.weight_cost + sgd.weight_decay, pull, centres))
        return figures

    def _ready(self, rule: Any, rbm: Any, given: Tensor) -> Products:
        """Return memory for batches of this size, allocated again if the size or the model has changed."""
        chains = rule.chains or len(given)
        memory = self._memory
        if memory is None or not memory.fits(rbm, len(given), chains):
            memory = self._memory = Products(rbm, len(given), chains, drawn=rule.visible == "drawn")
            memory.speeds = self._speeds_of(rbm)
        return memory

    def _speeds_of(self, rbm: Any) -> tuple[Tensor, Tensor, Tensor]:
        for name, parameter in zip(SPEEDS, (rbm.weight, rbm.visible_bias, rbm.hidden_bias), strict=True):
            kept = self.speeds.get(name)
            if kept is None or kept.shape != parameter.shape or kept.dtype != parameter.dtype:
                self.speeds[name] = torch.zeros_like(parameter.detach())
            else:
                self.speeds[name] = stored_like(kept, parameter)
        first, second, third = (self.speeds[name] for name in SPEEDS)
        return first, second, third
