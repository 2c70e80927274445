"""Memory needs are estimated before anything is allocated."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.errors import ResourceError
from threegen.gen1.perceptron import Perceptron, SigmoidNeuron
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP
from threegen.machine.memory import available_memory, give_back_freed, require_memory, require_weights, size_text
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer, optimizer_names
from threegen.training.parameter_memory import optimizer_slots


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that 18 GB are free."""
    monkeypatch.setattr("threegen.machine.memory.available_memory", lambda: 18_000_000_000)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (4e12, "4.0 TB"),
        (5e21, "5000.0 EB"),
    ],
)
def test_sizes_as_text(count: float, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: MLP([10**6, 10**6, 10]), "MLP needs about 4.0 TB, 18.0 GB free; reduce sizes"),
        (lambda: MLP([10**30, 10]), "MLP needs about 40000000000000.0 EB, 18.0 GB free; reduce sizes"),
        (lambda: SpikingMLP([10**6, 10**6, 10]), "SpikingMLP needs about 4.0 TB, 18.0 GB free; reduce sizes"),
        (lambda: Perceptron(10**6, 10**6), "Perceptron needs about 4.0 TB, 18.0 GB free; reduce sizes"),
        (lambda: SigmoidNeuron(10**6, 10**6), "SigmoidNeuron needs about 4.0 TB, 18.0 GB free; reduce sizes"),
    ],
)
def test_models_that_do_not_fit(build: Callable[[], nn.Module], sentence: str, little: None) -> None:
    with pytest.raises(ResourceError) as caught:
        build()
    assert str(caught.value) == sentence


def test_what_fits_passes(little: None) -> None:
    require_memory("all of it", 18_000_000_000)
    require_weights("all of it", [(18_000_000_000 // 4,)])
    with torch.device("meta"):
        assert Perceptron(10**6, 10**6).weight.numel() == 10**12  # takes no memory


def test_training_counts_gradients_state_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,050,624 weights of 4 bytes are 4.2 MB. Gradients and Adam's moments: 12.6 MB; the best weights: 4.2 MB more."""
    data = Dataset(torch.rand(4, 1024), torch.arange(4) % 2)
    model = nn.Linear(1024, 1026, bias=False)
    assert model.weight.numel() == 1_050_624
    monkeypatch.setattr("threegen.machine.memory.available_memory", lambda: 10_000_000)
    with pytest.raises(ResourceError) as caught:
        fit(model, Backprop(), data, optimizer="adam", batch_size=4)
    assert str(caught.value) == (
        "training Linear by Adam needs about 12.6 MB, 10.0 MB free; "
        "use a smaller model, or an optimizer with less state, such as 'sgd'"
    )
    fit(model, Backprop(), data, optimizer="sgd", batch_size=4)
    with pytest.raises(ResourceError, match=r"needs about 16\.8 MB"):
        fit(model, Backprop(), data, optimizer="adam", batch_size=4, validation=data, stopping=1)


@pytest.mark.parametrize("name", optimizer_names())
def test_the_state_of_an_optimizer_is_as_large_as_foretold(name: str) -> None:
    weight = nn.Parameter(torch.ones(10, 10))
    made = optimizer(name).build([weight])
    allocated = sum(value.numel() == 100 for entries in made.state.values() for value in entries.values()
                    if isinstance(value, torch.Tensor))  # fmt: skip
    foretold = optimizer_slots(made)
    weight.grad = torch.ones(10, 10)
    made.step()
    there = sum(value.numel() == 100 for entries in made.state.values() for value in entries.values()
                if isinstance(value, torch.Tensor))  # fmt: skip
    assert there - allocated <= foretold
    if not name.startswith(("textbook", "previous")):  # for optimisers that it does not know it assumes two
        assert there - allocated == foretold


def test_what_is_free_is_asked_of_the_system() -> None:
    free = available_memory()
    assert free is None or 1_000_000 < free < 10**15


def test_a_limit_on_the_address_space_is_seen() -> None:
    """3 GB more than the imports take (a torch with CUDA alone takes more): a net of 4 GB is refused at once."""
    program = (
        "import resource\n"
        "from pathlib import Path\n"
        "from threegen.gen2.mlp import MLP\n"
        "from threegen.errors import ResourceError\n"
        "taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + 3 * 10**9,) * 2)\n"
        "try: MLP([10**5, 10**4])\n"
        "except ResourceError as problem: print(problem)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    assert done.stdout.startswith("MLP needs about 4.0 GB, ")
    assert done.stdout.endswith(" free; reduce sizes\n")


def test_a_limit_of_a_control_group_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "max").write_text("1000000\n")
    (tmp_path / "current").write_text("400000\n")
    monkeypatch.setattr("threegen.machine.memory._CGROUP_LIMITS", ((str(tmp_path / "max"), str(tmp_path / "current")),))
    assert available_memory() == 600_000
    (tmp_path / "max").write_text("max\n")
    assert available_memory() != 600_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library may keep freed memory")
def test_freed_memory_goes_back_to_the_system() -> None:
    """1,000 blocks of 100 kB, every fiftieth kept: the heap cannot shrink from its end, yet 98 MB of it are free."""
    blocks = [np.ones(100_000, np.uint8) for _ in range(1000)]
    kept = blocks[::50]
    full = _resident()
    del blocks
    give_back_freed()
    assert full - _resident() > 80e6
    assert all(block.all() for block in kept)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
