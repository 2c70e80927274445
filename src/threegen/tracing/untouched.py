"""Run a model and leave it as it was: modes, `.grad`, `requires_grad` and generators, also after an exception."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_whole
from threegen.randomness import derive_seed, forked_randomness


@contextmanager
def untouched(model: nn.Module, seed: int = 0, *, frozen: bool = False) -> Iterator[None]:
    """Put `model` into eval mode and seed torch's generators inside the block; put everything back afterwards.

    With `frozen`, no parameter asks for a gradient inside the block, so that a backward pass to the input or to a
    layer computes no weight gradient. Put back: the mode of every module, each parameter's `requires_grad` and
    `.grad`, torch's generators. Raises `ConfigError` for a seed that is no whole number.
    """
    modules = list(model.modules())
    modes = [(module, module.training) for module in modules]
    # one walk for both, `model.parameters()` would walk again; a shared weight is put back twice
    own = [weight for module in modules for weight in module._parameters.values() if weight is not None]
    weights = [(weight, weight.requires_grad, weight.grad) for weight in own]
    try:
        with _seeded(seed):
            if any(training for _, training in modes):
                model.eval()
            if frozen:
                for weight, asked, _ in weights:
                    if asked:
                        weight.requires_grad_(False)
            yield
    finally:
        for module, training in modes:
            if module.training != training:  # to set an attribute of a module takes a microsecond
                module.training = training
        for weight, asked, grad in weights:
            if weight.requires_grad != asked:
                weight.requires_grad_(asked)
            if weight.grad is not grad:
                weight.grad = grad


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's generators inside the block. Without a GPU this takes 3 microseconds, `fork_rng` 300."""
    if torch.cuda.is_available():
        with forked_randomness(seed, "untouched"):
            yield
        return
    before = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(derive_seed(require_whole("seed", seed, least=0), "untouched"))
        yield
    finally:
        torch.set_rng_state(before)


def takes_generator(model: nn.Module) -> bool:
    """Return whether the model's `forward` takes a `generator`, as stochastic models of this package do."""
    return "generator" in inspect.signature(model.forward).parameters


def answer(model: nn.Module, x: Tensor, generator: torch.Generator | None = None) -> Any:
    """Return `model(x)`, with `generator` handed over where the model's `forward` takes one."""
    return model(x, generator=generator) if takes_generator(model) else model(x)
