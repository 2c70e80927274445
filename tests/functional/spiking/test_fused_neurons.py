"""The compiled time loops against the elementary one: equal spikes and potentials, equal gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from threegen.errors import ShapeError
from threegen.functional.spiking.neurons import SURROGATES, LIFParameters, NeuronState, lif_loop
from threegen.functional.spiking.neurons_fused import BLOCK, can_fuse, fused_lif
from threegen.machine.threads import use_threads

Results = tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor | None, ...]]


def results_of(loop: object, shape: tuple[int, ...], parameters: LIFParameters, **case: object) -> Results:
    generator = torch.Generator().manual_seed(int(case["seed"]))  # type: ignore[call-overload]
    dtype = case.get("dtype", torch.float32)
    weights = torch.randn(2, *shape, generator=generator, dtype=dtype)  # type: ignore[call-overload]
    inputs = torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()  # type: ignore[call-overload]
    potential = torch.randn(shape[1:], generator=generator, dtype=dtype).requires_grad_()  # type: ignore[call-overload]
    fired = (potential.detach() > 0).to(potential.dtype).requires_grad_()
    with_state = bool(case.get("with_state"))
    spikes, potentials = loop(inputs, NeuronState(potential, fired) if with_state else None, parameters)  # type: ignore[operator]
    use = case.get("use", "both")
    loss = torch.zeros((), dtype=potential.dtype)
    if use in ("spikes", "both"):
        loss = loss + (spikes * weights[0]).sum()
    if use in ("potentials", "both"):
        loss = loss + (potentials * weights[1]).sum()
    if use == "rate":  # one gradient shared by all steps
        loss = loss + (spikes.mean(0) * weights[0, 0]).sum()
    wanted = [inputs, potential, fired] if with_state else [inputs]
    return spikes.detach(), potentials.detach(), torch.autograd.grad(loss, wanted, allow_unused=True)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 9)),
    decay=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
    threshold=st.sampled_from([0.25, 0.5, 1.3]),
    reset=st.sampled_from(["hard", "soft"]),
    surrogate=st.sampled_from(sorted(SURROGATES)),
    width=st.sampled_from([0.5, 1.0, 2.0]),
    detach=st.booleans(),
    with_state=st.booleans(),
    use=st.sampled_from(["spikes", "potentials", "both", "rate"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 10_000),
)
def test_compiled_loop_equals_the_elementary_one(
    shape: tuple[int, int, int],
    decay: float,
    threshold: float,
    reset: str,
    surrogate: str,
    width: float,
    detach: bool,
    with_state: bool,
    use: str,
    dtype: torch.dtype,
    seed: int,
) -> None:
    parameters = LIFParameters(decay, threshold, reset, surrogate, width, detach)
    case = {"with_state": with_state, "use": use, "dtype": dtype, "seed": seed}
    fast, slow = (results_of(loop, shape, parameters, **case) for loop in (fused_lif, lif_loop))
    assert torch.equal(fast[0], slow[0])
    assert torch.equal(fast[1], slow[1])
    for ours, oracle in zip(fast[2], slow[2], strict=True):
        if oracle is None:
            assert ours is None or not ours.any()
        else:
            assert ours is not None
            torch.testing.assert_close(ours, oracle, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_one_core_and_two_give_the_same_bits_over_many_blocks(reset: str) -> None:
    found = []
    for threads in (1, 2):
        with use_threads(threads):
            found.append(results_of(fused_lif, (4, 5, BLOCK - 7), LIFParameters(reset=reset), seed=1, with_state=True))
    for one, two in zip((*found[0][:2], *found[0][2]), (*found[1][:2], *found[1][2]), strict=True):
        assert one is not None
        assert two is not None
        assert torch.equal(one, two)


def test_an_input_that_is_not_a_number_stays_visible() -> None:
    currents = torch.tensor([float("nan"), 0.1, 0.1]).view(3, 1, 1)
    spikes, potentials = fused_lif(currents, None, LIFParameters())
    assert potentials.isnan().all()
    assert not spikes.any()


def test_refuses_like_the_elementary_loop() -> None:
    with pytest.raises(ShapeError, match="state=None"):
        fused_lif(torch.zeros(3, 5, 4), NeuronState(torch.zeros(2, 4), torch.zeros(2, 4)), LIFParameters())
    with pytest.raises(ShapeError, match="time first"):
        fused_lif(torch.zeros(4), None, LIFParameters())


def test_takes_what_lies_scattered_in_memory_and_leaves_other_types_alone() -> None:
    currents = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(0)).transpose(1, 2)
    assert torch.equal(fused_lif(currents, None, LIFParameters())[1], lif_loop(currents, None, LIFParameters())[1])
    assert can_fuse(currents)
    assert not can_fuse(currents.bfloat16())
    assert not can_fuse(currents[:, :0])
