"""`fit` and `evaluate` for people who bring their own data, optimisers and batches that are too large."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from threegen.datasets.dataset import Data, Dataset
from threegen.errors import ConfigError, DataError
from threegen.gen2.mlp import MLP
from threegen.gen2.rbm import RBM
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.log import TrainingLog


class Items(TorchDataset[tuple[Tensor, int]]):
    """A torch Dataset that fetches one example at a time."""

    def __init__(self, data: Dataset) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        assert self.data.targets is not None
        return self.data.inputs[index], int(self.data.targets[index])


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter([torch.rand(12)])


def net(seed: int = 0) -> MLP:
    return MLP([12, 8, 4], generator=torch.Generator().manual_seed(seed))


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def kinds(data: Dataset) -> dict[str, Any]:
    """The same examples in every kind that is taken; loaders and lists in batches of 25."""
    x, y = data.inputs, data.targets
    assert y is not None
    return {
        "Dataset": data,
        "tensors": (x, y),
        "numpy": (x.numpy(), y.numpy()),
        "torch Dataset": Items(data),
        "DataLoader": DataLoader(TensorDataset(x, y), batch_size=25),
        "batches": list(data.batches(25)),
    }


@pytest.mark.parametrize("kind", ["Dataset", "tensors", "numpy", "torch Dataset", "DataLoader", "batches"])
def test_every_kind_of_data_trains_and_evaluates_alike(kind: str, data: Dataset) -> None:
    given, expected = net(), net()
    wanted = fit(expected, Backprop(), data, epochs=2, batch_size=25, shuffle=False, validation=data)
    found = fit(given, Backprop(), kinds(data)[kind], epochs=2, batch_size=25, shuffle=False,
                validation=kinds(data)[kind])  # fmt: skip
    assert same(given, expected)
    assert found.final["validation_accuracy"] == wanted.final["validation_accuracy"]
    assert torch.equal(evaluate(given, kinds(data)[kind]).confusion, evaluate(expected, data).confusion)


def test_a_torch_dataset_is_shuffled_like_data_in_memory(data: Dataset) -> None:
    models = net(), net()
    fit(models[0], Backprop(), data, epochs=2, batch_size=16, seed=5)
    fit(models[1], Backprop(), Items(data), epochs=2, batch_size=16, seed=5)
    assert same(*models)


def test_values_to_be_met_are_targets_too() -> None:
    """Linear regression by arrays: y = 2 x."""
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    model = nn.Linear(1, 1)
    fit(model, Backprop("mse"), (x, 2 * x), optimizer="sgd", lr=0.3, epochs=60, batch_size=16)
    assert model.weight.item() == pytest.approx(2, abs=0.02)


def test_what_is_refused(data: Dataset) -> None:
    with pytest.raises(DataError, match=r"wrap it: DataLoader\(data, batch_size=...\)"):
        fit(net(), Backprop(), Stream())
    with pytest.raises(DataError, match="no labels"):
        evaluate(net(), DataLoader(data.inputs, batch_size=10))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"pass data\.test"):
        evaluate(net(), Data("toy", data, data))


def test_hidden_units_are_no_classes(data: Dataset) -> None:
    with pytest.raises(ConfigError, match="RBM does not classify"):
        evaluate(RBM(12, 4), data)


def test_equal_scores_are_undecided(data: Dataset) -> None:
    model = net()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    found = evaluate(model, data)
    assert found.undecided == len(data)
    assert "100.00% undecided" in str(found)
    assert "undecided" not in str(evaluate(net(), data))


# -- optimisers ----------------------------------------------------------------------------------------------------


def test_an_object_a_class_and_a_name_are_the_same_optimizer(data: Dataset) -> None:
    models = [net() for _ in range(4)]
    fit(models[0], Backprop(), data, optimizer="adam", lr=0.01, epochs=2, batch_size=20)
    fit(models[1], Backprop(), data, optimizer=torch.optim.Adam, lr=0.01, epochs=2, batch_size=20)
    own = torch.optim.Adam(models[2].parameters(), lr=0.01)
    fit(models[2], Backprop(), data, optimizer=own, epochs=2, batch_size=20)
    fit(models[3], Backprop(), data, optimizer=lambda p: torch.optim.Adam(p, lr=0.01), epochs=2, batch_size=20)
    assert same(models[1], models[2])
    assert same(models[1], models[3])
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)  # the named one takes torch's fused kernel
    assert own.state  # it is the user's own that has stepped


def test_an_object_over_a_part_of_the_parameters_is_refused(data: Dataset) -> None:
    model = net()
    part = torch.optim.SGD(list(model.parameters())[:1], lr=0.1)
    with pytest.raises(ConfigError, match="exactly the 4 parameters that are trained: 3 of them are missing"):
        fit(model, Backprop(), data, batch_size=50, optimizer=part)
    for parameter in list(model.parameters())[1:]:
        parameter.requires_grad_(False)
    fit(model, Backprop(), data, batch_size=50, optimizer=part)  # what is frozen is not trained
    with pytest.raises(ConfigError, match="lr works with"):
        fit(model, Backprop(), data, batch_size=50, optimizer=part, lr=0.1)


# -- gradients of several batches ----------------------------------------------------------------------------------


def test_accumulated_batches_equal_one_large_batch(data: Dataset) -> None:
    """100 examples: batches of 10, four an update (the last update has two), are updates of 40, 40 and 20."""
    models = net(), net()
    first = fit(models[0], Backprop(), data, optimizer="sgd", lr=0.5, batch_size=10, accumulate=4, epochs=3)
    second = fit(models[1], Backprop(), data, optimizer="sgd", lr=0.5, batch_size=40, epochs=3)
    assert first.final["updates"] == second.final["updates"] == 9
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_accumulated_gradients_are_clipped_together(data: Dataset) -> None:
    models = net(), net()
    for model, how in zip(models, ({"batch_size": 10, "accumulate": 4}, {"batch_size": 40}), strict=True):
        fit(model, Backprop(), data, optimizer="sgd", lr=0.5, clip_norm=0.05, **how)  # type: ignore[arg-type]
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_a_run_that_accumulates_resumes_bit_equal(data: Dataset, tmp_path: Path) -> None:
    """Checkpoints lie between updates only, whatever `checkpoint_every` says."""
    from threegen.training.fit import Callback

    class Stop(Callback):
        def on_step(self, run: Any, step: Any) -> None:
            if run.progress.updates == 4:
                raise RuntimeError

    def train(model: nn.Module, **settings: Any) -> TrainingLog:
        return fit(model, Backprop(), data, optimizer="adam", batch_size=10, accumulate=3, epochs=3, **settings)

    whole, again = net(), net()
    train(whole)
    with pytest.raises(RuntimeError):
        train(net(), out=tmp_path / "run", checkpoint_every=1, callbacks=Stop())
    train(again, out=tmp_path / "run", resume=True)
    assert same(whole, again)


# -- what is shown -------------------------------------------------------------------------------------------------


def test_a_log_draws_and_shows_itself(data: Dataset, tmp_path: Path) -> None:
    log = fit(net(), Backprop(), data, epochs=3, batch_size=100, validation=data)
    drawing = log.plot(tmp_path / "log.svg")
    assert {axis.get_title() for axis in drawing.axes} == {"loss", "accuracy"}
    both = next(axis for axis in drawing.axes if axis.get_title() == "loss")
    assert [len(line.get_ydata()) for line in both.lines] == [3, 3]  # training and validation
    assert "<svg" in (tmp_path / "log.svg").read_text()
    assert repr(log).startswith("TrainingLog(3 epochs, 3 updates: ")
    assert "<td>2</td>" in log._repr_html_()
    assert len(log.plot(figures=["loss"]).axes) == 1
    with pytest.raises(ConfigError, match="no figures yet"):
        TrainingLog().plot()


def test_an_evaluation_and_data_show_themselves(data: Dataset) -> None:
    found = evaluate(net(), data)
    assert repr(found) == f"Evaluation({found})"
    assert found._repr_html_().count("<tr>") == 5
    assert "25" in data._repr_html_() or "<td>" in data._repr_html_()
    assert Data("toy", data, data)._repr_html_().count("<table>") == 2
