"""The general neuron against its equation in plain Python and its special case; the compiled loop of a learnt decay."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from threegen.errors import ConfigError, ShapeError
from threegen.functional.spiking.general_neurons import GeneralOptions, general_loop
from threegen.functional.spiking.general_neurons_fused import fused_general
from threegen.functional.spiking.learned_decay_fused import fused_decay_lif
from threegen.functional.spiking.neurons import SURROGATES, LIFParameters, NeuronState, lif_loop
from threegen.functional.spiking.neurons_fused import BLOCK
from threegen.machine.threads import use_threads

CASES: dict[str, Any] = {
    "shape": st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 9)),
    "decay": st.sampled_from([0.05, 0.3, 0.5, 0.9]),
    "threshold": st.sampled_from([0.25, 0.5, 1.3]),
    "reset": st.sampled_from(["hard", "soft"]),
    "surrogate": st.sampled_from(sorted(SURROGATES)),
    "detach": st.booleans(),
    "with_state": st.booleans(),
    "density": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    "seed": st.integers(0, 10_000),
}


def outcome(loop: Any, shape: tuple[int, ...], density: float, seed: int, with_state: bool, decay: float) -> list[Any]:
    """Spikes, potentials and all gradients of a weighted sum of both, from spikes of the given density."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(2, *shape, generator=generator)
    arrive = (torch.rand(shape, generator=generator) < density).float()
    currents = (arrive * torch.randn(shape, generator=generator)).requires_grad_()
    potential = torch.randn(shape[1:], generator=generator).requires_grad_()
    fired = (potential.detach() > 0.5).float().requires_grad_()
    share = torch.tensor(decay).requires_grad_()
    spikes, potentials = loop(currents, NeuronState(potential, fired) if with_state else None, share)[:2]
    wanted = [currents, share, *([potential, fired] if with_state else [])]
    loss = (spikes * weights[0]).sum() + (potentials * weights[1]).sum()
    return [spikes.detach(), potentials.detach(), *torch.autograd.grad(loss, wanted, allow_unused=True)]


@settings(max_examples=60, deadline=None)
@given(**CASES)
def test_the_iterative_form_is_its_special_case(
    shape: tuple[int, int, int],
    decay: float,
    threshold: float,
    reset: str,
    surrogate: str,
    detach: bool,
    with_state: bool,
    density: float,
    seed: int,
) -> None:
    """u_r1 = u_r2 = 0, T_w = 1, K = 1: the same bits as the elementary loop, gradients to rounding."""
    parameters = LIFParameters(decay, threshold, reset, surrogate, 1.0, detach)
    case = (shape, density, seed, with_state, decay)
    general = outcome(lambda currents, state, _: general_loop(currents, state, parameters), *case)
    elementary = outcome(lambda currents, state, _: lif_loop(currents, state, parameters), *case)
    assert torch.equal(general[0], elementary[0])
    assert torch.equal(general[1], elementary[1])
    for ours, oracle in zip(general[2:], elementary[2:], strict=True):
        assert (ours is None) == (oracle is None)
        if oracle is not None:
            torch.testing.assert_close(ours, oracle, rtol=1e-5, atol=1e-5)


@settings(max_examples=80, deadline=None)
@given(**CASES)
def test_compiled_loop_with_a_learnt_decay_equals_the_elementary_one(
    shape: tuple[int, int, int],
    decay: float,
    threshold: float,
    reset: str,
    surrogate: str,
    detach: bool,
    with_state: bool,
    density: float,
    seed: int,
) -> None:
    parameters = LIFParameters(0.5, threshold, reset, surrogate, 1.0, detach)
    case = (shape, density, seed, with_state, decay)
    fast = outcome(lambda *given: fused_decay_lif(*given[:2], parameters, given[2]), *case)
    slow = outcome(lambda *given: general_loop(*given[:2], parameters, GeneralOptions(), given[2]), *case)
    assert torch.equal(fast[0], slow[0])
    assert torch.equal(fast[1], slow[1])
    for ours, oracle in zip(fast[2:], slow[2:], strict=True):
        expected = torch.zeros(()) if oracle is None else oracle
        torch.testing.assert_close(torch.zeros(()) if ours is None else ours, expected, rtol=1e-4, atol=1e-4)


OPTIONS: dict[str, Any] = {
    "rest": st.sampled_from([0.0, -0.3, 0.2]),
    "reset_to": st.sampled_from([0.0, -0.5, 0.1]),
    "kernel": st.sampled_from([(1.0,), (1.0, 0.5), (0.25, 0.75, 0.5)]),
    "refractory": st.integers(0, 2),
    "adaptation": st.sampled_from([0.0, 0.4]),
}


@settings(max_examples=120, deadline=None)
@given(options=st.builds(GeneralOptions, **OPTIONS), learnt=st.booleans(), **CASES)
def test_compiled_loop_of_general_neurons_equals_the_elementary_one(
    options: GeneralOptions,
    learnt: bool,
    shape: tuple[int, int, int],
    decay: float,
    threshold: float,
    reset: str,
    surrogate: str,
    detach: bool,
    with_state: bool,
    density: float,
    seed: int,
) -> None:
    """The second half goes on from the state that the first has left, so that gradients cross it too."""
    parameters = LIFParameters(decay, threshold, reset, surrogate, 1.0, detach)

    def halves(loop: Any) -> Any:
        def run(currents: Tensor, state: NeuronState | None, share: Tensor) -> tuple[Tensor, ...]:
            own = (parameters, options, share if learnt else None)
            first = loop(currents, None if state is None else general_state(state, options), *own)
            second = loop(currents, first[2], *own)
            tail = [part.sum() for part in second[2] if part is not None]
            return second[0] + first[0], second[1] + first[1] + sum(tail)

        return run

    case = (shape, density, seed, with_state, decay)
    fast, slow = outcome(halves(fused_general), *case), outcome(halves(general_loop), *case)
    assert torch.equal(fast[0], slow[0])
    torch.testing.assert_close(fast[1], slow[1])
    for ours, oracle in zip(fast[2:], slow[2:], strict=True):
        expected = torch.zeros(()) if oracle is None else oracle
        torch.testing.assert_close(torch.zeros(()) if ours is None else ours, expected, rtol=1e-3, atol=1e-3)


def general_state(state: NeuronState, options: GeneralOptions) -> NeuronState:
    """A state in mid-life: some neurons are held, thresholds are lifted, inputs are remembered."""
    u = state.potential.detach()
    recent = torch.stack([u * 0.5] * (len(options.kernel) - 1)) if len(options.kernel) > 1 else None
    return state._replace(
        adaptation=u.abs() if options.adaptation else None,
        countdown=(u > 0.3).float() if options.refractory else None,
        recent=recent,
    )


def test_compiled_loop_of_general_neurons_has_the_same_bits_as_the_elementary_one_and_on_one_core_and_two() -> None:
    options = GeneralOptions(0.1, -0.2, (1.0, 0.5), 1, 0.3, 0.5)
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            loop = lambda *given: fused_general(*given[:2], LIFParameters(reset="soft"), options, given[2])  # noqa: E731
            found.append(outcome(loop, (5, 5, BLOCK - 7), 0.5, 1, False, 0.5))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))
    slow = outcome(
        lambda *given: general_loop(*given[:2], LIFParameters(reset="soft"), options, given[2]),
        (5, 5, BLOCK - 7),
        0.5,
        1,
        False,
        0.5,
    )
    assert torch.equal(found[0][0], slow[0])
    assert torch.equal(found[0][1], slow[1])


def test_a_learnt_decay_has_the_same_gradient_on_one_core_and_two() -> None:
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            loop = lambda *given: fused_decay_lif(*given[:2], LIFParameters(), given[2])  # noqa: E731
            found.append(outcome(loop, (4, 5, BLOCK - 7), 0.5, 1, True, 0.5))
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def written_out(
    arrivals: list[list[int]], weights: list[float], parameters: LIFParameters, options: GeneralOptions
) -> tuple[list[int], list[float]]:
    """One neuron by the equation, from the times at which each synapse got a spike; plain Python, no tensors."""
    held, lifted, wait = options.rest, 0.0, 0
    fired, potentials = [], []
    for t in range(len(arrivals)):
        total = sum(
            weight * options.kernel[t - at]
            for at in range(max(0, t - len(options.kernel) + 1), t + 1)
            for weight, spikes in zip(weights, arrivals[at], strict=True)
            if spikes
        )
        u = options.rest + parameters.decay * (held - options.rest) + total
        if wait > 0:
            u = held
        spike = int(wait == 0 and u >= parameters.threshold + lifted)
        wait = options.refractory if spike else max(0, wait - 1)
        lifted = options.adaptation_decay * lifted + options.adaptation * spike
        held = u
        if spike:
            held = options.reset_to if parameters.reset == "hard" else u - (parameters.threshold - options.reset_to)
        fired.append(spike)
        potentials.append(u)
    return fired, potentials


@settings(max_examples=120, deadline=None)
@given(
    rest=st.sampled_from([0.0, -0.3, 0.2]),
    reset_to=st.sampled_from([0.0, -0.5, 0.1]),
    kernel=st.sampled_from([(1.0,), (1.0, 0.5), (0.25, 0.75, 0.5), (0.5,)]),
    refractory=st.integers(0, 3),
    adaptation=st.sampled_from([0.0, 0.4]),
    decay=st.sampled_from([0.0, 0.5, 0.875, 1.0]),
    reset=st.sampled_from(["hard", "soft"]),
    density=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_every_option_follows_the_equation(
    rest: float,
    reset_to: float,
    kernel: tuple[float, ...],
    refractory: int,
    adaptation: float,
    decay: float,
    reset: str,
    density: float,
    seed: int,
) -> None:
    parameters = LIFParameters(decay, 0.75, reset)
    options = GeneralOptions(rest, reset_to, kernel, refractory, adaptation, 0.5)
    generator = torch.Generator().manual_seed(seed)
    arrivals = (torch.rand(12, 4, generator=generator) < density).long()
    weights = torch.randint(-32, 65, (4,), generator=generator).double() / 64  # sums are exact
    currents = (arrivals.double() @ weights).view(12, 1, 1)
    spikes, potentials, _ = general_loop(currents, None, parameters, options)
    fired, expected = written_out(arrivals.tolist(), weights.tolist(), parameters, options)
    assert spikes.flatten().tolist() == fired
    torch.testing.assert_close(potentials.flatten(), torch.tensor(expected, dtype=torch.float64))
    # Two parts with the state handed on are the whole.
    first = general_loop(currents[:5], None, parameters, options)
    second = general_loop(currents[5:], first[2], parameters, options)
    assert torch.equal(torch.cat([first[1], second[1]]), potentials)


def test_without_input_the_potential_leaks_to_rest_as_the_differential_equation_says() -> None:
    """tau du/dt = -(u - u_r1) has the solution u_r1 + (u_0 - u_r1) exp(-t / tau)."""
    tau, rest, start = 7.0, -0.2, 0.6
    parameters, options = LIFParameters(math.exp(-1 / tau), 1.0), GeneralOptions(rest=rest)
    state = NeuronState(torch.full((1, 1), start, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
    _, potentials, _ = general_loop(torch.zeros(20, 1, 1, dtype=torch.float64), state, parameters, options)
    exact = [rest + (start - rest) * math.exp(-t / tau) for t in range(1, 21)]
    assert potentials.flatten().tolist() == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("detach", [False, True])
def test_gradients_of_all_options_at_once_equal_finite_differences_of_the_smooth_parts(detach: bool) -> None:
    """Where no spike changes, the loss is smooth in the input; a surrogate of no width adds nothing to that slope."""
    parameters = LIFParameters(0.5, 0.7, "soft", surrogate_width=1e-6, detach_reset=detach)
    options = GeneralOptions(0.1, -0.2, (1.0, 0.5), 1, 0.3, 0.5)
    currents = torch.rand(6, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

    def loss(one: Tensor) -> Tensor:
        return general_loop(one, None, parameters, options)[1].square().sum()

    leaf = currents.clone().requires_grad_()
    (ours,) = torch.autograd.grad(loss(leaf), leaf)
    for place in ((0, 0, 0), (2, 1, 2), (4, 0, 1), (5, 1, 1)):
        moved = torch.zeros_like(currents)
        moved[place] = 1e-5
        slope = (loss(currents + moved) - loss(currents - moved)) / 2e-5
        assert float(ours[place]) == pytest.approx(float(slope), rel=1e-6, abs=1e-8)


def test_an_adaptive_threshold_slows_a_neuron_down() -> None:
    steady = torch.full((60, 1, 1), 0.6)
    parameters = LIFParameters(0.5, 0.5)
    plain = general_loop(steady, None, parameters)[0]
    slowed = general_loop(steady, None, parameters, GeneralOptions(adaptation=0.2, adaptation_decay=0.95))[0]
    gaps = slowed.flatten().nonzero().flatten().diff()
    assert plain.sum() == 60
    assert 5 < slowed.sum() < 30
    assert int(gaps[-1]) > int(gaps[0])


def test_bad_options_and_states_are_refused() -> None:
    with pytest.raises(ConfigError, match="kernel must list K"):
        GeneralOptions(kernel=())
    with pytest.raises(ConfigError, match="kernel must list K"):
        GeneralOptions(kernel="ab")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="refractory must be a whole number"):
        GeneralOptions(refractory=-1)
    with pytest.raises(ConfigError, match="adaptation_decay must be a finite number"):
        GeneralOptions(adaptation_decay=1.5)
    bare = NeuronState(torch.zeros(1, 2), torch.zeros(1, 2))
    for options in (GeneralOptions(kernel=(1.0, 0.5)), GeneralOptions(refractory=1), GeneralOptions(adaptation=0.1)):
        with pytest.raises(ShapeError, match="state=None"):
            general_loop(torch.zeros(3, 1, 2), bare, LIFParameters(), options)
    with pytest.raises(ShapeError, match="state=None"):
        general_loop(torch.zeros(3, 2, 2), bare, LIFParameters())
    assert replace(GeneralOptions(), kernel=[2, 1]).kernel == (2.0, 1.0)
