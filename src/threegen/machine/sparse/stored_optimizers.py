"""SGD, Adam, AdamW and Adagrad for weights that `fit` stores input-major (`machine/sparse/layouts.py`).

torch's fused kernels on the CPU read a weight, its gradient and its state as flat memory. If a matrix is the transposed
view of a contiguous table they copy its gradient first, which takes as long as the update itself (one core, 784-512-10:
Adam 313 us instead of 159 per step, momentum 210 instead of 63); if a gradient has another layout than its weight, they
silently permute the entries. Here every kernel gets contiguous matrices: the tables behind transposed views, and copies
of gradients that have another layout than their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.sgd import sgd

from threegen.machine.sparse.layouts import store_states_like_weights
from threegen.machine.torch_private import GathersGroups, gather_group


class _AsStored(GathersGroups):
    """Passes weights, gradients and states to an optimiser's kernel as the contiguous tables behind them."""

    def handed(self, parameters: list[Tensor], gradients: list[Tensor], states: tuple[list[Tensor], ...]) -> None:
        """Replace tensors that are not contiguous tables."""
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

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, from weights that may have had another layout."""
        super().load_state_dict(state_dict)  # type: ignore[misc]
        store_states_like_weights(self)  # type: ignore[arg-type]


class Adam(_AsStored, torch.optim.Adam):
    """`torch.optim.Adam`, its kernels fed with contiguous tables."""


class AdamW(_AsStored, torch.optim.AdamW):
    """`torch.optim.AdamW`, its kernels fed with contiguous tables."""


class Adagrad(_AsStored, torch.optim.Adagrad):
    """`torch.optim.Adagrad`, its kernels fed with contiguous tables."""


_OPTIONS = ("weight_decay", "momentum", "lr", "dampening", "nesterov", "maximize")


class SGD(torch.optim.SGD):
    """`torch.optim.SGD`, its kernel fed with contiguous tables; unlike the others it writes its states back itself."""

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
        sparse: bool = gather_group(self, torch.optim.SGD, group, parameters, gradients, speeds)
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
        choice: dict[str, Any] = {name: group[name] for name in ("foreach", "fused")}
        sgd(parameters, gradients, speeds, has_sparse_grad=sparse, **options, **choice, **scaling)
        for parameter, turn, speed in zip(own, turned, speeds, strict=False):
            kept = self.state[parameter]
            if kept.get("momentum_buffer") is None:
                kept["momentum_buffer"] = speed.mT if turn and speed is not None else speed

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state, from weights that may have had another layout."""
        super().load_state_dict(state_dict)
        store_states_like_weights(self)
