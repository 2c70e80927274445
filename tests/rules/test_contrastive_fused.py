"""The kernels of contrastive divergence against the plain rule with SGD and momentum, for the same generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import threegen as tg
from threegen.errors import ConfigError
from threegen.functional.energy.units import BernoulliUnits, SoftmaxUnits
from threegen.gen2.rbm import RBM
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.rule import Applied, PlainSGD, Update

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
    common["optimizer"] = tg.optimizer("momentum", lr=0.1, weight_decay=0.02)
    tg.fit(plain, ContrastiveDivergence(backend="plain", **OPTIONS[name]), data, **common)
    log = tg.fit(fused, ContrastiveDivergence(backend="fused", **OPTIONS[name]), data, **common)
    for own, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=0)
    assert ("reconstruction_error" in log.final) == ("chains" not in OPTIONS[name])


def test_label_units_beside_the_pixels() -> None:
    units = [BernoulliUnits(8), SoftmaxUnits(4)]
    labels = torch.eye(4).repeat(5, 1)
    data = tg.Dataset.from_arrays(torch.cat([labels, labels, labels], 1))
    plain, fused = make(units), make(units)
    tg.fit(plain, ContrastiveDivergence(2, backend="plain"), data, lr=0.1, epochs=3, batch_size=10)
    tg.fit(fused, ContrastiveDivergence(2, backend="fused"), data, lr=0.1, epochs=3, batch_size=10)
    for own, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=0)


def test_a_killed_run_resumes_bit_equal(check_resuming: Callable[..., None]) -> None:
    data = tg.Dataset.from_arrays(torch.rand(20, 12, generator=make_generator("pixels")).round())

    def run(folder: str, epochs: int, resume: bool) -> RBM:
        model, rule = make(), ContrastiveDivergence(chains=5, backend="fused")
        recipe = tg.optimizer("momentum", lr=0.1)
        tg.fit(model, rule, data, optimizer=recipe, epochs=epochs, batch_size=8, out=folder, resume=resume)
        return model

    check_resuming(run)


DATA = torch.rand(20, 12, generator=make_generator("pixels")).round()


class Kinds(tg.training.Callback):
    """Notes which kind of step the rule yields, and the rate in force."""

    def __init__(self) -> None:
        self.seen: list[type] = []
        self.rates: list[float] = []

    def on_step(self, run: Any, step: Any) -> None:
        self.seen.append(type(step))
        self.rates.append(run.optimizer.param_groups[0]["lr"])


def kinds(rule: ContrastiveDivergence, model: RBM | None = None, **settings: Any) -> set[type]:
    watch = Kinds()
    chosen = {"optimizer": "sgd", "epochs": 1, "batch_size": 10, **settings}
    if isinstance(chosen["optimizer"], str):
        chosen["lr"] = 0.1
    tg.fit(make() if model is None else model, rule, tg.Dataset.from_arrays(DATA), callbacks=[watch], **chosen)
    return set(watch.seen)


def test_plain_sgd_is_applied_by_the_rule_and_nothing_else() -> None:
    assert kinds(ContrastiveDivergence()) == {Applied}
    assert kinds(ContrastiveDivergence(), optimizer=tg.optimizer("momentum", lr=0.1, weight_decay=1e-3)) == {Applied}
    assert kinds(ContrastiveDivergence(), optimizer=lambda own: torch.optim.SGD(own, lr=0.1)) == {Applied}
    for other in ("adam", "nesterov", tg.optimizer("sgd", lr=0.1, weight_decay=0.1, decay_biases=True)):
        assert kinds(ContrastiveDivergence(), optimizer=other) == {Update}
    assert kinds(ContrastiveDivergence(), clip_norm=1.0) == {Update}
    assert kinds(ContrastiveDivergence(), accumulate=2) == {Update}
    assert kinds(ContrastiveDivergence(backend="plain")) == {Update}


def test_what_a_fast_way_would_pass_over_takes_the_plain_one() -> None:
    class Halved(RBM):
        def hidden_given_visible(self, visible: torch.Tensor) -> torch.Tensor:
            return super().hidden_given_visible(visible) / 2

    class NoHiddenBias(ContrastiveDivergence):
        def gradients(self, rbm: Any, batch: Any, generator: torch.Generator) -> Any:
            found = super().gradients(rbm, batch, generator)
            return found._replace(hidden=0 * found.hidden)

    assert kinds(ContrastiveDivergence(), Halved(12, 8)) == {Update}
    model = make()
    assert kinds(NoHiddenBias(), model) == {Update}
    assert not model.hidden_bias.any()
    frozen = make()
    frozen.visible_bias.requires_grad_(False)
    assert kinds(ContrastiveDivergence(), frozen) == {Update}


def test_schedules_of_the_optimiser_count() -> None:
    watch, moved, still = Kinds(), make(), make()
    tg.fit(
        moved,
        ContrastiveDivergence(backend="fused"),
        tg.Dataset.from_arrays(DATA),
        optimizer="sgd",
        lr=0.4,
        schedule="linear",
        epochs=2,
        batch_size=10,
        callbacks=[watch],
        seed=0,
    )
    assert watch.rates == pytest.approx([0.4, 0.3, 0.2, 0.1])
    tg.fit(
        still,
        ContrastiveDivergence(backend="plain"),
        tg.Dataset.from_arrays(DATA),
        optimizer="sgd",
        lr=0.4,
        schedule="linear",
        epochs=2,
        batch_size=10,
        seed=0,
    )
    torch.testing.assert_close(moved.weight, still.weight, atol=1e-6, rtol=0)


def test_a_second_fit_begins_without_velocity() -> None:
    """As a new optimiser does: two fits by one rule are two fits by two rules."""
    found = []
    for again in (True, False):
        model, rule = make(), ContrastiveDivergence()
        for _ in range(2):
            kinds(rule, model, optimizer=tg.optimizer("momentum", lr=0.1), seed=0)
            rule = rule if again else ContrastiveDivergence()
        found.append(model.weight.detach())
    assert torch.equal(*found)


def test_in_a_loop_of_the_users_own() -> None:
    rule, model, batch = ContrastiveDivergence(backend="fused"), make(), tg.Batch(DATA)
    with pytest.raises(ConfigError, match="not plain SGD handed over"):
        next(rule(model, batch, make_generator("own loop")))
    rule.hand_over(PlainSGD([{"lr": 0.1, "momentum": 0.5}]))
    assert [type(step) for step in rule(model, batch, make_generator("own loop"))] == [Applied]


def test_what_the_kernels_cannot_do_is_refused_if_they_must() -> None:
    for model, reason in ((RBM(12, 3, hidden_units="gaussian"), "not plain binary"), (RBM(12, 3).half(), "float16")):
        rule = ContrastiveDivergence(backend="fused")
        rule.hand_over(PlainSGD([{"lr": 0.1}]))
        with pytest.raises(ConfigError, match=reason):
            next(rule(model, tg.Batch(DATA.to(model.weight.dtype)), make_generator("own loop")))
