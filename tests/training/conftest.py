"""Small data and nets for the tests of the training loop."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch
from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.gen2.mlp import MLP


@pytest.fixture
def data() -> Dataset:
    """100 points in the unit cube of 12 dimensions, four classes that depend on their sum."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(100, 12, generator=generator)
    return Dataset(x, (x.sum(1) * 2).long() % 4, ("a", "b", "c", "d"), name="toy")


@pytest.fixture
def build() -> Callable[[], nn.Module]:
    """Build the same net every time: dropout and batch normalisation make its training depend on everything."""

    def make() -> nn.Module:
        return MLP([12, 16, 4], dropout=0.3, batch_norm=True, generator=torch.Generator().manual_seed(1))

    return make


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is flushed to the disk matters when the power fails, which no test here lets happen."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def one_thread() -> object:
    """Bits are promised at one number of threads; these tests are too small for two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
