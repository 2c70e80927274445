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


_OPTIONS = ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize")
_UNSCALED = {"grad_scale": None, "found_inf": None}


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
        own, turned = list(parameters), [False] * len(parameters)
        for place, (parameter, gradient) in enumerate(zip(own, gradients, strict=True)):
            if gradient.layout != torch.strided:
                continue
            if parameter.is_contiguous():
                gradients[place] = gradient.contiguous()
            elif parameter.dim() == 2 and parameter.mT.is_contiguous():
                turned[place] = True
                parameters[place], gradients[place] = parameter.mT, gradient.mT.contiguous()
                if speeds and (speed := speeds[place]) is not None:
                    speeds[place] = speed.mT
        options = {name: group[name] for name in _OPTIONS}
        scaling: dict[str, Any] = {name: getattr(self, name, None) for name in ("grad_scale", "found_inf")}
        moving = [speed for speed in speeds if speed is not None]
        whole = bool(parameters) and len(moving) == len(parameters) and not sparse and scaling == _UNSCALED
        if whole and group["fused"] and _is_plain(parameters):
            # what `sgd` comes to, without its search for devices, types and states: a quarter of a small step
            torch._fused_sgd_(parameters, gradients, moving, is_first_step=False, **options)
            return
        choice: dict[str, Any] = {name: group[name] for name in ("foreach", "fused")}
        sgd(parameters, gradients, speeds, has_sparse_grad=sparse, **options, **choice, **scaling)
        for parameter, turn, speed in zip(own, turned, speeds, strict=False):
            kept = self.state[parameter]
            if kept.get("momentum_buffer") is None:
                kept["momentum_buffer"] = speed.mT if turn and speed is not None else speed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take a state over, from weights that may have lain otherwise."""
        super().load_state_dict(state_dict)
        match_layouts(self)


def _is_plain(parameters: list[Tensor]) -> bool:
    """Return whether one call of torch's kernel moves all parameters: on the CPU and of one type."""
    kind = parameters[0].dtype
    return hasattr(torch, "_fused_sgd_") and all(one.is_cpu and one.dtype == kind for one in parameters)
