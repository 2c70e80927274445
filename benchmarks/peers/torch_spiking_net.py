"""The base of every peer that uses PyTorch: its layers, one update, the check before timing."""

from __future__ import annotations

from collections.abc import Callable

import torch
from spiking_case import best, in_layers, load_case, refuse_unequal
from torch import Tensor, nn
from torch.nn import functional as F

CASE = load_case()
SPIKES = torch.from_numpy(CASE["spikes"]).float()
TARGETS = torch.from_numpy(CASE["targets"])
CONVOLUTIONAL = SPIKES.dim() > 3


class Rectangle(torch.autograd.Function):
    """1 where x >= 0, x the distance from the threshold; its slope is 1 / width where |x| < width / 2."""

    @staticmethod
    def forward(ctx, x, width=1.0):  # noqa: D102
        ctx.save_for_backward(x)
        ctx.width = width
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):  # noqa: D102
        (x,) = ctx.saved_tensors
        return gradient * ((x.abs() < ctx.width / 2).to(x.dtype) / ctx.width), None


def synapses() -> list[nn.Module]:
    """Return linear maps or convolutions with the weights of the case, with pooling and flattening before them."""
    layers: list[nn.Module] = []
    for number, (weight, bias) in enumerate(zip(in_layers(CASE, "weight"), in_layers(CASE, "bias"), strict=True)):
        outputs, inputs = weight.shape[:2]
        layer = nn.Linear(inputs, outputs) if weight.ndim == 2 else nn.Conv2d(inputs, outputs, weight.shape[2])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
        before: list[nn.Module] = []
        if CONVOLUTIONAL and number in (1, 2):
            before.append(nn.AvgPool2d(2))
        if CONVOLUTIONAL and number == 2:
            before.append(nn.Flatten())
        layers.append(nn.Sequential(*before, layer) if before else layer)
    return layers


def training(net: nn.Module, rates: Callable[[Tensor], Tensor]) -> Callable[[bool], float]:
    """Return the work of a peer: milliseconds per update. `rates` turns the spikes [T, B, ...] into rates [B, 10]."""
    layers = [one for one in net.modules() if isinstance(one, nn.Linear | nn.Conv2d)]
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-9, fused=True)
    found = rates(SPIKES)
    F.mse_loss(found, TARGETS).backward()
    gradients = [one.grad.numpy() for one in parameters]
    refuse_unequal(CASE, found.detach().numpy(), gradients[::2], gradients[1::2])

    def update() -> None:
        optimizer.zero_grad()
        F.mse_loss(rates(SPIKES), TARGETS).backward()
        optimizer.step()

    return lambda quick: best(update, quick)
