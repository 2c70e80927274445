"""The kernels of contrastive divergence against the plain rule with SGD and momentum, for the same generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import threegen as tg
from threegen.errors import ConfigError
from threegen.functional.energy import rbm_products
from threegen.functional.energy.units import BernoulliUnits, SoftmaxUnits
from threegen.gen2.rbm import RBM
from threegen.machine.processor import has_half_vectors
from threegen.machine.sparse import layouts
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.fused_contrastive_divergence import FusedContrastiveDivergence
from threegen.training.energy_monitors import pseudo_likelihood

OPTIONS: dict[str, dict[str, Any]] = {
    "cd-1": {},
    "cd-3": {"steps": 3},
    "probabilities": {"steps": 2, "visible": "probabilities"},
    "persistent": {"steps": 2, "chains": 7},
    "centred": {"centred": True, "chains": 5},
    "all else": {"weight_cost": 0.01, "sparsity": 0.2, "sparsity_cost": 0.1, "draw_data": True},
}


def make(units: Any = "bernoulli", dtype: torch.dtype = torch.float32) -> RBM:
    rbm = RBM(12, 8, units, init=0.5, generator=make_generator("fused")).to(dtype)
    with torch.no_grad():
        rbm.visible_bias.normal_(generator=make_generator("bias"))
    return rbm


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_weights_as_the_plain_rule(name: str, dtype: torch.dtype) -> None:
    """Three epochs with a short last batch; the momentum changes on the way."""
    pixels = torch.rand(23, 12, generator=make_generator("pixels"), dtype=dtype)
    data = tg.Dataset.from_arrays(pixels if "draw_data" in OPTIONS[name] else pixels.round())
    data.inputs = data.inputs.to(dtype)
    plain, fused = make(dtype=dtype), make(dtype=dtype)
    schedule = tg.training.EpochSteps("momentum", {0: 0.5, 2: 0.9})
    common: dict[str, Any] = {"epochs": 3, "batch_size": 9, "schedule": schedule, "seed": 3}
    tg.fit(plain, ContrastiveDivergence(**OPTIONS[name]), data, optimizer=tg.optimizer("momentum", lr=0.1), **common)
    log = tg.fit(fused, FusedContrastiveDivergence(rate=0.1, **OPTIONS[name]), data, **common)
    for own, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=0)
    assert ("reconstruction_error" in log.final) == ("chains" not in OPTIONS[name])


def test_label_units_beside_the_pixels() -> None:
    units = [BernoulliUnits(8), SoftmaxUnits(4)]
    labels = torch.eye(4).repeat(5, 1)
    data = tg.Dataset.from_arrays(torch.cat([labels, labels, labels], 1))
    plain, fused = make(units), make(units)
    tg.fit(plain, ContrastiveDivergence(2), data, lr=0.1, epochs=3, batch_size=10)
    tg.fit(fused, FusedContrastiveDivergence(2), data, epochs=3, batch_size=10)
    for own, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"chains": 8}, {"sparsity": 0.2}], ids=str)
def test_bfloat16_products_stay_near(options: dict[str, Any]) -> None:
    """bfloat16 keeps 8 binary digits: one update differs by less than 2^-7 of the largest step."""
    data = tg.Dataset.from_arrays(torch.rand(8, 12, generator=make_generator("pixels")).round())
    near, exact, before = make(), make(), make()
    for model, products in ((near, "bfloat16"), (exact, "float32")):
        tg.fit(model, FusedContrastiveDivergence(products=products, **options), data, epochs=1, batch_size=8)
    for own, other, start in zip(near.parameters(), exact.parameters(), before.parameters(), strict=True):
        step = float((other - start).detach().abs().max())
        assert step > 0.01
        assert float((own - other).detach().abs().max()) < step / 32


@pytest.mark.parametrize("way", ["lists", "torch"])
def test_bfloat16_products_reach_the_same_pseudo_likelihood(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 real digits, two epochs, exact pseudo-likelihood over all 784 flips of 40 test digits, in nats a case."""
    if way == "lists" and not (has_half_vectors() and layouts.has_wide_vectors()):
        pytest.skip("this processor does not add sixteen-bit numbers")
    if way == "torch":
        monkeypatch.setattr(rbm_products, "has_half_vectors", lambda: False)
    data = tg.load_data("mnist")
    cases = data.test.take(40).inputs.flatten(1).round()
    reached = []
    for products in ("float32", "bfloat16"):
        model = RBM(784, 128, generator=make_generator("pl"))
        rule = FusedContrastiveDivergence(momentum=0.5, products=products)
        tg.fit(model, rule, data.train.take(3_000), epochs=2, batch_size=50)
        if products == "bfloat16":
            kinds = {"lists": rbm_products.ListedHalves, "torch": rbm_products.HalfProducts}
            assert type(rule._room) is kinds[way]
        reached.append(pseudo_likelihood(model, cases))
    assert -200 < reached[0] < -80  # 784 fair coins: -543
    assert abs(reached[0] - reached[1]) < 2.0


def test_a_killed_run_resumes_bit_equal(check_resuming: Callable[..., None]) -> None:
    data = tg.Dataset.from_arrays(torch.rand(20, 12, generator=make_generator("pixels")).round())

    def run(folder: str, epochs: int, resume: bool) -> RBM:
        model, rule = make(), FusedContrastiveDivergence(momentum=0.9, chains=5)
        tg.fit(model, rule, data, epochs=epochs, batch_size=8, out=folder, resume=resume)
        return model

    check_resuming(run)


def test_the_rate_follows_a_schedule() -> None:
    data = tg.Dataset.from_arrays(torch.rand(20, 12, generator=make_generator("pixels")).round())
    rule = FusedContrastiveDivergence(rate=0.4)
    tg.fit(make(), rule, data, schedule="linear", epochs=2, batch_size=10)
    assert rule.rate == pytest.approx(0.1)  # before the last of four batches


def test_what_the_kernels_cannot_do_is_refused() -> None:
    with pytest.raises(ConfigError, match="binary hidden units"):
        FusedContrastiveDivergence().check(RBM(4, 3, hidden_units="gaussian"))
    with pytest.raises(ConfigError, match="binary visible units"):
        FusedContrastiveDivergence(products="bfloat16").check(RBM(4, 3, "gaussian"))
    with pytest.raises(ConfigError, match="works on the CPU"):
        FusedContrastiveDivergence().check(RBM(4, 3).half())
