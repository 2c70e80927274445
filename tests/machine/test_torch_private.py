"""A torch that lacks a private name of ours is told with a sentence; those that are there do what we take them for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from threegen.machine import torch_private
from threegen.machine.torch_private import (
    functions_are_watched,
    gradient_is_watched,
    has_hooks,
    have_all_hooks,
    missing_names,
    whole_product,
)


def test_this_torch_has_every_private_name_that_is_used() -> None:
    missing = missing_names()
    assert not missing, (
        f"torch {torch.__version__} lacks {', '.join(missing)}, private names that threegen uses; look for what took "
        "their place and change src/threegen/machine/torch_private.py, the only file that names them"
    )


def test_a_missing_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_int_mm")
    monkeypatch.setitem(torch_private.NAMES, "a module", ("_modules", "_no_such_hooks"))
    assert missing_names() == ["torch._int_mm", "_no_such_hooks of a module"]


def test_modes_hooks_and_int8_products_are_seen() -> None:
    assert not functions_are_watched()
    for mode in (TorchFunctionMode(), TorchDispatchMode()):
        with mode:
            assert functions_are_watched()
    layer = nn.Linear(2, 2)
    assert not any((has_hooks(layer), gradient_is_watched(layer.weight), have_all_hooks()))
    kinds = (layer.register_forward_hook, layer.register_forward_pre_hook, layer.register_full_backward_hook)
    for register in (*kinds, layer.register_full_backward_pre_hook):
        handle = register(lambda *_: None)
        assert has_hooks(layer)
        handle.remove()
    for watch in (layer.weight.register_hook, layer.weight.register_post_accumulate_grad_hook):
        handle = watch(lambda *_: None)
        assert gradient_is_watched(layer.weight)
        handle.remove()
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert have_all_hooks()
    handle.remove()
    a, b = (torch.randint(-128, 128, (32, 32), dtype=torch.int8) for _ in range(2))
    assert torch.equal(whole_product(a, b), (a.double() @ b.double()).int())
