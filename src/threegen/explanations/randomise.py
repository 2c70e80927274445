"""Redraw a model's weights at random, layer by layer: everything that its answer depends on; the rest is reported.

A weight is drawn from a normal distribution with its own mean and deviation. A parametrised one (such as weight norm)
is drawn as the layer uses it and set through the parametrisation if that can be inverted, so that equal functions are
treated equally; if not, its parts are drawn. Buffers (running statistics, masks) are
shuffled: their values may have to stay positive or 0 and 1.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

from threegen.explanations.subject import Subject
from threegen.randomness import make_generator
from threegen.tracing.trace import Trace

_PARAMETRISED = re.compile(r"^(?:(?P<module>.*)\.)?parametrizations\.(?P<name>[^.]+)\.original\d*$")


class Layers:
    """The layers of a trace, last first, each with the names of the weights that no earlier one has listed."""

    def __init__(self, trace: Trace, model: nn.Module) -> None:
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        used: dict[str, list[str]] = {}
        for node in trace.nodes:
            used.setdefault(node.path, []).extend(node.weights)
        listed: set[str] = set()
        self.weights: dict[str, list[str]] = {}
        self.kept: list[str] = []
        for path in reversed(used):
            own = [name for name in dict.fromkeys(used[path]) if name not in listed]
            listed.update(own)
            for name in own:
                if (reason := _undrawable(tensors[name])) is not None:
                    self.kept.append(f"{name} ({reason})")
            drawable = [name for name in own if _undrawable(tensors[name]) is None]
            if drawable:
                self.weights[path] = drawable
        self.kept += [f"{what}, which is not a parameter or buffer" for what in trace.foreign]
        self.kept += [f"computations of {name} outside torch" for name in trace.unseen]


def _undrawable(weight: Tensor) -> str | None:
    """Return why a weight cannot be drawn again, or None."""
    if weight.dtype == torch.bool or weight.numel() == 0:
        return "a mask"
    if not weight.is_floating_point():
        return f"of {str(weight.dtype).removeprefix('torch.')}"
    if weight.numel() == 1:
        return "one value"
    return "constant" if bool((weight == weight.flatten()[0]).all()) else None


@torch.no_grad()
def redraw(subject: Subject, names: list[str]) -> None:
    """Draw the weights called `names` of the subject's model again, in place."""
    parameters, buffers = dict(subject.model.named_parameters()), dict(subject.model.named_buffers())
    done: set[tuple[str, str]] = set()
    for name in names:
        part = _PARAMETRISED.match(name)
        if part is not None:
            place = (part["module"] or "", part["name"])
            if place in done or _through_parametrisation(subject, *place):
                done.add(place)
                continue
        if name in parameters:
            weight = parameters[name]
            weight.copy_(_drawn(subject.seed, name, weight))
        else:
            buffer = buffers[name]
            generator = make_generator(subject.seed, "randomisation", name)
            order = torch.randperm(buffer.numel(), generator=generator).to(buffer.device)
            buffer.copy_(buffer.flatten()[order].reshape(buffer.shape))


def _through_parametrisation(subject: Subject, path: str, name: str) -> bool:
    """Draw a parametrised weight as the layer uses it; return whether the parametrisation accepted it."""
    module = subject.model.get_submodule(path)
    before = getattr(module, name).clone()
    try:
        setattr(module, name, _drawn(subject.seed, f"{path}.{name}" if path else name, before))
    except (NotImplementedError, RuntimeError, ValueError, TypeError):
        return False
    return not torch.equal(getattr(module, name), before)


def _drawn(seed: int, name: str, weight: Tensor) -> Tensor:
    drawn = torch.randn(
        weight.shape, generator=make_generator(seed, "randomisation", name), dtype=weight.dtype, device="cpu"
    )
    return weight.mean() + weight.std() * drawn.to(weight.device)
