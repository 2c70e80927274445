"""Each piece of advice in an error is followed: the method that it names works for the very net and samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from explained_nets import Pooled
from torch import Tensor, nn

from threegen.errors import ThreegenError
from threegen.explanations.explain import explain
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP

METHODS = ("saliency", "occlusion", "grad_cam", "feature_maps")


class Hard(nn.Module):
    """No gradient leads to the input."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1)[:, :3] > 0.5).float()


def images() -> Tensor:
    return torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def vectors() -> Tensor:
    return torch.rand(2, 784, generator=torch.Generator().manual_seed(0))


ASKED: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor], Callable[[Any, Tensor], object], set[str]]] = {
    "no planes": (lambda: MLP([784, 20, 10]), images, lambda k, x: k.grad_cam(x), {"saliency", "occlusion"}),
    "no planes, vectors": (lambda: MLP([784, 20, 10]), vectors, lambda k, x: k.grad_cam(x), {"saliency"}),
    "no planes, no gradient": (Hard, images, lambda k, x: k.grad_cam(x), {"occlusion"}),
    "no head": (LeNet5Modern, images, lambda k, x: k.class_activation_map(x), {"grad_cam", "saliency", "occlusion"}),
    "no head, no planes": (
        lambda: MLP([784, 9, 10]),
        vectors,
        lambda k, x: k.class_activation_map(x),
        {"saliency"},
    ),
    "no gradient": (Hard, images, lambda k, x: k.saliency(x), {"occlusion", "feature_maps"}),
    "no gradient, vectors": (Hard, vectors, lambda k, x: k.integrated_gradients(x), {"feature_maps"}),
    "no relu": (
        lambda: MLP([784, 9, 10], activation="tanh"),
        images,
        lambda k, x: k.saliency(x, modifier="guided"),
        {"saliency", "occlusion"},
    ),
    "no relu behind": (Pooled, images, lambda k, x: k.grad_cam(x, modifier="guided"), {"saliency", "occlusion"}),
    "no relu, vectors": (
        lambda: SpikingMLP([784, 9, 10], steps=2),
        vectors,
        lambda k, x: k.guided_grad_cam(x),
        {"saliency"},
    ),
    "vectors": (lambda: MLP([784, 9, 10]), vectors, lambda k, x: k.occlusion(x), {"saliency", "feature_maps"}),
    "no spikes": (
        LeNet5Modern,
        images,
        lambda k, x: k.spike_activation_maps(x),
        {"grad_cam", "saliency", "feature_maps"},
    ),
    "no spikes, vectors": (
        lambda: MLP([784, 9, 10]),
        vectors,
        lambda k, x: k.spike_activation_maps(x),
        {"saliency", "feature_maps"},
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_an_error_names_works(name: str) -> None:
    make, samples, ask, wanted = ASKED[name]
    look, x = explain(make()), samples()
    with pytest.raises(ThreegenError) as problem:
        ask(look, x)
    _, _, advice = str(problem.value).rpartition("; ")
    named = set(re.findall("|".join(METHODS), advice))
    assert re.search(r" works?$", advice)
    assert named == wanted
    for method in named:
        if method == "feature_maps":
            look.feature_maps(look.subject.trace(x).nodes[-1].label, x)
        else:
            getattr(look, method)(x)


def test_the_layers_that_an_error_lists_can_be_looked_at() -> None:
    look, x = explain(LeNet5Modern()), images()
    for ask in (lambda: look.feature_maps(None, x), lambda: look.feature_maps("nothing", x)):
        with pytest.raises(ThreegenError, match="it has ") as problem:
            ask()
        for label in str(problem.value).rpartition("it has ")[2].split(", "):
            look.feature_maps(label, x)
    with pytest.raises(ThreegenError, match="layers with planes: ") as problem:
        look.grad_cam(x, layer="layers.linear1")
    for label in str(problem.value).rpartition("planes: ")[2].split(", "):
        assert look.grad_cam(x, layer=label).shape == x.shape
