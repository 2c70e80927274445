"""A setting of the optimiser that a fast way cannot honour takes the plain way, or is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import threegen as tg
from threegen.errors import ConfigError
from threegen.gen2.dbn import DBN
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.randomness import make_generator
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.rules.pair_stdp import PairSTDP
from threegen.rules.wake_sleep import WakeSleep
from threegen.training.fit import fit

PIXELS = torch.rand(6, 20, generator=make_generator("pixels"))


def stdp(backend: str, **settings: Any) -> torch.Tensor:
    layer = PlasticLayer(20, 8, encoder=tg.Poisson(0.5), threshold=1.0, generator=make_generator("weights"))
    fit(layer, PairSTDP(backend=backend), tg.Dataset.from_arrays(PIXELS), batch_size=6, seed=0, **settings)
    return layer.weight.detach()


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "sgd", "lr": 1.0}, {"optimizer": "sgd", "lr": 0.1}, {"optimizer": "momentum", "lr": 1.0},
     {"clip_norm": 1e-3}],
    ids=str,
)  # fmt: skip
def test_spike_timing_is_what_the_plain_way_says(settings: dict[str, Any]) -> None:
    torch.testing.assert_close(
        stdp("auto", **settings), stdp("plain", **settings), atol=1e-5, rtol=0
    )  # six stimuli, hundreds of float32 sums


def test_another_rate_learns_something_else() -> None:
    assert not torch.equal(stdp("auto", optimizer="sgd", lr=1.0), stdp("auto", optimizer="sgd", lr=0.1))


def test_the_kernel_refuses_another_optimiser_by_name() -> None:
    with pytest.raises(ConfigError, match=r"as SGD with lr=1 does, but the optimiser differs"):
        stdp("fused", optimizer="sgd", lr=0.1)


def test_diehl_and_cook_refuse_a_rate_that_would_be_dropped() -> None:
    model = DiehlCook(5, inputs=20, generator=make_generator("weights"))
    data = tg.Dataset.from_arrays(PIXELS)
    fit(model, DiehlCookSTDP(), data, batch_size=6)
    with pytest.raises(ConfigError, match=r"its own rates, as SGD with lr=1 does"):
        fit(model, DiehlCookSTDP(), data, batch_size=6, optimizer="sgd", lr=0.5)


def belief(rule: WakeSleep, **settings: Any) -> list[torch.Tensor]:
    dbn = DBN([20, 9, 7], classes=3, generator=make_generator("weights"))
    data = tg.Dataset(PIXELS, torch.arange(6) % 3)
    fit(dbn, rule, data, batch_size=3, epochs=2, seed=0, **settings)
    return [parameter.detach() for parameter in dbn.parameters()]


@pytest.mark.parametrize(
    "settings",
    [{}, {"optimizer": "sgd", "lr": 0.3}, {"optimizer": "momentum", "lr": 0.05}, {"optimizer": "adam", "lr": 0.01}],
    ids=str,
)
def test_wake_and_sleep_follow_the_optimiser(settings: dict[str, Any]) -> None:
    fast, plain = belief(WakeSleep(rate=0.2), **settings), belief(WakeSleep(rate=0.2, fused=False), **settings)
    for one, other in zip(fast, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
