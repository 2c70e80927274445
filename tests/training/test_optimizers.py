"""Optimisers against their written formulas, and the sentences for what they do not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from threegen.errors import ConfigError
from threegen.training.optimizers.build import (
    KerasRMSprop,
    OptimizerRecipe,
    optimizer,
    optimizer_names,
    resolve_optimizer,
)

Formula = Callable[[Tensor, Tensor, dict[str, Any], int], Tensor]


def gradients() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 4, dtype=torch.float64, generator=generator) for _ in range(6)]


def follow(recipe: OptimizerRecipe) -> Tensor:
    """Return where six fixed gradients lead the optimiser from ones."""
    weight = nn.Parameter(torch.ones(3, 4, dtype=torch.float64))
    made = recipe.build([weight])
    for gradient in gradients():
        weight.grad = gradient.clone()
        made.step()
    return weight.detach()


def sgd(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    return w - 0.1 * g


def momentum(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    s["v"] = g if t == 1 else 0.9 * s["v"] + g
    return w - 0.1 * s["v"]


def nesterov(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    s["v"] = g if t == 1 else 0.9 * s["v"] + g
    return w - 0.1 * (g + 0.9 * s["v"])


def adagrad(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    s["h"] = s.get("h", 0.0) + g**2
    return w - 0.1 * g / (s["h"].sqrt() + 1e-10)


def rmsprop(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    """torch: alpha .99, epsilon 1e-8 outside of the root."""
    s["v"] = 0.99 * s.get("v", 0.0) + 0.01 * g**2
    return w - 0.1 * g / (s["v"].sqrt() + 1e-8)


def keras_rmsprop(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    """Keras 3: rho .9, epsilon 1e-7 inside of the root."""
    s["v"] = 0.9 * s.get("v", 0.0) + 0.1 * g**2
    return w - 0.1 * g / (s["v"] + 1e-7).sqrt()


def adam(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * g**2
    return w - 0.1 * (s["m"] / (1 - 0.9**t)) / ((s["v"] / (1 - 0.999**t)).sqrt() + 1e-8)


def adamw(w: Tensor, g: Tensor, s: dict[str, Any], t: int) -> Tensor:
    """torch's default decay of .01, decoupled from the gradient."""
    return adam(w * (1 - 0.1 * 0.01), g, s, t)


FORMULAS: dict[str, Formula] = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov, "adagrad": adagrad, "rmsprop": rmsprop,
    "keras-rmsprop": keras_rmsprop, "adam": adam, "adamw": adamw,
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name: str) -> None:
    weight, state = torch.ones(3, 4, dtype=torch.float64), {}
    options = {"weight_decay": 0.01} if name == "adamw" else {}
    for step, gradient in enumerate(gradients(), start=1):
        weight = FORMULAS[name](weight, gradient, state, step)
    assert torch.allclose(follow(optimizer(name, lr=0.1, **options)), weight, rtol=1e-12, atol=1e-12)


def test_every_name_of_this_room_is_tested_here_or_among_the_textbooks() -> None:
    others = [name for name in optimizer_names() if name not in FORMULAS]
    assert all(name.startswith("textbook-") or name == "previous-gradient" for name in others)


def test_the_first_step_of_keras_rmsprop_by_hand() -> None:
    """v = .1 g^2, so the first step is lr / sqrt(.1) = 3.1623 lr whatever the size of the gradient."""
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([5.0, -0.01])
    KerasRMSprop([weight]).step()
    assert weight.tolist() == pytest.approx([-0.0031623, 0.0031623], rel=1e-2)


def test_keras_rmsprop_leaves_what_has_no_gradient_and_decays_weights() -> None:
    moved, still = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    made = KerasRMSprop([moved, still], lr=0.1, weight_decay=0.5)
    moved.grad = torch.zeros(2, 2)
    assert made.step(lambda: 7.0) == 7.0
    assert still.tolist() == [1.0, 1.0]
    expected = 1 - 0.1 * 0.5 / (0.1 * 0.25 + 1e-7) ** 0.5  # the decay is part of the gradient
    assert moved.flatten().tolist() == pytest.approx([expected] * 4)


def test_fused_kernels_are_used_where_torch_has_them() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    assert optimizer("adam").build([weight]).defaults["fused"] is True
    assert optimizer("adam", fused=False).build([weight]).defaults["fused"] is False
    assert optimizer("adam", foreach=True).build([weight]).defaults["fused"] is None
    assert not optimizer("rmsprop").build([weight]).defaults.get("fused")


def test_weight_decay_has_a_group_of_its_own_for_matrices() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    groups = optimizer("adam", weight_decay=0.1).build(model.parameters()).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]
    groups = optimizer("adam", weight_decay=0.1, decay_biases=True).build(model.parameters()).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(4, 0.1)]


def test_descriptions_are_the_same_for_the_same_recipe() -> None:
    assert optimizer("adam", weight_decay=0.1, lr=1e-3).describe() == "adam(lr=0.001, weight_decay=0.1)"
    assert optimizer("sgd", decay_biases=True).describe() == "sgd(decay_biases=True)"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: optimizer("adamm"), "optimizer is 'adamm'; choose "),
        (lambda: optimizer("adamm"), "(did you mean 'adam'?)"),
        (lambda: optimizer("adam", lr=0), "lr must be a finite number above 0.0, got 0"),
        (lambda: optimizer("adam", lr="fast"), "lr must be a finite number above 0.0, got 'fast'"),
        (lambda: optimizer("adam", learning_rate=0.1), "adam takes no option 'learning_rate'; it takes lr, "),
        (lambda: optimizer("adam", learning_rate=0.1), "(did you mean 'lr'?)"),
        (lambda: optimizer("adam", weight_decoy=0.1), "(did you mean 'weight_decay'?)"),
        (lambda: optimizer("adam", weight_decay=-1), "weight_decay must be a finite number at least 0.0, got -1"),
        (lambda: optimizer("adam", betas=(1.5, 0.9)).build([nn.Parameter(torch.ones(1))]), "adam(betas=(1.5, 0.9)) c"),
        (lambda: optimizer("adam").build([]), "adam has nothing to train: no parameter of the module needs a gradient"),
        (lambda: KerasRMSprop([nn.Parameter(torch.ones(1))], rho=1.0), "rho must be a finite number at least 0.0 and"),
        (lambda: resolve_optimizer(optimizer("sgd"), 0.1, "sgd", None), "lr is given twice: in the optimizer recipe"),
        (
            lambda: resolve_optimizer(lambda p: torch.optim.SGD(p), 0.1, "sgd", None),
            "lr works with an optimizer's name",
        ),
        (
            lambda: resolve_optimizer(7, None, "sgd", None),
            "optimizer must be a name, optimizer(...), a class or object",
        ),
    ],
)
def test_sentences(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert sentence in str(caught.value)
