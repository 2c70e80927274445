"""Many networks of one kind as one stack of weights: each parameter has one more dimension in front, the network.

    a_l[i] = f(W_l[i] a_(l-1)[i] + b_l[i])      i = 1 .. n, all in one batched product

The networks share only the products: each has its own weights, examples and draws. Narrower networks use the corner of
a tensor; masks keep the rest at 0. Legend: n networks, B examples, I inputs, O outputs, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.errors import ConfigError


class Stack:
    """The weights of `n` networks; sub-classes define the computation of the scores.

    `parameters` and `buffers` hold tensors `[n, ...]` by the names of the model's own state. `stream` names the
    generator of `fit` that a network draws from: "torch" (dropout) or "rule" (spikes).
    """

    stream = "torch"

    def __init__(self, template: nn.Module, n: int) -> None:
        self.template, self.n = template, n
        learnt = dict(template.named_parameters())
        self.parameters = {name: torch.zeros(n, *value.shape) for name, value in learnt.items()}
        rest = {name: value for name, value in template.state_dict().items() if name not in learnt}
        self.buffers = {name: torch.zeros(n, *value.shape, dtype=value.dtype) for name, value in rest.items()}
        self.shapes: list[dict[str, torch.Size]] = [{} for _ in range(n)]

    def fits(self, model: nn.Module) -> bool:
        """Return whether a model can be part of the stack: the same layers; widths may differ."""
        raise NotImplementedError

    def put(self, place: int, model: nn.Module) -> None:
        """Copy a model's state to one slot; the stack grows if the model is wider."""
        if not self.fits(model):
            raise ConfigError(f"{type(model).__name__} number {place} cannot share a stack with the others")
        for name, value in model.state_dict().items():
            kept = self.parameters if name in self.parameters else self.buffers
            old = kept[name]
            larger = [max(a, b) for a, b in zip(old.shape[1:], value.shape, strict=True)]
            if larger != list(old.shape[1:]):
                grown = old.new_zeros(self.n, *larger)
                grown[_corner(old.shape)] = old
                kept[name] = old = grown
            old[place][_corner(value.shape)] = value.detach()
            self.shapes[place][name] = value.shape

    def take(self, place: int) -> dict[str, Tensor]:
        """Return the state of one network, as `load_state_dict` of its own model takes it."""
        own = {**self.parameters, **self.buffers}
        return {
            name: own[name][place][_corner(shape)].clone().contiguous() for name, shape in self.shapes[place].items()
        }

    def keep(self, places: Sequence[int]) -> None:
        """Discard all networks but these; the stack shrinks."""
        chosen = torch.as_tensor(list(places), dtype=torch.long)
        self.parameters = {name: value[chosen] for name, value in self.parameters.items()}
        self.buffers = {name: value[chosen] for name, value in self.buffers.items()}
        self.shapes = [self.shapes[place] for place in places]
        self.n = len(self.shapes)

    def scores(self, inputs: Tensor, generators: Sequence[torch.Generator], training: bool) -> Tensor:
        """Return scores `[n, B, K]` of inputs `[n, B, ...]`; each network has its own generator."""
        raise NotImplementedError


def _corner(shape: Sequence[int]) -> Any:
    """Return the index of the first numbers along each dimension; of a single number, all of it."""
    return tuple(slice(0, size) for size in shape) or ...


class StackedMLP(Stack):
    """A stack of `MLP`s with as many layers and the same activation; widths and dropout may differ."""

    def __init__(self, template: nn.Module, n: int) -> None:
        super().__init__(template, n)
        sizes: Any = template.sizes
        self.depth = len(sizes) - 1
        self.rates = [0.0] * n
        self.masks: dict[int, Tensor] = {}

    def fits(self, model: nn.Module) -> bool:
        """Return whether the model has the same layers; widths and dropout may differ."""
        own: Any = self.template
        other: Any = model
        return type(own) is type(other) and (own.activation, own.batch_norm, len(own.sizes)) == (
            other.activation,
            other.batch_norm,
            len(other.sizes),
        )

    def put(self, place: int, model: nn.Module) -> None:
        """Copy a model's state to one slot."""
        super().put(place, model)
        self.rates[place] = float(model.dropout)  # type: ignore[arg-type]
        self._mask()

    def keep(self, places: Sequence[int]) -> None:
        """Discard all networks but these."""
        super().keep(places)
        self.rates = [self.rates[place] for place in places]
        self._mask()

    def _mask(self) -> None:
        """Compute the mask of existing units of each layer; none if all networks have the full width."""
        self.masks = {}
        for layer in range(1, self.depth):
            name = f"layers.linear{layer}.weight"
            widths = torch.tensor([shapes[name][0] if shapes else 0 for shapes in self.shapes])
            widest = self.parameters[name].shape[1]
            if bool((widths != widest).any()):
                self.masks[layer] = (torch.arange(widest) < widths[:, None])[:, None, :].float()

    def scores(self, inputs: Tensor, generators: Sequence[torch.Generator], training: bool) -> Tensor:
        """Return scores `[n, B, K]` of inputs `[n, B, ...]` or, shared by all, `[1, B, ...]`."""
        act = _ACTIVATIONS[str(self.template.activation)]
        signal = inputs.flatten(2)
        for layer in range(1, self.depth + 1):
            weight, bias = (self.parameters[f"layers.linear{layer}.{kind}"] for kind in ("weight", "bias"))
            signal = torch.baddbmm(bias.unsqueeze(1), signal.expand(self.n, -1, -1), weight.transpose(1, 2))
            if layer == self.depth:
                return signal
            if self.template.batch_norm:
                signal = self._normalised(layer, signal, training)
            signal = act(signal)
            if layer in self.masks:
                signal = signal * self.masks[layer]
            if training and any(self.rates):
                signal = signal * self._dropout(layer, signal, generators)
        return signal

    def is_plain(self) -> bool:
        """Return whether the scores involve only products and activations: no normalisation, no dropout."""
        return not self.template.batch_norm and not any(self.rates)

    @torch.no_grad()
    def descend(
        self, inputs: Tensor, error_of: Callable[[Tensor], Tensor], rates: Tensor, decays: Tensor | None
    ) -> Tensor:
        """Update every network by plain gradient descent and return the scores `[n, B, K]` before the update.

        The gradient of a weight is added to it inside the product, so that it is never stored. `error_of` returns the
        gradients of the losses by the scores; `rates` and `decays` (of the matrices) are `[n]`. For plain stacks;
        autograd with an optimiser is the reference.
        """
        act = _ACTIVATIONS[str(self.template.activation)]
        signals = [inputs.flatten(2)]
        for layer in range(1, self.depth + 1):
            weight, bias = (self.parameters[f"layers.linear{layer}.{kind}"] for kind in ("weight", "bias"))
            signal = torch.baddbmm(bias.unsqueeze(1), signals[-1], weight.transpose(1, 2))
            signal = act(signal) if layer < self.depth else signal
            signals.append(signal.mul_(self.masks[layer]) if layer in self.masks else signal)
        rate, error = rates.view(-1, 1, 1), error_of(signals[-1])
        for layer in range(self.depth, 0, -1):
            weight, bias = (self.parameters[f"layers.linear{layer}.{kind}"] for kind in ("weight", "bias"))
            before = torch.bmm(error, weight) if layer > 1 else None
            scaled = error * rate
            if decays is not None:
                weight.mul_(1 - rate * decays.view(-1, 1, 1))
            weight.baddbmm_(scaled.transpose(1, 2), signals[layer - 1], alpha=-1)
            bias.sub_(scaled.sum(1))
            if before is not None:
                error = _SLOPES[str(self.template.activation)](before, signals[layer - 1])
        return signals[-1]

    def _normalised(self, layer: int, signal: Tensor, training: bool) -> Tensor:
        """As `nn.BatchNorm1d` with its defaults, for each network separately."""
        place = f"layers.norm{layer}."
        mean, variance = self.buffers[f"{place}running_mean"], self.buffers[f"{place}running_var"]
        if training:
            now, spread = signal.mean(1), signal.var(1, unbiased=False)
            with torch.no_grad():
                examples = signal.shape[1]
                mean.lerp_(now, 0.1)
                variance.lerp_(spread * (examples / max(examples - 1, 1)), 0.1)
                self.buffers[f"{place}num_batches_tracked"] += 1
            mean, variance = now, spread
        scale, shift = self.parameters[f"{place}weight"], self.parameters[f"{place}bias"]
        unit = (signal - mean.unsqueeze(1)) * torch.rsqrt(variance.unsqueeze(1) + 1e-5)
        return unit * scale.unsqueeze(1) + shift.unsqueeze(1)

    def _dropout(self, layer: int, signal: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """Return the factors of `nn.Dropout`, drawn for each network as for that network alone."""
        factors = torch.ones_like(signal)
        name = f"layers.linear{layer}.weight"
        for place, (rate, generator) in enumerate(zip(self.rates, generators, strict=True)):
            if rate:
                width = self.shapes[place][name][0]
                drawn = torch.empty(signal.shape[1], width).bernoulli_(1 - rate, generator=generator)
                factors[place, :, :width] = drawn.div_(1 - rate)
        return factors


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
_SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # an error times the slope, by the activation itself
    "relu": lambda error, a: torch.ops.aten.threshold_backward(error, a, 0),
    "sigmoid": lambda error, a: error.mul_(a - a * a),
    "tanh": lambda error, a: error.mul_(1 - a * a),
}


class StackedLeNet(Stack):
    """A stack of `LeNet5Modern`s; its convolutions are one grouped convolution per layer."""

    def fits(self, model: nn.Module) -> bool:
        """Return whether the model has the same classes."""
        return type(model) is type(self.template) and model.classes == self.template.classes

    def scores(self, inputs: Tensor, generators: Sequence[torch.Generator], training: bool) -> Tensor:
        """Return scores `[n, B, K]` of images `[n, B, 1, 28, 28]`."""
        n, (count,) = self.n, inputs.shape[1:2]
        signal = inputs.expand(n, *inputs.shape[1:]).transpose(0, 1).flatten(1, 2)  # [B, n planes, 28, 28]
        for number, padding in ((1, 2), (2, 0)):
            weight, bias = (self.parameters[f"layers.conv{number}.{kind}"] for kind in ("weight", "bias"))
            signal = F.conv2d(signal, weight.flatten(0, 1), bias.flatten(), padding=padding, groups=n)
            signal = F.max_pool2d(F.relu(signal), 2)
        rows = signal.reshape(count, n, -1).transpose(0, 1)
        for number in (1, 2, 3):
            weight, bias = (self.parameters[f"layers.linear{number}.{kind}"] for kind in ("weight", "bias"))
            rows = torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
            rows = F.relu(rows) if number < 3 else rows
        return rows
