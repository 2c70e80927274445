"""The checks that a model's parameters are ordinary tensors, with which any PyTorch code can work."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters

from threegen.machine.torch_private import own_parameters
from threegen.testing.tools import Broken, same_bits

Scores = Callable[[nn.Module], Tensor]


def require_contiguous(model: nn.Module, when: str) -> None:
    """Raise `Broken` if a parameter or buffer is not stored row by row."""
    for kind, tensors in (("parameter", model.named_parameters()), ("buffer", model.named_buffers())):
        for name, tensor in tensors:
            if tensor.layout == torch.strided and not tensor.is_contiguous():
                raise Broken(f"the {kind} {name} is not contiguous {when}: strides {tensor.stride()}")


def check_contiguous(model: nn.Module, scores: Scores) -> None:
    """Parameters and buffers are contiguous when made, and after a forward and a backward pass."""
    require_contiguous(model, "when made")
    answer = scores(model.train())
    if answer.requires_grad:
        answer.square().sum().backward()  # type: ignore[no-untyped-call]
    require_contiguous(model, "after a forward and a backward pass")


def check_safetensors(model: nn.Module, scores: Scores) -> None:
    """`save_file(model.state_dict())` works, and after `load_file` the answers are the same."""
    before = scores(model.eval())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_file(model.state_dict(), path)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        model.load_state_dict(load_file(path))
    same_bits({"the answer": before}, {"the answer": scores(model)}, "differs after a round trip through safetensors")


def check_vector(model: nn.Module, scores: Scores) -> None:
    """`parameters_to_vector` and back do not change the answers."""
    before = scores(model.eval())
    vector = parameters_to_vector(model.parameters())
    vector_to_parameters(vector.detach().clone(), model.parameters())
    same_bits({"the answer": before}, {"the answer": scores(model)}, "differs after a round trip through one vector")


def check_pruning(model: nn.Module, scores: Scores) -> None:
    """A pruned model answers as one whose weights were set to zero by hand."""
    found = [
        part for part in model.modules() if isinstance(part, nn.Linear | nn.Conv2d) and "weight" in own_parameters(part)
    ]
    if not found:
        return
    twin = copy.deepcopy(model)
    part = found[0]
    place = next(number for number, other in enumerate(model.modules()) if other is part)
    prune.l1_unstructured(part, "weight", amount=0.5)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        other: Any = list(twin.modules())[place]
        other.weight.mul_(part.weight_mask)
    answers = [{"the answer": scores(one.eval())} for one in (twin, model)]
    if not torch.allclose(answers[0]["the answer"], answers[1]["the answer"], atol=1e-5):
        raise Broken("a pruned model does not answer as one with the same weights set to zero")


def check_lbfgs(model: nn.Module, scores: Scores) -> None:
    """An optimiser that flattens all parameters into one vector takes a step."""
    first = scores(model.train())
    moved = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not first.requires_grad or not moved:
        return
    optimizer = torch.optim.LBFGS(moved, lr=1e-3, max_iter=2)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = scores(model).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    if not all(bool(torch.isfinite(parameter).all()) for parameter in moved):
        raise Broken("a parameter is not finite after a step of LBFGS")
    require_contiguous(model, "after a step of LBFGS")


ORDINARY: dict[str, Callable[[nn.Module, Scores], None]] = {
    "contiguous": check_contiguous,
    "safetensors": check_safetensors,
    "one vector": check_vector,
    "pruning": check_pruning,
    "LBFGS": check_lbfgs,
}
