"""Gathered products against dense ones. Weights on a grid of 1/64 sum exactly, so the results must be equal."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from threegen.errors import ShapeError
from threegen.functional.spiking import event_driven
from threegen.functional.spiking.event_driven import (
    crossover,
    find_crossover,
    is_event_driven,
    spike_linear,
    time_both,
)
from threegen.functional.spiking.event_lists import list_events
from threegen.machine.sparse.layouts import lay_out
from threegen.machine.threads import use_threads


def grid(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Multiples of 1/64 up to 1: sums of thousands of them are exact in any order."""
    return torch.randint(-64, 65, shape, generator=torch.Generator().manual_seed(seed)).to(dtype) / 64


def random_spikes(rows: int, inputs: int, density: float, seed: int = 0) -> torch.Tensor:
    return (torch.rand(rows, inputs, generator=torch.Generator().manual_seed(seed)) < density).float()


# Registers take 128, 64, 32 and 16 columns at a time, what is left one by one; a piece of a layer has 384.
WIDTHS = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 112, 127, 128, 144, 241, 384, 400, 523]))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 70),
    inputs=st.integers(1, 40),
    outputs=WIDTHS,
    density=st.sampled_from([0.0, 0.05, 0.3, 0.9, 1.0]),
    biased=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
def test_gathered_product_and_gradients_equal_the_dense_ones(
    rows: int, inputs: int, outputs: int, density: float, biased: bool, dtype: torch.dtype, seed: int
) -> None:
    spikes = random_spikes(rows, inputs, density, seed).to(dtype)
    outer = grid(rows, outputs, seed=seed + 1, dtype=dtype)
    found = []
    for backend in ("event", "dense"):
        weight = grid(outputs, inputs, seed=seed + 2, dtype=dtype).requires_grad_()
        bias = grid(outputs, seed=seed + 3, dtype=dtype).requires_grad_() if biased else None
        source = spikes.clone().requires_grad_()
        result = spike_linear(source, weight, bias, backend=backend)
        wanted = [source, weight, bias] if bias is not None else [source, weight]
        found.append([result.detach(), *torch.autograd.grad((result * outer).sum(), wanted)])
    for event, dense in zip(*found, strict=True):
        assert torch.equal(event, dense)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 7),
    batch=st.integers(1, 9),
    inputs=st.integers(1, 40),
    outputs=WIDTHS,
    density=st.sampled_from([0.0, 0.05, 0.6, 0.9, 1.0]),
    seed=st.integers(0, 1000),
)
def test_what_is_summed_once_for_all_steps_changes_nothing(
    steps: int, batch: int, inputs: int, outputs: int, density: float, seed: int
) -> None:
    spikes = random_spikes(steps * batch, inputs, density, seed).view(steps, batch, inputs)
    outer = grid(steps, batch, outputs, seed=seed + 1)
    found = []
    for backend in ("event", "dense"):
        weight = grid(outputs, inputs, seed=seed + 2).requires_grad_()
        bias = grid(outputs, seed=seed + 3).requires_grad_()
        result = spike_linear(spikes, weight, bias, backend=backend)
        found.append([result.detach(), *torch.autograd.grad((result * outer).sum(), [weight, bias])])
    for event, dense in zip(*found, strict=True):
        assert torch.equal(event, dense)


def test_one_core_and_two_give_the_same_bits() -> None:
    generator = torch.Generator().manual_seed(5)
    spikes = random_spikes(300, 90, 0.2)
    weight = torch.randn(419, 90, generator=generator).requires_grad_()
    outer = torch.randn(300, 419, generator=generator)
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            result = spike_linear(spikes, weight, None, "event")
            found.append((result.detach(), *torch.autograd.grad((result * outer).sum(), [weight])))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_events_are_the_places_of_spikes() -> None:
    events = list_events(torch.tensor([[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.uint8))
    assert [events.index[a:b].tolist() for a, b in zip(events.begin, events.end, strict=True)] == [[1, 3], [], [0]]
    assert events.count == 3
    assert events.density == pytest.approx(3 / 12)
    assert events.take(2, 3).count == 1


def test_layout_keeps_shape_and_values_and_optimisers_work() -> None:
    torch.manual_seed(0)
    plain, laid = nn.Linear(7, 40), nn.Linear(7, 40)
    laid.load_state_dict(plain.state_dict())
    laid.weight.data = lay_out(laid.weight.data)
    assert laid.weight.t().is_contiguous()
    assert torch.equal(laid.weight, plain.weight)
    laid.load_state_dict(plain.state_dict())  # a checkpoint is copied into the same memory
    assert laid.weight.t().is_contiguous()
    spikes = random_spikes(20, 7, 0.3)
    for layer, forward in ((plain, F.linear), (laid, spike_linear)):
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            forward(spikes, layer.weight, layer.bias).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(laid.weight, plain.weight, rtol=1e-4, atol=1e-5)
    assert laid.weight.grad is not None
    assert laid.weight.grad.stride() == laid.weight.stride()


def test_choice_follows_density_and_width() -> None:
    assert is_event_driven(800, crossover())
    assert not is_event_driven(800, crossover() + 0.01)
    assert not is_event_driven(10, 0.01)


def test_the_program_measures_its_crossover_once_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_driven, "cache_folder", lambda: tmp_path)
    measured = iter([0.311, 0.95, 0.2])
    monkeypatch.setattr(event_driven, "find_crossover", lambda: next(measured))
    for expected in (0.311, 0.311):  # the second process reads what the first one wrote
        crossover.cache_clear()
        assert crossover() == expected
        assert is_event_driven(800, 0.31)
        assert not is_event_driven(800, 0.32)
    (tmp_path / "crossover.json").write_text('{"another machine": 0.1}')
    crossover.cache_clear()
    assert crossover() == 0.7  # what cannot be is cut
    (tmp_path / "crossover.json").write_text("{")
    crossover.cache_clear()
    assert crossover() == 0.2
    crossover.cache_clear()
    monkeypatch.undo()


def test_crossover_is_found_by_measuring() -> None:
    times = time_both(random_spikes(16, 32, 0.1), torch.randn(48, 32), torch.randn(16, 48), repeats=1)
    assert set(times) == {"event", "dense"}
    assert min(times.values()) > 0
    assert 0 <= find_crossover(32, 48, 16, repeats=1) <= 1


def test_inputs_of_another_width_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\[\.\.\., 5\]"):
        spike_linear(torch.zeros(2, 4), torch.zeros(3, 5))
