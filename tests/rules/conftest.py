"""What several rules' tests ask in the same way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn


@pytest.fixture
def check_resuming(tmp_path: Path) -> Callable[..., None]:
    """Return a check of `run(folder, epochs, resume)`: a run broken off after two epochs of four goes on bit-equal."""

    def check(run: Callable[[str, int, bool], nn.Module]) -> None:
        straight = run(f"{tmp_path}/straight", 4, False)
        run(f"{tmp_path}/broken", 2, False)
        resumed = run(f"{tmp_path}/broken", 4, True)
        for own, other in zip(straight.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(own, other)

    return check
