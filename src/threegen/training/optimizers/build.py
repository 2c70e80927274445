"""Optimisers by name, as recipes that a run can store and build again.

`optimizer("adam", lr=1e-3)` is a recipe, not yet an optimiser: `fit` builds it over the parameters that a stage trains.
torch's constants are the defaults; variants with other constants or another position of epsilon have their own names.
Weight decay leaves biases and other vectors alone unless `decay_biases=True`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from threegen.checks import did_you_mean, require_choice, require_number
from threegen.errors import ConfigError
from threegen.functional.optimization.optimizers_fused import rmsprop_, shift_average, unshift_average
from threegen.machine.sparse.stored_optimizers import SGD, Adagrad, Adam, AdamW
from threegen.training.optimizers.textbook import PreviousGradient, TextbookAdam


class KerasRMSprop(torch.optim.Optimizer):
    """RMSprop as Keras computes it: epsilon is inside the root.

        v <- rho * v + (1 - rho) * g^2
        w <- w - lr * g / sqrt(v + epsilon)

    On the CPU one pass over memory suffices; `fused=False` uses elementary operations. The running average is stored as
    s = (v + epsilon) / (1 - rho), the state `shifted_average` (see `optimization.optimizers_fused`).
    Source: Tieleman and Hinton, Coursera lecture 6.5 (2012); constants and position of epsilon as in Keras 3.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        rho: float = 0.9,
        eps: float = 1e-7,
        weight_decay: float = 0.0,
        fused: bool = True,
    ) -> None:
        require_number("lr", lr, above=0.0)
        require_number("rho", rho, least=0.0, below=1.0)
        require_number("eps", eps, above=0.0)
        require_number("weight_decay", weight_decay, least=0.0)
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "fused": bool(fused)}
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Apply one update; `closure` re-evaluates the loss if given."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            rho, eps = group["rho"], group["eps"]
            if group.get("kept_by", [rho, eps]) != [rho, eps]:  # a schedule has changed them
                self._keep_anew(group, rho, eps)
            group["kept_by"] = [rho, eps]
            parameters, gradients, averages = [], [], []
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["shifted_average"] = shift_average(torch.zeros_like(parameter), rho, eps)
                parameters.append(parameter)
                gradients.append(gradient)
                averages.append(state["shifted_average"])
            if parameters:
                rest = {name: group[name] for name in ("lr", "weight_decay", "fused")}
                rmsprop_(parameters, gradients, averages, rho=rho, eps=eps, **rest)  # it records no graph by itself
        return loss

    def _keep_anew(self, group: Mapping[str, Any], rho: float, eps: float) -> None:
        """Convert the averages, whose stored form depends on rho and epsilon, to the new rho and epsilon."""
        old_rho, old_eps = group["kept_by"]
        for parameter in group["params"]:
            for name, shifted in self.state[parameter].items():
                average = unshift_average(shifted, old_rho, old_eps)
                self.state[parameter][name] = shift_average(average, rho, eps)


@dataclass(frozen=True)
class _Kind:
    """An optimiser class, the constants that its name implies, and the devices on which torch has a fused kernel."""

    optimizer: type[torch.optim.Optimizer]
    constants: Mapping[str, Any] = field(default_factory=dict)
    fused_on: tuple[str, ...] = ()  # on a CPU the fused kernel takes a quarter of the time of the plain one

    def build(self, groups: list[dict[str, Any]], options: Mapping[str, Any]) -> torch.optim.Optimizer:
        parameters = [p for group in groups for p in group["params"]]
        fusible = self.fused_on and all(p.is_floating_point() and p.device.type in self.fused_on for p in parameters)
        chosen = {**self.constants, **options}
        if fusible and not {"fused", "foreach", "differentiable"} & set(options):
            chosen["fused"] = True
        return self.optimizer(groups, **chosen)

    def options(self) -> list[str]:
        known = inspect.signature(self.optimizer.__init__).parameters
        return [name for name in known if name not in ("self", "params")]


_BUILDERS: dict[str, _Kind] = {
    "sgd": _Kind(SGD, {"lr": 1e-2}, ("cpu", "cuda")),
    "momentum": _Kind(SGD, {"lr": 1e-2, "momentum": 0.9}, ("cpu", "cuda")),
    "nesterov": _Kind(SGD, {"lr": 1e-2, "momentum": 0.9, "nesterov": True}, ("cpu", "cuda")),
    "adagrad": _Kind(Adagrad, {}, ("cpu",)),
    "rmsprop": _Kind(torch.optim.RMSprop),
    "keras-rmsprop": _Kind(KerasRMSprop),
    "adam": _Kind(Adam, {}, ("cpu", "cuda")),
    "adamw": _Kind(AdamW, {}, ("cpu", "cuda")),
    "textbook-adagrad": _Kind(torch.optim.Adagrad, {"eps": 1e-7}),
    "textbook-rmsprop": _Kind(torch.optim.RMSprop, {"eps": 1e-7}),
    "textbook-adam": _Kind(TextbookAdam),
    "previous-gradient": _Kind(PreviousGradient),
}


_OTHER_NAMES = {"learning_rate": "lr", "rate": "lr", "epsilon": "eps", "decay": "weight_decay", "alpha": "rho"}


def optimizer_names() -> list[str]:
    """Return the names that `optimizer` and `fit(optimizer=...)` take."""
    return list(_BUILDERS)


@dataclass(frozen=True)
class OptimizerRecipe:
    """A named optimiser and its options; `build(module)` builds it over the parameters that need gradients."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    decay_biases: bool = False

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser over `parameters`; raises `ConfigError` for unknown options."""
        moved = [p for p in parameters if p.requires_grad]
        if not moved:
            raise ConfigError(f"{self.name} has nothing to train: no parameter of the module needs a gradient")
        groups: list[dict[str, Any]] = [{"params": moved}]
        if self.options.get("weight_decay") and not self.decay_biases:
            matrices = [p for p in moved if p.dim() > 1]
            vectors = [p for p in moved if p.dim() <= 1]
            groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
            groups = [group for group in groups if group["params"]]
        try:
            return _BUILDERS[self.name].build(groups, self.options)
        except (TypeError, ValueError, RuntimeError) as problem:
            raise ConfigError(f"{self.describe()} cannot work; torch says: {problem}") from problem

    def describe(self) -> str:
        """Return a text such as `adam(lr=0.001)`, the same for the same recipe."""
        options = dict(sorted(self.options.items()))
        if self.decay_biases:
            options["decay_biases"] = True
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in options.items())})"


def optimizer(name: str, *, decay_biases: bool = False, **options: Any) -> OptimizerRecipe:
    """Return the recipe of an optimiser: `optimizer("adam", lr=1e-3, weight_decay=1e-4)`.

    Names: sgd, momentum, nesterov, adagrad, rmsprop, keras-rmsprop, adam, adamw; textbook-adagrad, textbook-rmsprop,
    textbook-adam and previous-gradient (`training/optimizers/textbook.py`). Raises `ConfigError` for an unknown name
    or option and for a rate that is not a positive number.
    """
    known = _BUILDERS[require_choice("optimizer", name, _BUILDERS)].options()
    for option in options:
        if option not in known:
            hint = did_you_mean(_OTHER_NAMES.get(option, option), known)
            raise ConfigError(f"{name} takes no option {option!r}; it takes {', '.join(known)}{hint}")
    if "lr" in options:
        require_number("lr", options["lr"], above=0.0)
    if "weight_decay" in options:
        require_number("weight_decay", options["weight_decay"], least=0.0)
    return OptimizerRecipe(name, dict(options), decay_biases)


OptimizerChoice = (
    str | OptimizerRecipe | torch.optim.Optimizer | Callable[[list[nn.Parameter]], torch.optim.Optimizer] | None
)


def resolve_optimizer(
    choice: OptimizerChoice, lr: float | None, default: str, default_rate: float | None
) -> OptimizerRecipe | Callable[[list[nn.Parameter]], torch.optim.Optimizer]:
    """Turn what the user gave to `fit` into something that builds an optimiser over a list of parameters."""
    if isinstance(choice, OptimizerRecipe):
        if lr is not None:
            raise ConfigError("lr is given twice: in the optimizer recipe and as lr=; keep one")
        return choice
    if choice is None or isinstance(choice, str):
        rate = lr if lr is not None or choice is not None else default_rate
        name = default if choice is None else choice
        return optimizer(name) if rate is None else optimizer(name, lr=rate)
    if isinstance(choice, torch.optim.Optimizer):
        if lr is not None:
            raise ConfigError("lr works with an optimizer's name or class; your optimizer object already has its rates")
        return _Given(choice)
    if isinstance(choice, type) and issubclass(choice, torch.optim.Optimizer) and lr is not None:
        rate = require_number("lr", lr, above=0.0)
        return lambda parameters: choice(parameters, lr=rate)  # type: ignore[call-arg]
    if callable(choice):
        if lr is not None:
            raise ConfigError("lr works with an optimizer's name only; set the rate where you build your optimizer")
        return choice
    raise ConfigError(
        "optimizer must be a name, optimizer(...), a class or object of torch.optim, or a function of the parameters, "
        f"got {type(choice).__name__}"
    )


class _Given:
    """An optimiser that the user has built: it must hold exactly the parameters that are trained."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    def __call__(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        own = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        missing = [p for p in parameters if id(p) not in own]
        extra = len(own - {id(p) for p in parameters})
        if missing or extra:
            raise ConfigError(
                f"the optimizer object must hold exactly the {len(parameters)} parameters that are trained: "
                f"{len(missing)} of them are missing, and it holds {extra} others; build it over those parameters of "
                f"the trained module that need a gradient"
            )
        return self.optimizer
