"""SGD, Adam, AdamW and Adagrad for weights that lie transposed in memory, as those of event-driven layers do.

torch's fused kernels on the CPU walk over a weight, its gradient and its state as flat memory. Where a matrix lies
transposed they copy the gradient first, which takes as long as the update itself; where the gradient lies otherwise
than its weight they mix up the entries without a word. Here every kernel gets matrices that lie by rows: transposed
views of those that lie by columns, and copies of gradients that lie otherwise than their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd


@torch.no_grad()
def match_layouts(optimizer: torch.optim.Optimizer) -> None:
    """Lay each state tensor out in memory as its parameter: kernels mix them up otherwise, or round in another way."""
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


class _ByMemory:
    """Hands weights, gradients and states to an optimiser's kernel in the order in which the weights lie in memory."""

    def _init_group(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor], *states: list[Tensor]
    ) -> Any:
        found = super()._init_group(group, parameters, gradients, *states)  # type: ignore[misc]
        for place, parameter in enumerate(parameters):
            gradient = gradients[place]
            if gradient.layout != torch.strided:
                continue
            if parameter.is_contiguous():
                gradients[place] = gradient.contiguous()
            elif parameter.dim() == 2 and parameter.mT.is_contiguous():
                parameters[place], gradients[place] = parameter.mT, gradient.mT.contiguous()
                for state in states:
                    if place < len(state) and state[place].shape == parameter.shape:
                        state[place] = state[place].mT
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state over, from weights that may have lain otherwise."""
        super().load_state_dict(state_dict)  # type: ignore[misc]
        match_layouts(self)  # type: ignore[arg-type]


class Adam(_ByMemory, torch.optim.Adam):
    """`torch.optim.Adam`, its kernels fed by memory order."""


class AdamW(_ByMemory, torch.optim.AdamW):
    """`torch.optim.AdamW`, its kernels fed by memory order."""


class Adagrad(_ByMemory, torch.optim.Adagrad):
    """`torch.optim.Adagrad`, its kernels fed by memory order."""


class SGD(torch.optim.SGD):
    """`torch.optim.SGD`, its kernel fed by memory order; it hands its states back by parameter, hence another way."""

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Apply one update."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            for group in self.param_groups:
                self._move(group)
        return loss

    def _move(self, group: dict[str, Any]) -> None:
        parameters: list[Tensor] = []
        gradients: list[Tensor] = []
        speeds: list[Tensor | None] = []
        sparse: bool = self._init_group(group, parameters, gradients, speeds)  # type: ignore[no-untyped-call]
        own = list(parameters)
        by_columns = (p.dim() == 2 and not p.is_contiguous() and p.mT.is_contiguous() for p in parameters)
        strided = (gradient.layout == torch.strided for gradient in gradients)
        turned = [turn and dense for turn, dense in zip(by_columns, strided, strict=True)]
        for place, turn in enumerate(turned):
            gradient, speed = gradients[place], speeds[place] if speeds else None
            if turn:
                parameters[place], gradients[place] = own[place].mT, gradient.mT.contiguous()
                if speed is not None:
                    speeds[place] = speed.mT
            elif own[place].is_contiguous() and gradient.layout == torch.strided:
                gradients[place] = gradient.contiguous()
        names = ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize", "foreach", "fused")
        scaling: dict[str, Any] = {name: getattr(self, name, None) for name in ("grad_scale", "found_inf")}
        options = {name: group[name] for name in names}
        sgd(parameters, gradients, speeds, has_sparse_grad=sparse, **options, **scaling)
        for parameter, turn, speed in zip(own, turned, speeds, strict=False):
            self.state[parameter]["momentum_buffer"] = speed.mT if turn and speed is not None else speed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state over, from weights that may have lain otherwise."""
        super().load_state_dict(state_dict)
        match_layouts(self)
