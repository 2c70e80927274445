"""One loop: updates by hand, orders, stages, callbacks, streams, stopping, generators, logs."""

from __future__ import annotations

import csv
import importlib
import io
import json
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, NumericError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP
from threegen.rules.backprop import Backprop
from threegen.rules.perceptron import PerceptronRule
from threegen.rules.rule import Applied, Rule, Step, Update, descend
from threegen.training.evaluate import evaluate
from threegen.training.fit import Callback, Training, fit
from threegen.training.optimizers.build import optimizer
from threegen.training.schedules import EpochSteps, RateSchedule
from threegen.training.stages import Stage
from threegen.training.stopping import EarlyStopping

fit_module = importlib.import_module("threegen.training.fit")  # `threegen.training.fit` is the function

Build = Callable[[], nn.Module]


def weights(model: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


class Watcher(Callback):
    """Notes what it is shown."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.rates: list[float] = []
        self.epochs: list[dict[str, Any]] = []

    def on_step(self, run: Training, step: Step) -> None:
        assert run.optimizer is not None
        self.rates.append(run.optimizer.param_groups[0]["lr"])

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        self.epochs.append(record)


class Spy(Rule):
    """Moves nothing; notes the order of the examples and its own draws."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.draws: list[float] = []

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        self.seen.append([] if batch.index is None else batch.index.tolist())
        self.draws.append(torch.rand((), generator=generator).item())
        yield Update()


# -- one update ------------------------------------------------------------------------------------------------------


def test_one_update_of_a_linear_unit_by_hand() -> None:
    """E = 1/2 (wx + b - t)^2 at w = 1, b = 0, x = 2, t = 1: dE/dw = (2 - 1) * 2, dE/db = 1; rate .1."""
    unit = nn.Linear(1, 1)
    with torch.no_grad():
        unit.weight.fill_(1.0)
        unit.bias.zero_()
    log = fit(unit, Backprop("sse"), [(torch.tensor([[2.0]]), torch.tensor([[1.0]]))], optimizer="sgd", lr=0.1)
    assert unit.weight.item() == pytest.approx(0.8)
    assert unit.bias.item() == pytest.approx(-0.1)
    assert log.steps == [{"stage": 0, "epoch": 0, "batch": 0, "update": 0, "loss": 0.5}]


@pytest.mark.parametrize("batch_norm", [False, True], ids=["written out", "by autograd"])
def test_a_run_equals_the_loop_that_one_would_write(batch_norm: bool) -> None:
    """The oracle is plain PyTorch over the same batches in order; a plain chain of layers sums in another order."""
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(3))
    y = torch.arange(40) % 3
    ours = MLP([6, 5, 3], batch_norm=batch_norm, generator=torch.Generator().manual_seed(0))
    theirs = MLP([6, 5, 3], batch_norm=batch_norm, generator=torch.Generator().manual_seed(0))
    fit(ours, Backprop(), Dataset(x, y), optimizer="adam", lr=0.01, epochs=3, batch_size=16, shuffle=False)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, fused=True)
    for _ in range(3):
        for start in range(0, 40, 16):
            adam.zero_grad()
            F.cross_entropy(theirs(x[start : start + 16]), y[start : start + 16]).backward()
            adam.step()
    if batch_norm:
        assert same(ours, theirs)
    else:
        torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()), rtol=1e-5, atol=1e-6)


def test_gradients_left_by_the_user_are_no_part_of_the_first_step(data: Dataset) -> None:
    clean, soiled = (MLP([12, 4], generator=torch.Generator().manual_seed(0)) for _ in range(2))
    F.cross_entropy(soiled(data.inputs), data.targets).backward()  # type: ignore[arg-type]
    for model in (clean, soiled):
        fit(model, Backprop(), data, batch_size=100, optimizer="sgd", lr=0.1)
    assert same(clean, soiled)
    assert all(parameter.grad is None for parameter in soiled.parameters())


def test_only_the_module_of_a_stage_moves(data: Dataset, build: Build) -> None:
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.layers.linear1.requires_grad_(False)  # type: ignore[union-attr]
    fit(model, Backprop(), data, batch_size=100, epochs=1)
    moved = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert "layers.linear1.weight" not in moved
    assert "layers.linear2.weight" in moved


def test_constraints_hold_after_every_update(data: Dataset) -> None:
    class Positive(nn.Linear):
        def project(self) -> None:
            with torch.no_grad():
                self.weight.clamp_(min=0.0)

    model = nn.Sequential(Positive(12, 4))
    least: list[float] = []

    class Look(Callback):
        def on_step(self, run: Training, step: Step) -> None:
            least.append(model[0].weight.min().item())

    fit(model, Backprop(), data, optimizer="sgd", lr=1.0, epochs=2, batch_size=10, callbacks=[Look()])
    assert len(least) == 20
    assert min(least) == 0.0


# -- order, seeds, generators ----------------------------------------------------------------------------------------


def orders(data: Dataset, **settings: Any) -> list[list[int]]:
    rule = Spy()
    fit(MLP([12, 4]), rule, data, batch_size=30, **settings)
    return rule.seen


def test_the_order_depends_on_the_seed_and_the_epoch(data: Dataset) -> None:
    first = orders(data, epochs=2, seed=1)
    assert [len(batch) for batch in first] == [30, 30, 30, 10] * 2
    for epoch in (first[:4], first[4:]):
        assert sorted(chain.from_iterable(epoch)) == list(range(100))
    assert first[:4] != first[4:]
    assert orders(data, epochs=2, seed=1) == first
    assert orders(data, epochs=2, seed=2) != first


def test_without_shuffling_the_order_is_that_of_the_data(data: Dataset) -> None:
    assert list(chain.from_iterable(orders(data, shuffle=False))) == list(range(100))


def test_the_order_of_an_epoch_does_not_depend_on_what_was_drawn_before(data: Dataset) -> None:
    """Otherwise a resumed run would have to replay all epochs."""
    model = MLP([12, 8, 4], dropout=0.5)
    rule = Spy()
    fit(model, rule, data, batch_size=30, epochs=2, seed=1, validation=data)
    assert rule.seen == orders(data, epochs=2, seed=1)


def test_dropout_is_reproducible_and_follows_the_seed(data: Dataset, build: Build) -> None:
    def trained(seed: int) -> nn.Module:
        torch.manual_seed(torch.seed())  # whatever the user's generators hold must not matter
        model = build()
        fit(model, Backprop(), data, batch_size=100, epochs=2, seed=seed)
        return model

    assert same(trained(0), trained(0))
    assert not same(trained(0), trained(1))


def test_random_encoders_are_reproducible(data: Dataset) -> None:
    def trained(seed: int) -> nn.Module:
        model = SpikingMLP([12, 16, 4], steps=4, generator=torch.Generator().manual_seed(0))
        fit(model, Backprop(), data, epochs=2, batch_size=20, seed=seed)
        return model

    assert same(trained(0), trained(0))
    assert not same(trained(0), trained(1))


def test_torch_generators_are_as_before_also_after_an_error(data: Dataset, build: Build) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(build(), Backprop(), data, batch_size=100, epochs=1, validation=data)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(NumericError):
        fit(build(), Backprop(), Dataset(torch.full((4, 12), torch.nan), torch.zeros(4, dtype=torch.int64)))
    assert torch.equal(torch.get_rng_state(), before)


def test_fit_twice_on_equal_nets_gives_equal_logs(data: Dataset, build: Build) -> None:
    logs = [fit(build(), Backprop(), data, batch_size=100, epochs=2) for _ in range(2)]
    assert logs[0].steps == logs[1].steps
    assert len(logs[0].steps) == 2


def test_the_model_ends_in_eval_mode_and_trained_in_training_mode(data: Dataset, build: Build) -> None:
    model = build().eval()
    modes: list[bool] = []

    class Look(Callback):
        def on_step(self, run: Training, step: Step) -> None:
            modes.append(run.model.training)

    fit(model, Backprop(), data, batch_size=100, validation=data, epochs=2, callbacks=[Look()])
    assert modes == [True, True]
    assert not any(module.training for module in model.modules())


# -- data ------------------------------------------------------------------------------------------------------------


def test_a_list_of_batches_and_a_loader_without_shuffle_equal_the_data_set(data: Dataset) -> None:
    assert data.targets is not None
    models = [MLP([12, 4], generator=torch.Generator().manual_seed(0)) for _ in range(3)]
    fit(models[0], Backprop(), data, batch_size=25, epochs=2, shuffle=False)
    fit(models[1], Backprop(), list(data.batches(25)), epochs=2)
    fit(models[2], Backprop(), DataLoader(TensorDataset(data.inputs, data.targets), batch_size=25), epochs=2)
    assert same(models[0], models[1])
    assert same(models[0], models[2])


def test_batches_may_be_mappings_tensors_and_pairs(data: Dataset) -> None:
    assert data.targets is not None
    x, y = data.inputs, data.targets

    class Sees(Spy):
        def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
            seen.append((len(batch), batch.targets is not None))
            yield Update()

    seen: list[tuple[int, bool]] = []
    fit(MLP([12, 4]), Sees(), [{"inputs": x, "targets": y}, x[:7], [x[:3], y[:3]], Batch(x[:2])])
    assert seen == [(100, True), (7, False), (3, True), (2, False)]


def test_data_without_a_length_are_walked_to_their_end(data: Dataset) -> None:
    class Endless:
        def __iter__(self) -> Iterator[Batch]:
            return iter(list(data.batches(25)))

    log = fit(MLP([12, 4]), Backprop(), Endless(), epochs=2)
    assert len(log.steps) == 8
    with pytest.raises(ConfigError, match="the data must have a length"):
        fit(MLP([12, 4]), Backprop(), Endless(), schedule="cosine")


def test_an_iterator_is_refused_it_would_be_empty_in_the_second_epoch(data: Dataset) -> None:
    with pytest.raises(DataError, match="read only once"):
        fit(MLP([12, 4]), Backprop(), iter(list(data.batches(10))))


def test_a_batch_larger_than_the_data_warns_once(data: Dataset) -> None:
    with pytest.warns(UserWarning, match=r"batch_size 128 is larger than 'toy' \(100\)") as warned:
        fit(MLP([12, 4]), Backprop(), data, epochs=3)
    assert len(warned) == 1


def test_shuffle_false_over_a_shuffling_loader_is_refused(data: Dataset) -> None:
    assert data.targets is not None
    loader = DataLoader(TensorDataset(data.inputs, data.targets), batch_size=10, shuffle=True)
    with pytest.raises(ConfigError, match="draws at random"):
        fit(MLP([12, 4]), Backprop(), loader, shuffle=False)


# -- rules with other yields -----------------------------------------------------------------------------------------


def test_the_perceptron_yields_once_a_mistake() -> None:
    """AND from zero, rate .1, over (1,1) (1,0) (0,1) (0,0), ten passes: weights [.1 .2], bias -.2 (issue 2)."""
    x = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    unit = Perceptron(2)
    data = Dataset(x, torch.tensor([1, 0, 0, 0]))
    log = fit(unit, PerceptronRule(), data, lr=0.1, epochs=10, batch_size=4, shuffle=False)
    assert unit.weight.tolist()[0] == pytest.approx([0.1, 0.2])
    assert unit.bias.item() == pytest.approx(-0.2)
    assert log.final["updates"] == len(log.steps) < 40


def test_applied_steps_are_logged_and_looked_at_but_not_stepped() -> None:
    class Kernel(Rule):
        def __init__(self, values: list[float]) -> None:
            self.values = iter(values)

        def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
            with torch.no_grad():
                model.weight.fill_(next(self.values))  # type: ignore[operator,union-attr]
            yield Applied(change=torch.tensor(1.0))

    model = nn.Linear(1, 1)
    batches = [torch.ones(1, 1)] * 2
    log = fit(model, Kernel([2.0, 3.0]), batches, optimizer="sgd", lr=0.1)
    assert model.weight.item() == 3.0
    assert [step["change"] for step in log.steps] == [1.0, 1.0]
    with pytest.raises(NumericError, match=r"^weight is not finite at step 2; the kernel had moved the weights"):
        fit(model, Kernel([2.0, torch.inf]), batches, optimizer="sgd", lr=0.1)


# -- stages ----------------------------------------------------------------------------------------------------------


def test_stages_run_in_order_with_their_own_data_module_and_settings(data: Dataset) -> None:
    model = MLP([12, 6, 4], generator=torch.Generator().manual_seed(0))
    first, second = model.layers.linear1, model.layers.linear2
    happened: list[str] = []
    shapes: list[tuple[int, ...]] = []

    class Pull(Rule):
        """Gradient 1 everywhere: with sgd every weight falls by the rate."""

        def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
            shapes.append(tuple(batch.inputs.shape))
            for parameter in model.parameters():
                descend(parameter, torch.ones_like(parameter))
            yield Update()

    def encode(given: Dataset) -> Dataset:
        with torch.no_grad():
            return Dataset(first(given.inputs), given.targets)  # type: ignore[operator]

    before = first.weight.clone(), second.weight.clone()  # type: ignore[union-attr,operator]
    stages = [
        Stage("one", Pull(), first, optimizer="sgd", lr=0.1, batch_size=50,  # type: ignore[arg-type]
              begin=lambda: happened.append("begin one"), end=lambda: happened.append("end one")),
        Stage("two", Pull(), second, encode, optimizer="sgd", lr=0.01, epochs=2, batch_size=100,  # type: ignore[arg-type]
              begin=lambda: happened.append("begin two"), end=lambda: happened.append("end two")),
    ]  # fmt: skip
    log = fit(model, stages, data)
    assert happened == ["begin one", "end one", "begin two", "end two"]
    assert shapes == [(50, 12), (50, 12), (100, 6), (100, 6)]
    assert torch.allclose(first.weight, before[0] - 0.2)  # type: ignore[arg-type,union-attr]
    assert torch.allclose(second.weight, before[1] - 0.02)  # type: ignore[arg-type,union-attr]
    assert [(record["stage"], record["epoch"]) for record in log.epochs] == [(0, 0), (1, 0), (1, 1)]


def test_settings_beside_a_list_of_stages_are_refused(data: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"^epochs, shuffle: pass it in each Stage"):
        fit(MLP([12, 4]), [Stage("one", Backprop())], data, epochs=2, shuffle=False)


def test_no_epochs_leave_the_model_as_it_was(data: Dataset, build: Build) -> None:
    model = build()
    before = weights(model)
    fit(model, Backprop(), data, batch_size=100, epochs=0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))


# -- schedules, clipping, precision ----------------------------------------------------------------------------------


def rates(data: Dataset, schedule: Any, epochs: int = 2) -> list[float]:
    watcher = Watcher()
    fit(MLP([12, 4]), Backprop(), data, optimizer="sgd", lr=0.5, epochs=epochs, batch_size=50, schedule=schedule,
        callbacks=[watcher])  # fmt: skip
    return watcher.rates


def test_schedules_count_batches(data: Dataset) -> None:
    """Four batches stand at 0, 1/4, 1/2 and 3/4 of the stage; cosine: (1 + cos(pi f)) / 2."""
    assert rates(data, None) == [0.5] * 4
    assert rates(data, "linear") == pytest.approx([0.5, 0.375, 0.25, 0.125])
    assert rates(data, "cosine") == pytest.approx([0.5, 0.4267767, 0.25, 0.0732233])
    assert rates(data, RateSchedule("constant", warmup=0.5)) == pytest.approx([0.0, 0.25, 0.5, 0.5])
    assert rates(data, RateSchedule("linear", final=0.2)) == pytest.approx([0.5, 0.4, 0.3, 0.2])
    one_cycle = rates(data, "one-cycle", epochs=5)
    assert one_cycle[0] == 0.0
    assert max(one_cycle) == pytest.approx(0.5)
    assert one_cycle.index(max(one_cycle)) == 3  # .3 of ten batches


def test_epoch_steps_set_options_of_the_optimizer_and_values_of_the_rule(data: Dataset) -> None:
    class Counts(Spy):
        steps = 1

        def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
            seen.append(self.steps)
            yield Update()

    seen: list[int] = []
    assert rates(data, EpochSteps("lr", {0: 0.1, 1: 0.2}), epochs=3) == [0.1, 0.1, 0.2, 0.2, 0.2, 0.2]
    fit(MLP([12, 4]), Counts(), data, epochs=3, batch_size=100, schedule=EpochSteps("steps", {0: 3, 2: 6}))
    assert seen == [3, 3, 6]
    with pytest.raises(ConfigError, match=r"neither Adam nor Backprop has 'momentun'"):
        fit(MLP([12, 4]), Backprop(), data, batch_size=50, schedule=EpochSteps("momentun", {0: 3}))


def test_clipping_scales_the_common_norm() -> None:
    """Gradients 3 and 4 have norm 5; clipped to 1 they are .6 and .8."""

    class Fixed(Rule):
        def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
            descend(model.weight, torch.tensor([[3.0]]))  # type: ignore[arg-type]
            descend(model.bias, torch.tensor([4.0]))  # type: ignore[arg-type]
            yield Update()

    for most, expected in ((1.0, (-0.6, -0.8)), (5.0, (-3.0, -4.0)), (50.0, (-3.0, -4.0))):
        unit = nn.Linear(1, 1)
        with torch.no_grad():
            unit.weight.zero_()
            unit.bias.zero_()
        fit(unit, Fixed(), [torch.ones(1, 1)], optimizer="sgd", lr=1.0, clip_norm=most)
        assert (unit.weight.item(), unit.bias.item()) == pytest.approx(expected)


def test_clipping_of_gradients_whose_squares_overflow() -> None:
    """1e30 squared is beyond float32: the exact norm is found in float64, and the clipped step is taken."""

    class Huge(Rule):
        def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
            descend(model.weight, torch.full_like(model.weight, 1e30))  # type: ignore[arg-type]
            yield Update()

    unit = nn.Linear(4, 1, bias=False)
    nn.init.zeros_(unit.weight)
    fit(unit, Huge(), [torch.ones(1, 4)], optimizer="sgd", lr=1.0, clip_norm=2.0)
    assert unit.weight.tolist()[0] == pytest.approx([-1.0] * 4)


def test_bf16_runs_keep_float32_weights_and_learn(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "multiplies_bfloat16", lambda: True)
    model = MLP([12, 32, 4], generator=torch.Generator().manual_seed(0))
    log = fit(model, Backprop(), data, epochs=30, batch_size=20, lr=1e-2, precision="bf16")
    other = MLP([12, 32, 4], generator=torch.Generator().manual_seed(0))
    fit(other, Backprop(), data, epochs=30, batch_size=20, lr=1e-2)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    assert log.epochs[-1]["loss"] < 0.7 * log.epochs[0]["loss"]
    assert not same(model, other)
    assert not torch.is_autocast_enabled("cpu")


def test_bf16_warns_on_a_processor_without_its_instructions(
    data: Dataset, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "multiplies_bfloat16", lambda: False)
    with pytest.warns(UserWarning, match="no instructions for bfloat16.* use precision='fp32'"):
        fit(build(), Backprop(), data, batch_size=100, precision="bf16")
    fit(build(), Backprop(), data, batch_size=100)  # says nothing


# -- validation, early stopping, callbacks ---------------------------------------------------------------------------


def test_validation_figures_are_those_of_evaluate(data: Dataset, build: Build) -> None:
    model = build()
    log = fit(model, Backprop(), data, batch_size=100, epochs=2, validation=data)
    found = evaluate(model, data, seed=0)
    assert log.final["validation_accuracy"] == found.accuracy
    assert log.final["validation_loss"] == found.loss


def test_validation_does_not_change_the_training(data: Dataset, build: Build) -> None:
    models = [build() for _ in range(2)]
    fit(models[0], Backprop(), data, batch_size=100, epochs=2)
    fit(models[1], Backprop(), data, batch_size=100, epochs=2, validation=data)
    assert same(models[0], models[1])


class Scripted(Rule):
    """Sets the only weight to the number of the update and reports losses from a list."""

    def __init__(self, losses: list[float]) -> None:
        self.losses = losses
        self.count = 0

    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        self.count += 1
        descend(model.weight, torch.full_like(model.weight, -1.0))  # type: ignore[arg-type]
        yield Update(loss=torch.tensor(self.losses[self.count - 1]))


def counter() -> nn.Linear:
    unit = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(unit.weight)
    return unit


def test_early_stopping_restores_the_best_weights() -> None:
    """Losses 5 4 3 6 7 8 with patience 2: stops after the fifth epoch, the weights of the third come back."""
    unit, watch = counter(), EarlyStopping(2, "loss")
    log = fit(unit, Scripted([5, 4, 3, 6, 7, 8]), [torch.ones(1, 1)], lr=1.0, epochs=6, stopping=watch)
    assert len(log.epochs) == 5
    assert unit.weight.item() == 3.0
    assert (watch.best, watch.best_epoch) == (3.0, 2)
    assert log.stopped == "no better loss in 2 epochs; best was 3"


def test_early_stopping_that_never_stops_restores_too() -> None:
    unit = counter()
    log = fit(unit, Scripted([5, 3, 4]), [torch.ones(1, 1)], lr=1.0, epochs=3, stopping=EarlyStopping(3, "loss"))
    assert (unit.weight.item(), log.stopped) == (2.0, "")
    unit = counter()
    fit(unit, Scripted([5, 3, 4]), [torch.ones(1, 1)], lr=1.0, epochs=3,
        stopping=EarlyStopping(3, "loss", restore=False))  # fmt: skip
    assert unit.weight.item() == 3.0


def test_each_stage_is_stopped_for_itself() -> None:
    """First stage: best at its second epoch, ended after the fourth. The second starts anew from those weights."""
    unit = counter()
    stages = [
        Stage("one", Scripted([5, 3, 4, 4, 1]), optimizer="sgd", lr=1.0, epochs=5),
        Stage("two", Scripted([9, 8, 7]), optimizer="sgd", lr=1.0, epochs=3),
    ]
    log = fit(unit, stages, [torch.ones(1, 1)], stopping=EarlyStopping(2, "loss"))
    assert [(record["stage"], record["epoch"]) for record in log.epochs] == [
        (0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2),
    ]  # fmt: skip
    assert unit.weight.item() == 2.0 + 3.0
    assert log.stopped == ""


def test_a_least_gain_and_a_better_that_is_higher() -> None:
    watch = EarlyStopping(1, "accuracy", least_gain=0.1)
    unit = counter()
    assert not watch.see({"accuracy": 0.5}, unit, 0)
    assert watch.see({"accuracy": 0.55}, unit, 1)
    watch.reset()
    assert [watch.see({"accuracy": value}, unit, 0) for value in (0.5, 0.65, 0.8)] == [False] * 3


def test_a_figure_that_is_not_finite_is_no_best() -> None:
    watch = EarlyStopping(2, "loss")
    assert [watch.see({"loss": value}, counter(), 0) for value in (torch.nan, 2.0, torch.inf, 3.0)] == [
        False, False, False, True,
    ]  # fmt: skip
    assert watch.best == 2.0


def test_a_callback_may_stop_at_an_epoch_or_at_a_step(data: Dataset) -> None:
    class AtEpoch:
        def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
            if record["epoch"] == 1:
                run.stop("enough")

    class AtStep:
        def on_step(self, run: Training, step: Step) -> None:
            if run.progress.updates == 3:
                run.stop("enough steps")

    log = fit(MLP([12, 4]), Backprop(), data, epochs=5, batch_size=50, callbacks=[AtEpoch()])  # type: ignore[list-item]
    assert (len(log.epochs), log.stopped) == (2, "enough")
    log = fit(MLP([12, 4]), Backprop(), data, epochs=5, batch_size=25, callbacks=AtStep())  # type: ignore[arg-type]
    assert (len(log.steps), log.stopped) == (3, "enough steps")


def test_the_rate_reaches_the_optimizer_of_the_rule(data: Dataset) -> None:
    watcher = Watcher()
    fit(Perceptron(12, 4), PerceptronRule(), data, batch_size=100, callbacks=[watcher])
    assert set(watcher.rates) == {1.0}  # the perceptron's own default
    watcher = Watcher()
    fit(MLP([12, 4]), Backprop(), data, batch_size=100, lr=0.25, callbacks=[watcher])
    assert watcher.rates == [0.25]


# -- logs ------------------------------------------------------------------------------------------------------------


def test_the_mean_of_an_epoch_is_that_of_its_steps(data: Dataset) -> None:
    log = fit(MLP([12, 4]), Backprop(), data, epochs=2, batch_size=30)
    for epoch in (0, 1):
        losses = [step["loss"] for step in log.steps if step["epoch"] == epoch]
        assert log.epochs[epoch]["loss"] == pytest.approx(sum(losses) / 4)
    assert [step["batch"] for step in log.steps] == [0, 1, 2, 3] * 2
    assert log.final is log.epochs[-1]
    assert log.seconds > 0


def test_log_files_hold_what_the_log_holds(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    log = fit(MLP([12, 4]), Backprop(), data, epochs=3, batch_size=1, validation=data, out=out)
    assert len(log.steps) == 300
    assert [json.loads(line) for line in (out / "steps.jsonl").read_text().splitlines()] == log.steps
    assert [json.loads(line) for line in (out / "epochs.jsonl").read_text().splitlines()] == log.epochs
    rows = list(csv.DictReader(io.StringIO((out / "epochs.csv").read_text())))
    assert [float(row["validation_loss"]) for row in rows] == [r["validation_loss"] for r in log.epochs]
    assert sorted(path.name for path in out.iterdir()) == ["checkpoints", "epochs.csv", "epochs.jsonl", "steps.jsonl"]


def test_tensorboard_files_hold_the_same_figures(data: Dataset, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = fit(MLP([12, 4]), Backprop(), data, epochs=2, batch_size=50, out=tmp_path / "run", tensorboard=True)
    events = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    steps = events.Scalars("step/loss")
    assert [event.step for event in steps] == [0, 1, 2, 3]
    assert [event.value for event in steps] == pytest.approx([step["loss"] for step in log.steps])
    assert [event.value for event in events.Scalars("epoch/loss")] == pytest.approx([r["loss"] for r in log.epochs])


def test_tensorboard_needs_a_folder(data: Dataset) -> None:
    with pytest.raises(ConfigError, match=re.escape("tensorboard=True needs a folder")):
        fit(MLP([12, 4]), Backprop(), data, batch_size=100, tensorboard=True)


def test_a_bar_is_drawn_on_standard_error(data: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    fit(MLP([12, 4]), Backprop(), data, epochs=2, batch_size=10, progress=True, title="mlp")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "mlp train" in shown.err
    assert "20/20" in shown.err


def test_weight_decay_leaves_biases_alone() -> None:
    """Gradient zero, sgd with rate .1 and decay .5: weights shrink by 5 %, the bias stays, unless asked for."""

    class Still(Rule):
        def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
            for parameter in model.parameters():
                descend(parameter, torch.zeros_like(parameter))
            yield Update()

    for decay_biases, bias in ((False, 1.0), (True, 0.95)):
        unit = nn.Linear(2, 1)
        nn.init.ones_(unit.weight)
        nn.init.ones_(unit.bias)
        choice = optimizer("sgd", lr=0.1, weight_decay=0.5, decay_biases=decay_biases)
        fit(unit, Still(), [torch.ones(1, 2)], optimizer=choice)
        assert unit.weight.tolist()[0] == pytest.approx([0.95, 0.95])
        assert unit.bias.item() == pytest.approx(bias)


def test_auto_device_trains_somewhere(data: Dataset) -> None:
    assert len(fit(MLP([12, 4]), Backprop(), data, batch_size=100, device="auto").steps) == 1
