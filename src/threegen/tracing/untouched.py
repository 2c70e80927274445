"""Run a model and restore its state: modes, `.grad`, `requires_grad` and generators, also after an exception."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch import nn

from threegen.checks import require_whole
from threegen.machine.torch_private import own_modules, own_parameters
from threegen.randomness import derive_seed, forked_randomness


class untouched:
    """Put `model` into eval mode and seed torch's generators inside the block; restore everything afterwards.

    With `frozen`, no parameter requires a gradient inside the block, so that a backward pass to the input or to a layer
    computes no weight gradients. Restored are: the mode of every module, each parameter's `requires_grad` and `.grad`,
    torch's generators. Raises `ConfigError` for a seed that is not a whole number.

    It is a class, with simple loops, because for one small image all this takes as long as a layer.
    """

    __slots__ = ("_forked", "_frozen", "_model", "_modes", "_seed", "_state", "_weights")

    def __init__(self, model: nn.Module, seed: int = 0, *, frozen: bool = False) -> None:
        self._model, self._seed, self._frozen = model, require_whole("seed", seed, least=0), frozen

    def __enter__(self) -> None:
        modules = _modules(self._model)
        self._modes = [(module, module.training) for module in modules]
        # a shared weight is restored twice
        own = [weight for module in modules for weight in own_parameters(module).values() if weight is not None]
        self._weights = [(weight, weight.requires_grad, weight.grad) for weight in own]
        self._forked: AbstractContextManager[None] | None = None
        if _has_gpu():
            self._forked = forked_randomness(self._seed, "untouched")
            self._forked.__enter__()
        else:  # without a GPU this takes a few microseconds, `fork_rng` takes 300
            self._state = torch.get_rng_state()
            torch.default_generator.manual_seed(derive_seed(self._seed, "untouched"))
        for _, training in self._modes:
            if training:
                self._model.eval()
                break
        if self._frozen:
            for weight, asked, _ in self._weights:
                if asked:
                    weight.requires_grad = False

    def __exit__(self, *problem: object) -> None:
        if self._forked is not None:
            self._forked.__exit__(None, None, None)
        else:
            torch.set_rng_state(self._state)
        for module, training in self._modes:
            if module.training != training:  # setting an attribute of a module takes a microsecond
                module.training = training
        for weight, asked, grad in self._weights:
            if weight.requires_grad != asked:
                weight.requires_grad = asked
            if weight.grad is not grad:
                weight.grad = grad


def _modules(model: nn.Module) -> list[nn.Module]:
    """Return every module, a shared one each time that it occurs: `model.modules()` takes five times as long."""
    found = [model]
    for module in found:  # it grows during the loop
        children = own_modules(module)
        if children:
            found += [child for child in children.values() if child is not None]
    return found


@cache
def _has_gpu() -> bool:
    return torch.cuda.is_available()


def takes_generator(model: nn.Module) -> bool:
    """Return whether the model's `forward` takes a `generator`, as stochastic models of this package do."""
    return "generator" in inspect.signature(model.forward).parameters
