"""On-line back-propagation: one update an example, the same as plain SGD in batches of one."""

from __future__ import annotations

import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError
from threegen.gen2.lenet_1989 import LeNet1989
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.rules.online_backprop import OnlineBackprop
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer
from threegen.training.schedules import EpochSteps


def net() -> LeNet1989:
    return LeNet1989(generator=torch.Generator().manual_seed(0))


def test_it_is_backprop_in_batches_of_one() -> None:
    """Two passes of 20 examples in the data's order, the second at another rate, through `fit` both ways."""
    x = torch.rand(20, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    data = Dataset(x, torch.arange(20) % 10, tuple("0123456789"))
    portions, singles = net(), net()
    rates = {0: 0.05, 1: 0.02}
    log = fit(
        portions, OnlineBackprop(), data, epochs=2, batch_size=8, shuffle=False, schedule=EpochSteps("rate", rates)
    )
    plain = fit(
        singles,
        Backprop("signed_mse"),
        data,
        optimizer=optimizer("sgd", lr=0.05),
        epochs=2,
        batch_size=1,
        shuffle=False,
        schedule=EpochSteps("lr", rates),
    )
    for (name, one), other in zip(portions.named_parameters(), singles.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6), name
    assert log.epochs[0]["updates"] == 3
    assert plain.epochs[0]["updates"] == 20


def test_models_without_a_kernel_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"OnlineBackprop needs a model with learn_one_by_one\(\), MLP has none"):
        OnlineBackprop().check(MLP([4, 2]))
    with pytest.raises(ConfigError, match="rate must be a finite number above 0"):
        OnlineBackprop(0.0)
