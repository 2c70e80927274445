"""The guard: exact sentences, and weights that stay as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import NumericError
from threegen.gen2.mlp import MLP
from threegen.machine.torch_private import PlainStep
from threegen.rules.backprop import Backprop
from threegen.rules.rule import Rule, Step, Update
from threegen.training.fit import fit
from threegen.training.guards import Guard, _square_sum
from threegen.training.persistence.checkpoint import list_checkpoints, load_checkpoint

ADVICE = "lower the rate or clip the gradients (clip_norm=)"


class Fill(Rule):
    """Fills `.grad` with given values, one list a step."""

    def __init__(self, *values: dict[str, float], loss: float | None = None) -> None:
        self._steps = iter(values)
        self._loss = loss

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        for name, value in next(self._steps).items():
            parameter = model.get_parameter(name)
            parameter.grad = torch.full_like(parameter, value)
        yield Update() if self._loss is None else Update(loss=torch.tensor(self._loss))


def unit() -> nn.Linear:
    made = nn.Linear(3, 2)
    nn.init.ones_(made.weight)
    nn.init.zeros_(made.bias)
    return made


@pytest.mark.parametrize(
    ("steps", "rate", "sentence"),
    [
        ([{"weight": torch.nan}], 0.1, "gradient of weight is not finite at step 1; nothing was applied; " + ADVICE),
        ([{"bias": torch.inf}], 0.1, "gradient of bias is not finite at step 1; nothing was applied; " + ADVICE),
        ([{"weight": 1e30}], 1e10, "update of weight is not finite at step 1; nothing was applied; " + ADVICE),
        ([{"weight": 1.0}], 1e30, "update of weight reaches 1.0e+30 at step 1; nothing was applied; " + ADVICE),
    ],
)
def test_sentences_and_weights_left_alone(steps: list[dict[str, float]], rate: float, sentence: str) -> None:
    model = unit()
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(NumericError) as caught:
        fit(model, Fill(*steps), [torch.ones(1, 3)], optimizer="sgd", lr=rate)
    assert str(caught.value) == sentence
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_loss_that_is_not_finite(value: float) -> None:
    model = unit()
    with pytest.raises(NumericError) as caught:
        fit(model, Fill({"weight": 1.0}, loss=value), [torch.ones(1, 3)], optimizer="sgd", lr=0.1)
    assert str(caught.value) == f"loss is {value} at step 1; nothing was applied; {ADVICE}"
    assert bool((model.weight == 1).all())


def test_large_finite_gradients_are_applied() -> None:
    """1e25 squared overflows float32 in the cheap test; the exact one finds nothing wrong."""
    model = unit()
    fit(model, Fill({"weight": 1e25}), [torch.ones(1, 3)], optimizer="sgd", lr=1e-20)
    assert model.weight.flatten().tolist() == pytest.approx([1 - 1e5] * 6)


def test_rate_1e30_names_the_parameter_and_the_last_good_checkpoint(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    data = Dataset(torch.rand(64, 12, generator=generator), torch.arange(64) % 4)
    model = MLP([12, 16, 4], generator=generator)
    before = [parameter.clone() for parameter in model.parameters()]
    with pytest.raises(NumericError) as caught:
        fit(model, Backprop(), data, optimizer="sgd", lr=1e30, batch_size=16, out=tmp_path / "run", checkpoint_every=1)
    good = list_checkpoints(tmp_path / "run" / "checkpoints")[-1]
    told = str(caught.value)
    assert told.startswith("update of layers.linear1.weight reaches ")
    assert told.endswith(f" at step 1; nothing was applied; {ADVICE}; last good checkpoint: {good}")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(load_checkpoint(good).weights["layers.linear1.weight"], before[0])


def test_a_rate_that_is_merely_too_high_ends_by_the_loss() -> None:
    """Below the careful range: weights grow step by step until the loss overflows; the culprit is named."""
    data = Dataset(torch.rand(16, 3), torch.rand(16, 2))
    model = unit()
    with pytest.raises(NumericError) as caught:
        fit(model, Backprop("mse"), data, optimizer="sgd", lr=1e5, batch_size=16, epochs=40)
    told = str(caught.value)
    assert "weight" in told
    assert "nothing was applied" in told
    assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0),
        torch.arange(6.0).view(2, 3),
        torch.arange(6.0).view(2, 3).t(),
        torch.arange(24.0).view(2, 3, 4).transpose(0, 2),
        torch.arange(12.0)[::2],
        torch.arange(6.0).view(2, 3).to_sparse(),
        torch.zeros(0, 3),
        torch.arange(6.0, dtype=torch.float64),
    ],
)
def test_sums_of_squares_of_any_layout(tensor: Tensor) -> None:
    dense = tensor.to_dense() if tensor.is_sparse else tensor
    assert _square_sum(tensor).item() == dense.double().square().sum().item()


def test_both_ways_to_read_agree() -> None:
    """One by one on a CPU, all together on a GPU: here both on the CPU."""
    guard, model = Guard(unit()), unit()
    for parameter, own in zip(model.parameters(), guard.parameters, strict=True):
        own.grad = parameter.detach() * 3
    step = Update(loss=torch.tensor(2.5), error=torch.tensor(1, dtype=torch.int64))
    ways = []
    for together in (False, True):
        guard.on_cpu = not together
        ways.append((guard.check(step, 1), dict(guard.figures)))
    assert ways[0] == ways[1] == (54.0, {"loss": 2.5, "error": 1.0})
    guard.parameters[1].grad = torch.tensor([0.0, torch.nan])
    for together in (False, True):
        guard.on_cpu = not together
        with pytest.raises(NumericError, match="gradient of bias is not finite at step 9"):
            guard.check(step, 9)
    guard.on_cpu = False
    assert Guard(nn.Module()).check(Update(), 1) == 0.0


def test_gradients_with_a_bound_are_not_read_unless_they_are_to_be_clipped() -> None:
    model = unit()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    assert Guard(model).check(Update(7.0), 1) == 7.0
    for guard, bound in ((Guard(model, exact=True), 7.0), (Guard(model), float("inf")), (Guard(model), float("nan"))):
        with pytest.raises(NumericError, match="is not finite at step 1"):
            guard.check(Update(bound), 1)


def test_the_plain_step_equals_the_wrapped_one_and_gives_way_to_hooks_and_profilers() -> None:
    def stepped(plain: bool) -> Tensor:
        model = unit()
        adam = torch.optim.Adam(model.parameters(), lr=0.1, fused=True)
        step = PlainStep(adam) if plain else adam.step
        for value in (1.0, -2.0, 0.5):
            for parameter in model.parameters():
                parameter.grad = torch.full_like(parameter, value)
            step()
        return model.weight.detach()

    assert torch.equal(stepped(True), stepped(False))
    model = unit()
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    plain = PlainStep(sgd)
    assert plain._inner is not None  # otherwise this torch wraps otherwise, and the short way is not taken
    called: list[str] = []
    handle = sgd.register_step_post_hook(lambda *given: called.append("own"))
    plain()
    handle.remove()
    handle = register_optimizer_step_pre_hook(lambda *given: called.append("all"))
    plain()
    handle.remove()
    plain()
    assert called == ["own", "all"]
    with torch.profiler.profile() as profile:
        plain()
    assert any("Optimizer.step#SGD" in event.key for event in profile.key_averages())
    sgd.step = lambda: called.append("replaced")  # type: ignore[method-assign,assignment,return-value]
    PlainStep(sgd)()
    assert called[-1] == "replaced"


def test_a_rule_may_be_run_where_gradients_are_switched_off() -> None:
    data = Dataset(torch.rand(8, 3), torch.arange(8) % 2)
    models = [MLP([3, 2], generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    fit(models[0], Backprop(), data, batch_size=8)
    with torch.no_grad():
        fit(models[1], Backprop(), data, batch_size=8)
        assert not torch.is_grad_enabled()
    assert torch.equal(models[0].layers.linear1.weight, models[1].layers.linear1.weight)  # type: ignore[union-attr,arg-type]
