"""Every test starts with the same global draws, fixtures of its file included.

A test that forgets a generator gives the same answer in each run and on each worker, whatever ran before it.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed what draws globally."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (the global generator is what users' code and libraries draw from)
    torch.manual_seed(0)
