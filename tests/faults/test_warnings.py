"""A warning names the line of the user's program that called threegen, not a line of threegen or of torch."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.errors import warn_user

SOURCE = Path(tg.__file__).parent


def large_batch() -> None:
    tg.fit(nn.Linear(2, 2), tg.Backprop(), Dataset(torch.rand(4, 2), torch.zeros(4, dtype=torch.long)), batch_size=9)


def few_steps() -> None:
    rbm = tg.models.RBM(30, 8)
    with torch.no_grad():
        rbm.weight.mul_(0.0).add_(torch.randn(8, 30, generator=torch.Generator().manual_seed(0)) * 5)
    rbm.log_partition("ais", steps=3, runs=20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("call", "sentence"), [(large_batch, "one batch holds"), (few_steps, "annealed importance")])
def test_the_line_is_the_users(call: Callable[[], None], sentence: str) -> None:
    with pytest.warns(UserWarning, match=sentence) as found:
        call()
    lines, first = inspect.getsourcelines(call)
    last = next(number for number, line in enumerate(lines) if "tg.fit" in line or "log_partition" in line)
    assert [(one.filename, one.lineno) for one in found] == [(__file__, first + last)]


def test_without_threegen_on_the_way_it_is_the_line_of_the_call() -> None:
    with pytest.warns(DeprecationWarning, match="^old$") as found:
        warn_user("old", DeprecationWarning)
    assert found[0].filename == __file__


def test_every_warning_is_given_this_way() -> None:
    others = [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"warnings\.warn\(", path.read_text())
    ]
    assert not others
