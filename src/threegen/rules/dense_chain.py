"""Back-propagation through a plain chain of linear layers, written out: no graph is built and walked.

    a_l = f(z_l),  z_l = W_l a_(l-1) + b_l                 forward, l = 1 .. L; the last layer has no f
    d_L = dE/dz_L                                          by autograd, from the loss alone
    dE/dW_l = d_l^T a_(l-1),   dE/db_l = sum over the batch of d_l
    d_(l-1) = (d_l W_l) * f'(z_(l-1))                      f' from a_(l-1): relu, tanh and sigmoid allow it

On a small net the graph, the engine that walks it and the wrappers of modules take as long as a matrix product. The
operations are those that autograd would call, so the gradients are the same.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986), eq. 3-6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from threegen.tracing.hooks import has_hooks, have_all_hooks

_aten = torch.ops.aten


class Chained(Protocol):
    """A model that is a chain of layers behind a flattening of its inputs."""

    def chain(self) -> nn.Sequential | None:
        """Return the layers, or None where `forward` does more than that."""
        ...


# f in place, and d f'(z) from d and a = f(z)
Activation = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]
_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: (torch.relu_, lambda error, a: _aten.threshold_backward(error, a, 0)),
    nn.Tanh: (torch.tanh_, lambda error, a: _aten.tanh_backward(error, a)),
    nn.Sigmoid: (torch.sigmoid_, lambda error, a: _aten.sigmoid_backward(error, a)),
}


class DenseChain:
    """The linear layers of a model, and behind all but the last an activation or None."""

    def __init__(self, linears: list[nn.Linear], activations: list[Activation | None]) -> None:
        self.linears, self.activations = linears, activations

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Return the inputs `[B, sizes[0]]` of every layer, and the scores `[B, K]` last."""
        layers = [inputs]
        for linear, activation in zip(self.linears, self.activations, strict=True):
            made = torch.addmm(linear.bias, layers[-1], linear.weight.t())
            layers.append(made if activation is None else activation[0](made))
        return layers

    def backward(self, layers: list[Tensor], error: Tensor) -> None:
        """Fill `.grad` of all weights and biases; `error` is dE/ds `[B, K]`."""
        for place in range(len(self.linears) - 1, -1, -1):
            linear, below = self.linears[place], layers[place]
            weight = linear.weight
            # laid out in memory as the weight is, which fused optimisers rely on
            weight.grad = error.t() @ below if weight.is_contiguous() else (below.t() @ error).t()
            linear.bias.grad = error.sum(0)
            if place:
                error = error @ weight
                activation = self.activations[place - 1]
                error = error if activation is None else activation[1](error, below)


def dense_chain(model: nn.Module, inputs: Tensor) -> DenseChain | None:
    """Return the model as a chain that may learn from `inputs` this way, or None where autograd has to.

    It is None for anything but linear layers with biases and known activations; for hooks on modules or parameters,
    parameters that do not learn or hold a gradient already; for other devices, mixed types and autocast.
    """
    layers = _layers(model)
    if layers is None or have_all_hooks() or torch.is_autocast_enabled("cpu"):
        return None
    if type(inputs) is not Tensor or inputs.requires_grad or inputs.device.type != "cpu" or not len(inputs):
        return None
    linears: list[nn.Linear] = []
    activations: list[Activation | None] = []
    for number, layer in enumerate(layers._modules.values()):
        kind = type(layer)
        if layer is None or has_hooks(layer):
            return None
        if isinstance(layer, nn.Linear) and kind is nn.Linear and layer not in linears:
            if not (_learns(layer.weight, inputs) and _learns(layer.bias, inputs)):
                return None
            linears.append(layer)
            activations.append(None)
        elif kind in _ACTIVATIONS and linears and activations[-1] is None:
            activations[-1] = _ACTIVATIONS[kind]
        elif not (kind is nn.Flatten and number == 0):
            return None
    fits = linears and activations[-1] is None and linears[0].in_features == inputs[0].numel()
    return DenseChain(linears, activations) if fits else None


def _layers(model: nn.Module) -> nn.Sequential | None:
    """Return the layers of a model that is a chain, or None."""
    if has_hooks(model):
        return None
    if isinstance(model, nn.Sequential):
        return model if type(model) is nn.Sequential else None
    if not hasattr(type(model), "chain"):
        return None
    layers = cast(Chained, model).chain()
    return None if layers is None or has_hooks(layers) else layers


def _learns(parameter: Tensor | None, inputs: Tensor) -> bool:
    return (
        parameter is not None
        and parameter.requires_grad
        and parameter.grad is None
        and parameter.dtype == inputs.dtype
        and parameter.device == inputs.device
        and not parameter._backward_hooks
        and not getattr(parameter, "_post_accumulate_grad_hooks", None)
        and (parameter.is_contiguous() or parameter.t().is_contiguous())
    )
