"""The neuron against its written equation, the fast loop against the elementary one, surrogates against formulas."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.neurons import SURROGATES, LIFParameters, NeuronState, lif, lif_loop, lif_step, spike


def test_hard_reset_follows_the_equation_by_hand() -> None:
    # decay .5, threshold 1: u = .6, .5*.6+.8 = 1.1 fires, reset: u = 0 + .2, .5*.2 + 1 = 1.1 fires
    currents = torch.tensor([0.6, 0.8, 0.2, 1.0]).view(4, 1, 1)
    spikes, potentials = lif(currents, None, LIFParameters(decay=0.5, threshold=1.0))
    assert potentials.flatten().tolist() == pytest.approx([0.6, 1.1, 0.2, 1.1])
    assert spikes.flatten().tolist() == [0, 1, 0, 1]


def test_soft_reset_subtracts_the_threshold_by_hand() -> None:
    # u = 1.5 fires, .5*(1.5-1)+.8 = 1.05 fires, .5*(.05)+.2 = .225
    currents = torch.tensor([1.5, 0.8, 0.2]).view(3, 1, 1)
    spikes, potentials = lif(currents, None, LIFParameters(decay=0.5, threshold=1.0, reset="soft"))
    assert potentials.flatten().tolist() == pytest.approx([1.5, 1.05, 0.225])
    assert spikes.flatten().tolist() == [1, 1, 0]


def test_a_potential_equal_to_the_threshold_fires() -> None:
    assert spike(torch.tensor([0.5, 0.49999997]), LIFParameters(threshold=0.5)).tolist() == [1, 0]


@settings(max_examples=120, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 5)),
    decay=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
    threshold=st.sampled_from([0.25, 0.5, 1.3]),
    reset=st.sampled_from(["hard", "soft"]),
    surrogate=st.sampled_from(sorted(SURROGATES)),
    width=st.sampled_from([0.5, 1.0, 2.0]),
    detach=st.booleans(),
    with_state=st.booleans(),
    use=st.sampled_from(["spikes", "potentials", "both"]),
    seed=st.integers(0, 10_000),
)
def test_fast_loop_equals_the_elementary_one(
    shape: tuple[int, int, int],
    decay: float,
    threshold: float,
    reset: str,
    surrogate: str,
    width: float,
    detach: bool,
    with_state: bool,
    use: str,
    seed: int,
) -> None:
    parameters = LIFParameters(decay, threshold, reset, surrogate, width, detach)
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(2, *shape, generator=generator)
    currents = torch.randn(shape, generator=generator)
    start = torch.randn(shape[1:], generator=generator)
    results = []
    for loop in (lif, lif_loop):
        inputs = currents.clone().requires_grad_()
        potential = start.clone().requires_grad_()
        fired = (start > 0).float().requires_grad_()
        state = NeuronState(potential, fired) if with_state else None
        spikes, potentials = loop(inputs, state, parameters)
        loss = torch.zeros(())
        if use != "potentials":
            loss = loss + (spikes * weights[0]).sum()
        if use != "spikes":
            loss = loss + (potentials * weights[1]).sum()
        wanted = [inputs, potential, fired] if with_state else [inputs]
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
        results.append((spikes, potentials, gradients))
    fast, slow = results
    assert torch.equal(fast[0], slow[0])
    assert torch.equal(fast[1], slow[1])
    for ours, oracle in zip(fast[2], slow[2], strict=True):
        ours = torch.zeros(()) if ours is None else ours
        oracle = torch.zeros(()) if oracle is None else oracle
        torch.testing.assert_close(ours.expand_as(oracle) if oracle.dim() else ours.sum(), oracle, rtol=1e-5, atol=1e-5)


def test_gradient_through_the_reset_by_hand() -> None:
    # Two steps, decay .5, threshold .5, a = 1; u0 = .6 (fires, h = 1), u1 = .5*.6*(1-1) + .4 = .4 (h = 1); L = o1.
    # dL/dI1 = 1. dL/dI0 = d u1/d u0 = decay*(1-o0) - decay*u0*h0 = 0 - .3; detached: 0.
    for detach, expected in ((False, -0.3), (True, 0.0)):
        currents = torch.tensor([0.6, 0.4]).view(2, 1, 1).requires_grad_()
        spikes, _ = lif(currents, None, LIFParameters(detach_reset=detach))
        spikes[1].sum().backward()
        assert currents.grad is not None
        assert currents.grad.flatten().tolist() == pytest.approx([expected, 1.0])


FORMULAS = {
    "rectangular": lambda d, a: 1 / a if abs(d) < a / 2 else 0.0,
    "triangular": lambda d, a: max(0.0, 1 - abs(d) / a) / a,
    "arctan": lambda d, a: 1 / (a * (1 + (math.pi * d / a) ** 2)),
    "sigmoid": lambda d, a: 4 / a * math.exp(-4 * d / a) / (1 + math.exp(-4 * d / a)) ** 2,
    "superspike": lambda d, a: 1 / (a * (1 + 2 * abs(d) / a) ** 2),
}


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_surrogate_is_the_written_formula(name: str, width: float) -> None:
    potential = torch.linspace(-2, 3, 101, dtype=torch.float64).requires_grad_()
    parameters = LIFParameters(threshold=0.7, surrogate=name, surrogate_width=width)
    spike(potential, parameters).sum().backward()
    assert potential.grad is not None
    expected = [FORMULAS[name](float(u) - 0.7, width) for u in potential.detach()]
    torch.testing.assert_close(potential.grad, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_surrogate_has_area_one_and_height_one_over_a(name: str) -> None:
    width = 0.8
    distance = torch.linspace(-400, 400, 800_001, dtype=torch.float64)  # superspike's tail beyond: a/(2d) = .001
    values = SURROGATES[name](distance, width)
    assert float(values[400_000]) == pytest.approx(1 / width)
    assert float(values.sum()) * 1e-3 == pytest.approx(1.0, abs=3e-3)


def test_two_halves_with_the_state_handed_on_equal_the_whole() -> None:
    currents = torch.randn(8, 3, 5, generator=torch.Generator().manual_seed(1))
    parameters = LIFParameters(decay=0.8)
    whole = lif(currents, None, parameters)
    first = lif(currents[:3], None, parameters)
    second = lif(currents[3:], NeuronState(first[1][-1], first[0][-1]), parameters)
    assert torch.equal(torch.cat([first[0], second[0]]), whole[0])
    assert torch.equal(torch.cat([first[1], second[1]]), whole[1])


def test_float64_stays_float64() -> None:
    spikes, potentials = lif(torch.ones(2, 1, 1, dtype=torch.float64), None, LIFParameters())
    assert spikes.dtype == potentials.dtype == torch.float64


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"decay": -3.0}, "decay must be a finite number at least 0.0 and at most 1.0, got -3.0"),
        ({"decay": math.nan}, "decay"),
        ({"threshold": 0.0}, "threshold must be a finite number above 0.0"),
        ({"surrogate_width": 0.0}, "surrogate_width"),
        ({"reset": "sofft"}, r"did you mean 'soft'\?"),
        ({"surrogate": "rectangle"}, r"did you mean 'rectangular'\?"),
    ],
)
def test_bad_options_are_refused(options: dict[str, float | str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        LIFParameters(**options)  # type: ignore[arg-type]


def test_state_of_another_batch_is_refused() -> None:
    state = NeuronState(torch.zeros(2, 4), torch.zeros(2, 4))
    with pytest.raises(ShapeError, match=r"\[2, 4\].*\[5, 4\].*state=None"):
        lif(torch.zeros(3, 5, 4), state, LIFParameters())
    with pytest.raises(ShapeError, match="state=None"):
        lif_step(torch.zeros(5, 4), state, LIFParameters())


@pytest.mark.parametrize("bad", [torch.zeros(4), torch.zeros(0, 2, 3), torch.zeros(2, 2, dtype=torch.int64), [1.0]])
def test_input_without_time_or_of_whole_numbers_is_refused(bad: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="a spiking layer expects"):
        lif(bad, None, LIFParameters())
