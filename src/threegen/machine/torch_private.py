"""All of torch's private names that this package uses: no other file may use one (`tests/architecture` checks that).

torch may rename or drop a private name in any release. `NAMES` lists them, `missing_names` returns those that the
installed torch lacks, and a test checks that, so that an incompatible torch gives a clear message and not a wrong
result.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as _all_modules

MODULE_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

# the place of each name: a module of torch, or an object made for the lookup
NAMES: dict[str, tuple[str, ...]] = {
    "torch": ("_int_mm", "_C._len_torch_function_stack", "_C._len_torch_dispatch_stack"),
    "torch._C": ("_disabled_torch_function_impl",),
    "torch.autograd": ("_profiler_enabled",),
    "torch.nn.modules.module": ("_has_any_global_hook",),
    "torch.nn.modules.conv": ("_ConvNd",),
    "torch.nn.modules.batchnorm": ("_BatchNorm",),
    "torch.nn.modules.dropout": ("_DropoutNd",),
    "torch.optim.optimizer": ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks"),
    "a module": ("_modules", "_parameters", *MODULE_HOOKS),
    "a tensor": ("_backward_hooks", "_post_accumulate_grad_hooks"),
    "an optimizer": ("_init_group", "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "step.__wrapped__"),
}


def missing_names() -> list[str]:
    """Return the names that the installed torch lacks, such as `torch._int_mm`; empty if all is well.

    Example:
        >>> missing_names()
        []
    """
    weight = nn.Parameter(torch.zeros(1))
    made: dict[str, Any] = {"a module": nn.Linear(1, 1), "a tensor": weight, "an optimizer": torch.optim.SGD([weight])}
    missing = []
    for owner, names in NAMES.items():
        place = made[owner] if owner in made else importlib.import_module(owner)
        for name in names:
            try:
                operator.attrgetter(name)(place)
            except AttributeError:
                missing.append(f"{owner}.{name}" if owner not in made else f"{name} of {owner}")
    return missing


# -- modules and tensors -----------------------------------------------------------------------------------------------


def own_modules(module: nn.Module) -> dict[str, nn.Module | None]:
    """Return the dictionary of a module's own sub-modules: `named_children` leaves out duplicates and None."""
    return module._modules


def own_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """Return the dictionary of a module's own parameters, None among them."""
    return module._parameters


def has_hooks(module: nn.Module) -> bool:
    """Return whether calling a module does more than the `forward` of its class: hooks, or a `forward` on the
    instance."""
    return hooks_among(module.__dict__)


def hooks_among(attributes: dict[str, Any]) -> bool:
    """As `has_hooks`, for the `__dict__` of a module."""
    return bool(
        attributes["_forward_hooks"]
        or attributes["_forward_pre_hooks"]
        or attributes["_backward_hooks"]
        or attributes["_backward_pre_hooks"]
        or "forward" in attributes
    )


def have_all_hooks() -> bool:
    """Return whether there are hooks that every module calls."""
    return bool(_all_modules._has_any_global_hook())  # type: ignore[no-untyped-call]


def gradient_is_watched(parameter: Tensor) -> bool:
    """Return whether a parameter has hooks on its gradient."""
    return bool(parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None))


# the classes above nn.Conv1d ... ConvTranspose3d, nn.BatchNorm1d ... SyncBatchNorm, nn.Dropout ... FeatureAlphaDropout
AnyConvolution = nn.modules.conv._ConvNd
AnyBatchNorm = nn.modules.batchnorm._BatchNorm
AnyDropout = nn.modules.dropout._DropoutNd


# -- functions ---------------------------------------------------------------------------------------------------------

# the `__torch_function__` of a tensor's subclass whose results are plain tensors
plain_results: Any = torch._C._disabled_torch_function_impl


def functions_are_watched() -> bool:
    """Return whether a mode of torch (`TorchFunctionMode`, `TorchDispatchMode`) intercepts function calls."""
    return bool(torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack())


def whole_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the product of two matrices of int8 numbers in int32: torch has no public one."""
    return torch._int_mm(a, b)


# -- optimizers --------------------------------------------------------------------------------------------------------


def gather_group(optimizer: Any, kind: type, group: dict[str, Any], *lists: list[Any]) -> Any:
    """Fill `lists` with the parameters of a group that have a gradient, their gradients and states, as `kind` does."""
    return kind._init_group(optimizer, group, *lists)  # type: ignore[attr-defined]


class GathersGroups:
    """A mix-in for torch's optimisers: parameters, gradients and states pass through `handed` before an update."""

    def handed(self, parameters: list[Tensor], gradients: list[Tensor], states: tuple[list[Tensor], ...]) -> None:
        """Replace entries of the lists in place."""
        raise NotImplementedError

    def _init_group(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor], *states: list[Tensor]
    ) -> Any:
        found = super()._init_group(group, parameters, gradients, *states)  # type: ignore[misc]
        self.handed(parameters, gradients, states)
        return found


class PlainStep:
    """An optimiser's step without the wrapper in which torch calls hooks and marks profiles.

    The wrapper takes a third of the time of a small step. The wrapper is kept if there are hooks, if a profiler runs,
    or if torch wraps in an unexpected way.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        wrapper, module = type(optimizer).step, sys.modules.get("torch.optim.optimizer")
        self._inner = getattr(wrapper, "__wrapped__", None)
        self._hooks: list[Any] = [
            *(getattr(optimizer, f"_optimizer_step_{when}_hooks", None) for when in ("pre", "post")),
            *(getattr(module, f"_global_optimizer_{when}_hooks", None) for when in ("pre", "post")),
        ]
        known = getattr(wrapper, "hooked", False) and "step" not in vars(optimizer) and None not in self._hooks
        self._profiled: Callable[[], bool] | None = getattr(torch.autograd, "_profiler_enabled", None)
        if not known:
            self._inner = None

    def __call__(self) -> None:
        """Apply one update."""
        if self._inner is None or any(self._hooks) or self._profiled is None or self._profiled():
            self.optimizer.step()
        else:
            self._inner(self.optimizer)
