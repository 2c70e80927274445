"""The memory that training needs in addition to the model, estimated before it is allocated."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from threegen.machine.memory import require_memory
from threegen.training.optimizers.build import KerasRMSprop

_SMALL = 2**20  # parameters; smaller models are not checked


def optimizer_slots(optimizer: torch.optim.Optimizer) -> int:
    """Return how many numbers for each parameter an optimiser will still allocate on its first step."""
    options = optimizer.defaults
    if isinstance(optimizer, torch.optim.SGD):
        return int(options["momentum"] != 0)
    if isinstance(optimizer, torch.optim.Adagrad):  # allocates in its constructor
        return 0
    if isinstance(optimizer, torch.optim.RMSprop):
        return 1 + int(options["momentum"] != 0) + int(options["centered"])
    if isinstance(optimizer, KerasRMSprop):
        return 1
    return 2 + int(bool(options.get("amsgrad", False)))


def require_training_memory(
    model: nn.Module, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, *, saves: bool, keeps: bool
) -> None:
    """Raise `ResourceError` if gradients, optimiser state and copies of the model will not fit.

    `saves`: checkpoints are written, which takes a copy of all tensors and one of their bytes; `keeps`: early stopping
    stores the best weights. Activations are not counted: they depend on the batch and on the rule.
    """
    on_cpu = [p for p in parameters if p.device.type == "cpu"]
    if sum(p.numel() for p in on_cpu) < _SMALL:
        return
    moved = sum(p.numel() * p.element_size() for p in on_cpu)
    whole = sum(p.numel() * p.element_size() for p in (*model.parameters(), *model.buffers()))
    slots = optimizer_slots(optimizer)
    needed = moved * (1 + slots) + whole * int(keeps)
    if saves:
        needed += 2 * (whole * (1 + int(keeps)) + moved * slots)
    require_memory(
        f"training {type(model).__name__} by {type(optimizer).__name__}",
        needed,
        "use a smaller model, or an optimizer with less state, such as 'sgd'",
    )
