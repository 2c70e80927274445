"""The convolutional classics and their rules keep the contracts of models and rules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from threegen.datasets.batches import Batch
from threegen.gen2.alexnet import AlexNet
from threegen.gen2.lenet_5 import LeNet5
from threegen.gen2.lenet_1989 import LeNet1989
from threegen.gen2.mlp import MLP
from threegen.rules.levenberg_marquardt import LevenbergMarquardt
from threegen.rules.online_backprop import OnlineBackprop
from threegen.testing import check_model, check_rule

IMAGES = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def small_alexnet(variant: str) -> Any:
    sizes = {"2012": 67, "one-weird-trick": 63}

    def make(generator: torch.Generator) -> nn.Module:
        settings: dict[str, Any] = {"width": 0.05, "channels": 1, "size": sizes[variant], "picture": 28, "dropout": 0.0}
        return AlexNet(10, variant=variant, generator=generator, **settings)

    return make


MODELS = {
    "lenet-1989": lambda generator: LeNet1989(generator=generator),
    "lenet-5": lambda generator: LeNet5(generator=generator),
    "alexnet": small_alexnet("2012"),
    "alexnet, one-weird-trick": small_alexnet("one-weird-trick"),
}


@pytest.mark.parametrize("name", MODELS)
def test_model_keeps_the_contract(name: str) -> None:
    assert len(check_model(MODELS[name], IMAGES, classes=10)) == 15


def blobs() -> Batch:
    """Gaussian clouds around three corners."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3
    return Batch(2.0 * torch.eye(3, 6)[labels] + 0.2 * torch.randn(24, 6, generator=generator), labels)


def bars() -> Batch:
    """Pictures with one bright bar, its place tells the class."""
    labels = torch.arange(12) % 3
    images = 0.1 * torch.rand(12, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, :, 6 + 6 * label : 10 + 6 * label] = 0.9
    return Batch(images, labels)


def own_scores(model: nn.Module, batch: Batch) -> Batch:
    return Batch(batch.inputs, model(batch.inputs).detach())


def test_levenberg_marquardt_keeps_the_contract() -> None:
    names = check_rule(
        lambda: LevenbergMarquardt("mse", examples=12, every=24),
        lambda generator: MLP([6, 8, 3], activation="tanh", generator=generator),
        blobs(),
        quiet=own_scores,
    )
    assert len(names) == 14


def test_online_backprop_keeps_the_contract() -> None:
    names = check_rule(
        OnlineBackprop, lambda generator: LeNet1989(3, generator=generator), bars(), quiet=own_scores, rate=0.03
    )
    assert len(names) == 14
