"""Back-propagation through a plain chain of linear layers, written out without an autograd graph.

    a_l = f(z_l),  z_l = W_l a_(l-1) + b_l                 forward, l = 1 .. L; the last layer has no f
    d_L = dE/dz_L                                          by autograd, from the loss alone
    dE/dW_l = d_l^T a_(l-1),   dE/db_l = sum over the batch of d_l
    d_(l-1) = (d_l W_l) * f'(z_(l-1))                      f' from a_(l-1): relu, tanh and sigmoid allow it

On a small net the graph, the autograd engine and the wrappers of modules take as long as a matrix product. If most of
the inputs are 0, as in pictures of digits, the two products with the inputs skip the zeros
(`machine/sparse/sparse_matrix.py`). The gradients equal autograd's up to rounding: some sums run in another order.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986), eq. 3-6.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from threegen.machine.sparse.layouts import lies_by_inputs, pays
from threegen.machine.sparse.sparse_matrix import SparseMatrix
from threegen.machine.torch_private import (
    gradient_is_watched,
    has_hooks,
    have_all_hooks,
    hooks_among,
    own_modules,
    own_parameters,
)
from threegen.rules.rule import SLACK

_aten = torch.ops.aten


class Chained(Protocol):
    """A model that is a chain of layers behind a flattening of its inputs."""

    def chain(self) -> nn.Sequential | None:
        """Return the layers, or None if `forward` does more than that."""
        ...


# f in place, and d f'(z) from d and a = f(z), written over d
Activation = tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]
_ACTIVATIONS: dict[type[nn.Module], Activation] = {
    nn.ReLU: (torch.relu_, lambda error, a: _aten.threshold_backward.grad_input(error, a, 0, grad_input=error)),
    nn.Tanh: (torch.tanh_, lambda error, a: _aten.tanh_backward.grad_input(error, a, grad_input=error)),
    nn.Sigmoid: (torch.sigmoid_, lambda error, a: _aten.sigmoid_backward.grad_input(error, a, grad_input=error)),
}


class DenseChain:
    """The weights and biases of the linear layers of a model, and after each but the last an activation or None."""

    def __init__(self, linears: list[nn.Linear], activations: list[Activation | None]) -> None:
        self.weights = [linear.weight for linear in linears]
        self.biases = [linear.bias for linear in linears]
        self.activations = activations
        self._rectified = bool(activations) and activations[0] is _ACTIVATIONS[nn.ReLU]
        self._lists: dict[int, SparseMatrix] = {}  # by the number of examples
        self._listed: SparseMatrix | None = None  # of the current inputs, if few of them are not 0

    def _list(self, inputs: Tensor) -> SparseMatrix | None:
        """Return the inputs as lists of nonzero entries, or None if the dense product is as fast."""
        weight, rows = self.weights[0], len(inputs)
        if not (pays(rows, weight.shape[1], len(weight)) and lies_by_inputs(weight) and inputs.is_contiguous()):
            return None
        if inputs.dtype not in (torch.float32, torch.float64):
            return None
        lists = self._lists.get(rows)
        if lists is None or not lists.fits(inputs):
            if len(self._lists) == _MOST_LISTS:
                self._lists.clear()
            lists = self._lists[rows] = SparseMatrix((rows, weight.shape[1]), inputs.dtype)
        return lists if lists.take(inputs) else None

    def forward(self, inputs: Tensor, *, by_class: bool = False) -> list[Tensor]:
        """Return the inputs `[B, sizes[0]]` of every layer, and the scores `[B, K]` last.

        With `by_class` the scores are stored column-major: those of one class are contiguous.
        """
        layers = [inputs]
        last = len(self.weights) - 1
        self._listed = self._list(inputs) if last else None
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if by_class and place == last:
                made = torch.addmm(bias.unsqueeze(1), weight, layers[-1].t()).t()
            elif place == 0 and self._listed is not None:
                made = inputs.new_empty(len(inputs), len(weight))
                arrays = (weight.detach().t().numpy(), made.numpy(), bias.detach().numpy())
                self._listed.times(*arrays, rectify=self._rectified)
            else:
                made = torch.addmm(bias, layers[-1], weight.t())
            activation = self.activations[place]
            done = activation is None or (place == 0 and self._listed is not None and self._rectified)
            layers.append(made if done or activation is None else activation[0](made))
        return layers

    def backward(self, layers: list[Tensor], error: Tensor, largest: float | None = None) -> float:
        """Fill `.grad` of all weights and biases; `error` is dE/ds `[B, K]`.

        Returns a bound of the sum of their squares: that of d^T a is at most the product of those of d and a. `largest`
        is the largest magnitude among the inputs, if it is known.
        """
        bound, every = 0.0, _ones(len(error), error.dtype)
        for place in range(len(self.weights) - 1, -1, -1):
            weight, below = self.weights[place], layers[place]
            if place == 0 and self._listed is not None:
                return SLACK * (bound + self._learn_listed(self._listed, layers, error))
            # with the memory layout of the weight, which fused optimisers rely on
            gradient = error.t() @ below if weight.is_contiguous() else (below.t() @ error).t()
            weight.grad, self.biases[place].grad = gradient, error.t().mv(every)  # faster than a sum over rows
            squares = _square_sum(error)
            if place == 0 and largest is not None:
                bound += squares * (below.numel() * largest**2 + len(below))  # the latter for the biases
            elif gradient.numel() < below.numel():
                bound += _square_sum(gradient) + squares * len(below)
            else:
                bound += squares * (_square_sum(below) + len(below))
            if place:
                error = error @ weight
                if place == 1 and self._listed is not None and self._rectified:
                    continue  # relu's derivative is applied together with the sums
                activation = self.activations[place - 1]
                error = error if activation is None else activation[1](error, below)
        return SLACK * bound

    def _learn_listed(self, lists: SparseMatrix, layers: list[Tensor], error: Tensor) -> float:
        """Fill `.grad` of the first weights and biases from the inputs' lists; return the sum of their squares."""
        gradient = error.new_empty(layers[0].shape[1], error.shape[1])
        gate = layers[1].numpy() if self._rectified else None
        sums, squares = lists.transposed_times(error.numpy(), gradient.numpy(), gate=gate, sums=True)
        self.weights[0].grad, self.biases[0].grad = gradient.t(), (by_bias := torch.from_numpy(sums))
        return squares + by_bias.dot(by_bias).item()


_MOST_LISTS = 4  # batches have one size, except the last one of an epoch


@lru_cache(maxsize=8)
def _ones(examples: int, dtype: torch.dtype) -> Tensor:
    return torch.ones(examples, dtype=dtype)


def _square_sum(tensor: Tensor) -> float:
    """Return the sum of the squares of a matrix that is dense in memory, by rows or by columns."""
    flat = (tensor if tensor.is_contiguous() else tensor.t()).reshape(-1)
    return torch.dot(flat, flat).item()


def dense_chain(model: nn.Module, inputs: Tensor) -> DenseChain | None:
    """Return the model as a chain that may learn from `inputs` this way, or None if autograd has to.

    It is None for anything but linear layers with biases and known activations; for hooks on modules or parameters; for
    parameters that are frozen or already hold a gradient; for other devices, mixed types and autocast.
    """
    if have_all_hooks() or torch.is_autocast_enabled("cpu"):
        return None
    if type(inputs) is not Tensor or inputs.requires_grad or not inputs.is_cpu or not inputs.shape[0]:
        return None
    known = _known.get(model)
    if known is None or not known.is_as_it_was():
        layers = _layers(model)
        chain = None if layers is None else _as_chain(layers)
        if layers is None or chain is None:
            return None
        known = _known[model] = _Known(model, layers, chain)
    chain = known.chain
    if chain.weights[0].shape[1] * inputs.shape[0] != inputs.numel():
        return None
    for parameter in known.parameters:
        if not _learns(parameter, inputs):
            return None
    return chain


class _Known:
    """The chain found in a model, with the check that it is still valid: the same parts, without hooks.

    It refers to the parts of the model, not to the model itself, so that the model can be garbage-collected.
    """

    def __init__(self, model: nn.Module, layers: nn.Sequential, chain: DenseChain) -> None:
        self.chain = chain
        self.parameters = [p for pair in zip(chain.weights, chain.biases, strict=True) for p in pair]
        modules = list(dict.fromkeys([model, layers, *layers]))
        self.attributes = [module.__dict__ for module in modules]
        parts: list[dict[str, Any]] = [*map(own_modules, modules), *map(own_parameters, modules)]
        self.parts = [(part, list(part.values())) for part in parts if part]

    def is_as_it_was(self) -> bool:
        """Return whether no part was added, removed or hooked since."""
        for part, values in self.parts:
            if len(part) != len(values) or not all(map(operator.is_, part.values(), values)):
                return False
        return not any(map(hooks_among, self.attributes))


_known: MutableMapping[nn.Module, _Known] = weakref.WeakKeyDictionary()


def _as_chain(layers: nn.Sequential) -> DenseChain | None:
    linears: list[nn.Linear] = []
    activations: list[Activation | None] = []
    for number, layer in enumerate(own_modules(layers).values()):
        kind = type(layer)
        if layer is None or has_hooks(layer):
            return None
        if isinstance(layer, nn.Linear) and kind is nn.Linear and layer not in linears:
            if any(parameter is None for parameter in own_parameters(layer).values()):  # no bias
                return None
            linears.append(layer)
            activations.append(None)
        elif kind in _ACTIVATIONS and linears and activations[-1] is None:
            activations[-1] = _ACTIVATIONS[kind]
        elif not (kind is nn.Flatten and number == 0):
            return None
    return DenseChain(linears, activations) if linears and activations[-1] is None else None


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


def _learns(parameter: Tensor, inputs: Tensor) -> bool:
    return (
        parameter.requires_grad
        and parameter.grad is None
        and parameter.dtype == inputs.dtype
        and parameter.is_cpu
        and not gradient_is_watched(parameter)
        and (parameter.is_contiguous() or parameter.t().is_contiguous())
    )
