"""Hidden units of a network: list them, show their activity for one image, switch them off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from threegen.errors import ConfigError
from threegen.gen2.dbn import DBN
from threegen.gen2.rbm import RBM
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.mozafari import Mozafari2019
from threegen.gen3.ordered_conv import OrderedConv
from threegen.gen3.parts import is_neuron
from threegen.randomness import make_generator
from threegen.tracing.inputs import answer as answer_of_model
from threegen.web.lineup import CLASSES, PageModel
from threegen.web.single_spikes import promptness, times_of_layers

Off = Mapping[str, tuple[int, ...]]
NOT_HIDDEN = ("encoder", "readout", "synapses")  # the neurons behind synapses are shown
SILENT = -1e4  # a bias with which no unit is ever on


@dataclass(frozen=True)
class Hidden:
    """A layer between input and output: the number of `units` (a plane counts as one) and their axis in its output."""

    units: int
    axis: int
    shape: tuple[int, ...]  # of one unit: () for a single value, [H, W] for a plane


def hidden_layers(member: PageModel) -> dict[str, Hidden]:
    """Return the layers whose units can be shown and switched off, by path. The caller holds the model's lock.

    They are found once, by watching a forward pass; for a layer with an activation function, the output of the latter
    counts.
    """
    if "hidden" not in member.known:
        model = member.model
        if isinstance(model, DiehlCook):
            member.known["hidden"] = {"neurons": Hidden(model.neurons, 1, ())}
        elif isinstance(model, DBN):
            below = {f"layers.{number}": Hidden(size, 1, ()) for number, size in enumerate(model.sizes[1:-1])}
            member.known["hidden"] = {**below, "top": Hidden(model.sizes[-1], 1, ())}
        elif isinstance(model, Mozafari2019):
            sides = model.shape[1:], tuple(size // 2 for size in model.shape[1:])
            layers = zip(("s1", "s2"), (model.s1, model.s2), sides, strict=True)
            member.known["hidden"] = {path: Hidden(len(layer.weight), 1, side) for path, layer, side in layers}
        else:
            member.known["hidden"] = _watched(member)
    found: dict[str, Hidden] = member.known["hidden"]
    return found


def activations(member: PageModel, image: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return the activity of each hidden layer's units for an image [1, 28, 28]: [units, ...], averaged over time
    steps.

    Neurons that fire at most once: 1 at the first step, less the later, 0 for never. The caller holds the model's lock.
    """
    known, model, x = hidden_layers(member), member.model, image[None]
    if isinstance(model, DiehlCook):
        return {"neurons": model.count_spikes(x, make_generator(seed, "page"))[0][0].float()}
    if isinstance(model, DBN):
        with torch.no_grad():
            states = [model.encode(x, depth)[0] for depth in range(1, len(model.sizes) - 1)]
            top = torch.sigmoid(model.top.input_from_below(model.encode(x)))[0]
        return dict(zip(known, [*states, top], strict=True))
    if isinstance(model, Mozafari2019):
        times = times_of_layers(model, x)
        return {path: promptness(times[path][0], model.steps) for path in known}
    kept: dict[str, Tensor] = {}
    with _hooked(model, {path: _keeper(kept, path) for path in known}):
        member.scores(x, seed)
    result = {}
    for path, layer in known.items():
        if path in kept:
            values = kept[path].mean(0) if layer.axis == 2 else kept[path]
            result[path] = values[0].float()
    return result


@contextmanager
def switched_off(member: PageModel, off: Off) -> Iterator[None]:
    """Silence units for the block: {layer: units}. Raises `ConfigError` for a layer or unit that does not exist.

    The caller holds the model's lock.
    """
    if not off:
        yield
        return
    known = hidden_layers(member)
    for layer, units in off.items():
        if layer not in known or not all(0 <= unit < known[layer].units for unit in units):
            raise ConfigError(f"{member.name} has no such units in {layer!r}; its layers are {', '.join(known)}")
    with ExitStack() as stack:
        hooks: dict[str, Callable[..., Any]] = {}
        for layer, units in off.items():
            if isinstance(member.model, DiehlCook):
                stack.enter_context(_set(member.model.weight, units, 0.0))
            elif isinstance(module := member.model.get_submodule(layer), RBM):
                stack.enter_context(_set(module.weight, units, 0.0))
                stack.enter_context(_set(module.hidden_bias, units, SILENT))
            elif isinstance(module, OrderedConv):
                stack.enter_context(_set(module.weight, units, 0.0))
            else:
                hooks[layer] = _silencer(units, known[layer].axis)
        stack.enter_context(_hooked(member.model, hooks))
        yield


@contextmanager
def _set(parameter: Tensor, rows: tuple[int, ...], value: float) -> Iterator[None]:
    """Set rows of a parameter for the block."""
    chosen = torch.tensor(rows, dtype=torch.long)
    with torch.no_grad():
        kept = parameter[chosen].clone()
        parameter[chosen] = value
    try:
        yield
    finally:
        with torch.no_grad():
            parameter[chosen] = kept


@contextmanager
def _hooked(model: nn.Module, hooks: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    handles = [model.get_submodule(path).register_forward_hook(hook) for path, hook in hooks.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _silencer(units: tuple[int, ...], axis: int) -> Callable[..., Any]:
    chosen = torch.tensor(units, dtype=torch.long)

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        first = output[0] if isinstance(output, tuple) else output
        changed = first.index_fill(axis, chosen, 0.0)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return hook


def _keeper(kept: dict[str, Tensor], path: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        kept.setdefault(path, output[0] if isinstance(output, tuple) else output)

    return hook


def _watched(member: PageModel) -> dict[str, Hidden]:
    """Return the hidden layers of a network of modules, in the order of their calls."""
    named = {path: one for path, one in member.model.named_modules() if path and not any(True for _ in one.children())}
    kept: dict[str, Tensor] = {}
    with _hooked(member.model, {path: _keeper(kept, path) for path in named}), torch.no_grad():
        answer_of_model(member.model, torch.zeros(1, 1, 28, 28), make_generator("hidden"))
    found: list[tuple[str, Hidden]] = []
    for path, output in kept.items():
        if path.startswith(NOT_HIDDEN) or isinstance(named[path], nn.Flatten):
            continue
        if not isinstance(output, Tensor) or not output.is_floating_point():
            continue
        timed = member.steps is not None and output.dim() >= 3 and output.shape[0] == member.steps
        axis = 2 if timed else 1
        if output.dim() <= axis or output.shape[axis] < 2:
            continue
        layer = Hidden(output.shape[axis], axis, tuple(output.shape[axis + 1 :]))
        if (
            found
            and found[-1][1] == layer
            and (is_neuron(named[path]) or not any(True for _ in named[path].parameters()))
        ):
            found.pop()
        found.append((path, layer))
    if found and found[-1][1].units == CLASSES:
        found.pop()  # the scores
    return dict(found)
