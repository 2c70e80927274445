"""A checkpoint knows what made it, and where its order of batches comes from."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, Sampler, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP
from threegen.rules.backprop import Backprop
from threegen.training.fit import Callback, fit


class Stop(Callback):
    def __init__(self, updates: int) -> None:
        self.updates = updates

    def on_step(self, run: Any, step: Any) -> None:
        if run.progress.updates == self.updates:
            raise RuntimeError


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def crash(out: Path, data: Any, model: nn.Module | None = None, at: int = 5, **settings: Any) -> None:
    with pytest.raises(RuntimeError):
        fit(model or MLP([12, 8, 4], generator=seeded()), Backprop(), data, out=out, callbacks=Stop(at),
            checkpoint_every=2, **{"epochs": 3, "batch_size": 16, **settings})  # fmt: skip


def go_on(out: Path, data: Any, model: nn.Module | None = None, **settings: Any) -> nn.Module:
    model = model or MLP([12, 8, 4], generator=seeded())
    fit(model, Backprop(), data, out=out, resume=True, **{"epochs": 3, "batch_size": 16, **settings})
    return model


# -- what made it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "now", "sentence"),
    [
        (lambda: MLP([12, 8, 4], activation="relu"), lambda: MLP([12, 8, 4], activation="tanh"), "'relu'"),
        (lambda: MLP([12, 8, 4], dropout=0.1), lambda: MLP([12, 8, 4], dropout=0.2), "0.1, this run has 0.2"),
        (lambda: SpikingMLP([12, 8, 4], steps=3), lambda: SpikingMLP([12, 8, 4], steps=4), "3, this run has 4"),
        (lambda: nn.Sequential(nn.Linear(12, 4), nn.ReLU()), lambda: nn.Sequential(nn.Linear(12, 4), nn.GELU()),
         "ReLU"),
    ],
)  # fmt: skip
def test_another_model_of_the_same_sizes_is_refused(
    made: Callable[[], nn.Module], now: Callable[[], nn.Module], sentence: str, data: Dataset, tmp_path: Path
) -> None:
    crash(tmp_path / "run", data, made())
    with pytest.raises(CheckpointError, match=r"was written with model\.") as caught:
        go_on(tmp_path / "run", data, now())
    assert sentence in str(caught.value)
    go_on(tmp_path / "run", data, made())


def test_another_precision_is_refused(data: Dataset, tmp_path: Path) -> None:
    crash(tmp_path / "run", data)
    with pytest.raises(CheckpointError, match="was written with precision 'fp32', this run has 'bf16'"):
        go_on(tmp_path / "run", data, precision="bf16")


def test_another_rate_inside_a_function_is_refused(data: Dataset, tmp_path: Path) -> None:
    def at(rate: float) -> Callable[[Any], torch.optim.Optimizer]:
        return lambda parameters: torch.optim.SGD(parameters, lr=rate)

    crash(tmp_path / "run", data, optimizer=at(0.1))
    with pytest.raises(CheckpointError, match=r"lr 0\.1 of its optimizer, this run has 0\.2"):
        go_on(tmp_path / "run", data, optimizer=at(0.2))
    go_on(tmp_path / "run", data, optimizer=at(0.1))


@pytest.mark.parametrize("change", ["batch_size", "sampler", "drop_last", "values", "length"])
def test_another_loader_is_refused(change: str, data: Dataset, tmp_path: Path) -> None:
    x, y = data.inputs, data.targets
    assert y is not None
    crash(tmp_path / "run", DataLoader(TensorDataset(x, y), batch_size=16))
    other: DataLoader[Any] = {
        "batch_size": DataLoader(TensorDataset(x, y), batch_size=15),
        "sampler": DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True),
        "drop_last": DataLoader(TensorDataset(x, y), batch_size=16, drop_last=True),
        "values": DataLoader(TensorDataset(x + 1e-3, y), batch_size=16),
        "length": DataLoader(TensorDataset(x[:90], y[:90]), batch_size=16),
    }[change]
    with pytest.raises(CheckpointError, match=r"was written with data\."):
        go_on(tmp_path / "run", other)


# -- the order of batches ------------------------------------------------------------------------------------------


class Augmented(TorchDataset[tuple[Tensor, Tensor]]):
    """Draws noise as each example is fetched, by numpy, by Python or by a generator of its own."""

    def __init__(self, data: Dataset, by: str) -> None:
        self.data, self.by = data, by
        self.own = np.random.default_rng(3)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        draws = {"numpy": np.random.rand, "python": random.random, "own": self.own.random}
        x, y = self.data[index]
        assert y is not None
        return x + 0.1 * float(draws[self.by]()), y


class Nested(Sampler[list[int]]):
    """Batches from a sampler that a sampler holds, with a generator deep inside."""

    def __init__(self, count: int) -> None:
        self.inner = BatchSampler(RandomSampler(range(count), generator=seeded(9)), 16, False)

    def __len__(self) -> int:
        return len(self.inner)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.inner)


def loaders(data: Dataset) -> dict[str, Callable[[], Any]]:
    assert data.targets is not None
    pairs = TensorDataset(data.inputs, data.targets)
    return {
        "nested": lambda: DataLoader(pairs, batch_sampler=Nested(len(pairs))),
        **{
            f"{by} {kind}": (lambda by=by, wrap=wrap: wrap(Augmented(data, by)))  # type: ignore[misc]
            for by in ("numpy", "python", "own")
            for kind, wrap in (("items", lambda x: x), ("loader", lambda x: DataLoader(x, batch_size=16, shuffle=True)))
        },
        "workers": lambda: DataLoader(Augmented(data, "numpy"), batch_size=16, shuffle=True, num_workers=1),
    }


NAMES = ("nested", "numpy items", "numpy loader", "python items", "python loader", "own items", "own loader", "workers")


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_sees_the_same_batches(name: str, data: Dataset, tmp_path: Path) -> None:
    """Stopped in the second epoch: torch's, numpy's and Python's generators, and those inside, go on as they were."""
    build = loaders(data)[name]
    whole = MLP([12, 8, 4], dropout=0.2, generator=seeded())
    fit(whole, Backprop(), build(), epochs=3, batch_size=16)
    crash(tmp_path / "run", build(), MLP([12, 8, 4], dropout=0.2, generator=seeded()), at=10)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    again = go_on(tmp_path / "run", build(), MLP([12, 8, 4], dropout=0.2, generator=seeded()))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


def test_fit_leaves_the_generators_of_the_process_as_they_were(data: Dataset) -> None:
    model = MLP([12, 4])
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    fit(model, Backprop(), Augmented(data, "numpy"), batch_size=16)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_samplers_are_told_the_epoch(data: Dataset) -> None:
    class Told(RandomSampler):
        def set_epoch(self, epoch: int) -> None:
            epochs.append(epoch)

    epochs: list[int] = []
    assert data.targets is not None
    pairs = TensorDataset(data.inputs, data.targets)
    fit(MLP([12, 4]), Backprop(), DataLoader(pairs, batch_size=16, sampler=Told(pairs)), epochs=3)
    assert epochs == [0, 1, 2]


class Counting:
    """Gives other batches in each epoch, by a count that nobody can restore."""

    def __init__(self, data: Dataset) -> None:
        self.data, self.passes = data, 0

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        return iter(list(self.data.batches(16)))


def test_what_cannot_be_kept_is_said_once_and_only_where_it_matters(data: Dataset, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="the source keeps a counter") as warned:
        fit(MLP([12, 4]), Backprop(), Counting(data), epochs=3, out=tmp_path / "run")
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(MLP([12, 4]), Backprop(), Counting(data), epochs=3)


def test_workers_that_live_on_are_said(data: Dataset, tmp_path: Path) -> None:
    loader = DataLoader(Augmented(data, "numpy"), batch_size=50, num_workers=1, persistent_workers=True)
    with pytest.warns(UserWarning, match="are persistent"):
        fit(MLP([12, 4]), Backprop(), loader, out=tmp_path / "run")
