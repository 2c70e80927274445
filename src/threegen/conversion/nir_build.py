"""Build a net of the package from the stages of a file: an MLP or a convolutional net if it is one, else a sequence.

All kinds of nets compute the same spikes; `SpikingMLP` and `SpikingConvNet` have compiled kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.conversion.nir_neurons import CLOSE
from threegen.conversion.nir_stages import WITH_WEIGHTS, Add, Stage, Times, is_chain
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.encoders import ENCODERS, Poisson
from threegen.gen3.graph_neurons import StartedIF
from threegen.gen3.networks import SpikingMLP, SpikingNet
from threegen.gen3.neurons import LIF
from threegen.gen3.readouts import make_readout
from threegen.gen3.sequential import SpikingSequential
from threegen.gen3.spiking_graph import GraphLayer, SpikingGraph, Wire, Wiring

STEPS = 10
WINDOW = ("kernel", "stride", "padding")


def net_of(
    stages: Sequence[Stage],
    shape: tuple[int, ...],
    metadata: Mapping[str, Any],
    given: Mapping[str, Any],
    end: float | None,
    left_out: list[str],
) -> SpikingNet:
    """Return the net of `stages`; its attribute `left_out` says what was assumed where the file says nothing.

    `given` are the options of the caller (None: those of the metadata, else a default); `end` is the decay of the
    integrator that the file ends with, None if it ends with spikes. Raises `DataError`, `ConfigError`.
    """
    width = getattr(stages[-1].parts[-1].module, "out_features", 1) if stages[-1].parts else 1
    votes = metadata.get("votes", 1)
    votes = votes if isinstance(votes, int) and votes > 0 and width % votes == 0 else 1
    readout = given["readout"] if isinstance(given["readout"], nn.Module) else None
    if readout is None:
        name = given["readout"] or ("rate" if end is None else "potential" if end == 1.0 else "leaky")
        readout = make_readout(name, votes, _decay(stages[-1], metadata, end))
    options: dict[str, Any] = {
        "steps": _steps(metadata, given["steps"], left_out),
        "encoder": _encoder(metadata, given["encoder"], left_out),
    }
    if end is None and given["readout"] is None and "votes" not in metadata:
        left_out.append('read-out: NIR does not say how scores are computed from spikes; "rate" was assumed')
    widths = _widths(stages)
    # converted nets are rebuilt as graphs, which have their own compiled kernels
    if not is_chain(stages) or any(isinstance(stage.neuron, StartedIF) for stage in stages):
        net: SpikingNet = wired(stages, shape, options)
    elif widths is not None:
        widths[-1] //= votes
        net = SpikingMLP(widths, votes=votes, generator=torch.Generator(), **options)
        _put(net, stages, lambda stage: stage.parts[-1].module)
    elif (text := layer_string(stages)) is not None:
        text = text if votes == 1 else f"{text.rpartition('-')[0]}-{width // votes}V{votes}"
        net = SpikingConvNet(text, shape=shape, generator=torch.Generator(), **options)
        _put(net, stages, lambda stage: stage.parts[-1].module)
    else:
        modules = [module for stage in stages for module in (*(part.module for part in stage.parts), stage.neuron)]
        net = SpikingSequential(modules, shape=shape, **options)
    net.readout = readout
    net.left_out = tuple(left_out)  # type: ignore[assignment]
    return net.eval()


def wired(stages: Sequence[Stage], shape: tuple[int, ...], options: dict[str, Any]) -> SpikingGraph:
    """Return a net of any wiring."""
    shapes: dict[int, tuple[int, ...]] = {0: shape}
    layers, weights = [], []
    for number, stage in enumerate(stages):
        own, wires = dict(shapes), []
        for place, part in enumerate(stage.parts):
            weight = next((one for one in part.module.state_dict().values()), torch.zeros(()))
            zeros = [torch.zeros(1, *own[one], dtype=weight.dtype) for one in part.takes]
            with torch.no_grad():
                own[-1 - place] = tuple(part.module(*(one.to(weight.dtype) for one in zeros)).shape[1:])
            wires.append(Wire(*_wire(part.module, own[-1 - place], part.takes)))
        shapes[number + 1] = own[-len(wires)] if wires else own[stage.takes]
        layers.append(GraphLayer(f"layer {number}", "sum", wires=tuple(wires), takes=stage.takes))
        weights.append([part.module for part in stage.parts])
    net = SpikingGraph(layers, shape=shape, **options)
    for number, (stage, own_weights) in enumerate(zip(stages, weights, strict=True)):
        net.neurons[number] = stage.neuron
        for wire, module in zip(cast(Wiring, net.synapses[number]).parts, own_weights, strict=True):
            if isinstance(module, Times):
                cast(Any, wire).weight = nn.Parameter(cast(Tensor, module.factor))
            elif isinstance(module, WITH_WEIGHTS):
                cast(Any, wire).weight, cast(Any, wire).bias = module.weight, module.bias
    return net


def _wire(
    module: nn.Module, after: tuple[int, ...], takes: tuple[int, ...]
) -> tuple[str, tuple[int, ...], dict[str, Any]]:
    """Return the kind and the options of the wire that is equivalent to a module."""
    if isinstance(module, Add):
        return "add", takes, {}
    if isinstance(module, nn.Flatten):
        return "reshape", takes, {"shape": list(after)}
    if isinstance(module, Times):
        return "scale", takes, {"shape": list(cast(Tensor, module.factor).shape)}
    bias = getattr(module, "bias", None) is not None
    if isinstance(module, nn.Linear):
        return "linear", takes, {"inputs": module.in_features, "outputs": module.out_features, "bias": bias}
    if isinstance(module, nn.AvgPool2d):
        own = {name: list(cast(Any, getattr(module, f"{name}_size" if name == "kernel" else name))) for name in WINDOW}
        if module.divisor_override is not None:
            return "sum-pool", takes, own
        return "average", takes, {**own, "ceil": False, "padding_counts": True}
    known = cast(nn.Conv2d, module)
    own = {name: list(cast(Any, getattr(known, name))) for name in ("stride", "dilation")}
    pads = known.padding if isinstance(known.padding, str) else list(known.padding)
    sizes = {"inputs": known.in_channels, "outputs": known.out_channels, "kernel": list(known.kernel_size)}
    return "convolution", takes, {**sizes, **own, "padding": pads, "groups": known.groups, "bias": bias}


def _put(net: SpikingNet, stages: Sequence[Stage], weights: Any) -> None:
    """Put the layers and neurons of the file into a net."""
    for number, stage in enumerate(stages):
        net.synapses[number], net.neurons[number] = weights(stage), stage.neuron


def _widths(stages: Sequence[Stage]) -> list[int] | None:
    """Return the sizes of a fully connected net, None if there are parts other than products."""
    widths: list[int] = []
    for number, stage in enumerate(stages):
        modules = [part.module for part in stage.parts]
        if number == 0 and modules and _flattens(modules[0]):
            modules = modules[1:]
        if len(modules) != 1 or not isinstance(modules[0], nn.Linear):
            return None
        widths += [modules[0].in_features] if number == 0 else []
        widths.append(modules[0].out_features)
    return widths


def _flattens(module: nn.Module) -> bool:
    return isinstance(module, nn.Flatten) and module.start_dim == 1 and module.end_dim in (-1, 3)


def layer_string(stages: Sequence[Stage]) -> str | None:
    """Return the layers of a convolutional net as `SpikingConvNet` takes them, None if it cannot be written so."""
    words: list[str] = []
    for number, stage in enumerate(stages):
        modules = [part.module for part in stage.parts]
        after_map = number > 0 and words[-1][-1:] != "F"
        if modules and isinstance(modules[0], nn.AvgPool2d):
            window = _window(modules.pop(0))
            if window is None or not after_map:
                return None
            words.append(f"P{window}")
        if modules and _flattens(modules[0]):
            modules.pop(0)
            if number > 0 and (not after_map or not isinstance(modules[0] if modules else None, nn.Linear)):
                return None
        elif modules and isinstance(modules[0], nn.Linear) and (after_map or number == 0):
            return None
        if len(modules) != 1:
            return None
        word = _word(modules[0])
        if word is None or (word[-1] != "F" and number > 0 and not after_map):
            return None
        words.append(word)
    if not words or words[-1][-1] != "F":
        return None
    return "-".join(word.rstrip("F") for word in words)


def _word(module: nn.Module) -> str | None:
    """Return a layer in the notation of `SpikingConvNet`, full layers with a trailing F."""
    if isinstance(module, nn.Linear):
        return f"{module.out_features}F"
    if not isinstance(module, nn.Conv2d) or isinstance(module.padding, str):
        return None
    kernel = module.kernel_size[0]
    same = tuple(module.padding) == ((kernel - 1) // 2,) * 2 and kernel % 2 == 1 and kernel > 1
    plain = (module.kernel_size, module.stride, module.dilation, module.groups)
    if plain != ((kernel, kernel), (1, 1), (1, 1), 1) or not (same or tuple(module.padding) == (0, 0)):
        return None
    return f"{module.out_channels}C{kernel}{'S' if same else ''}"


def _window(pool: nn.Module) -> int | None:
    """Return the side of a plain average pooling, None for another one."""
    if not isinstance(pool, nn.AvgPool2d) or pool.divisor_override is not None:
        return None
    sides = {*pool.kernel_size, *pool.stride} if isinstance(pool.kernel_size, tuple) else {pool.kernel_size}  # type: ignore[misc]
    odd = any(one != 0 for one in pool.padding) if isinstance(pool.padding, tuple) else pool.padding != 0
    return None if odd or len(sides) != 1 or sides == {1} else int(sides.pop())


def _steps(metadata: Mapping[str, Any], given: int | None, left_out: list[str]) -> Any:
    told = metadata.get("steps")
    if given is not None or (isinstance(told, int) and 0 < told < 10**6):
        return told if given is None else given
    left_out.append(f"number of steps: the file names none; {STEPS} was assumed, a spike train has its own")
    return STEPS


def _encoder(metadata: Mapping[str, Any], given: Any, left_out: list[str]) -> Any:
    told = metadata.get("encoder")
    if given is not None:
        return given
    if isinstance(told, str) and told in ENCODERS:
        rate = metadata.get("encoder_rate", 1.0)
        return Poisson(rate) if told == "poisson" and isinstance(rate, float) and rate > 0 else told
    left_out.append('encoder: NIR does not say how an input becomes spikes; "direct" was assumed: values unchanged')
    return "direct"


def _decay(last: Stage, metadata: Mapping[str, Any], end: float | None) -> float:
    """Return the decay of a leaky read-out: that of the file's integrator, or that of the last neurons."""
    if end is None:
        return float(last.neuron.constants_now().decay) if isinstance(last.neuron, LIF) else 0.5
    told = metadata.get("readout_decay")
    return told if isinstance(told, float) and abs(told - end) < CLOSE else end
