"""Contrastive divergence that leaves out blank visible states, against dense products of the same states.

The dense twin is the plain rule over weights that lie by rows in memory: nothing is listed there, and torch multiplies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import threegen as tg
from threegen.gen2.rbm import RBM
from threegen.machine.sparse import layouts
from threegen.machine.sparse.sparse_matrix import SparseMatrix, Stack
from threegen.machine.sparse.sparse_states import ListBuffers, weigh
from threegen.randomness import make_generator
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.rule import PlainSGD

VISIBLE, HIDDEN = 100, 70
OPTIONS: dict[str, dict[str, Any]] = {
    "cd-1": {},
    "cd-3": {"steps": 3},
    "probabilities": {"visible": "probabilities"},
    "persistent": {"steps": 2, "chains": 33},
    "centred": {"centred": True},
    "sparsity": {"sparsity": 0.2, "sparsity_cost": 0.1, "draw_data": True},
}
KINDS = ("blank", "dense", "both")
needs_lists = pytest.mark.skipif(not layouts.has_wide_vectors(), reason="this processor multiplies quicker")


@pytest.fixture(autouse=True)
def count_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take nets as small as these for worth while."""
    monkeypatch.setattr(layouts, "FEWEST_PRODUCTS", 0)


def states(kind: str, seed: str = "states") -> Tensor:
    """Three batches of 38 and one of 9; a tenth of the units is on, six tenths are, or now this and now that."""
    chances = torch.full((123, 1), 0.1 if kind == "blank" else 0.6)
    if kind == "both":
        chances[:38], chances[76:114] = 0.1, 0.1
    return (torch.rand(123, VISIBLE, generator=make_generator(seed)) < chances).float()


def make(kind: str, dtype: torch.dtype = torch.float32, *, by_rows: bool = False) -> RBM:
    rbm = RBM(VISIBLE, HIDDEN, init=0.1, generator=make_generator("weights")).to(dtype)
    rbm.start_visible_bias(states(kind).to(dtype))
    if by_rows:
        rbm.input_major = list  # type: ignore[method-assign]
    else:
        rbm.weight.data = layouts.lay_out(rbm.weight.data)  # as `fit` stores it
    return rbm


def train(model: RBM, rule: ContrastiveDivergence, inputs: Tensor, epochs: int = 2, **options: Any) -> None:
    options.setdefault("optimizer", tg.optimizer("momentum", lr=0.1, momentum=0.5))
    data = tg.Dataset.from_arrays(inputs)
    data.inputs = inputs
    tg.fit(model, rule, data, epochs=epochs, batch_size=38, shuffle=False, seed=3, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OPTIONS)
def test_same_weights_as_by_dense_products(name: str, kind: str) -> None:
    dense, plain, fused = make(kind, by_rows=True), make(kind), make(kind)
    options = {"weight_cost": 0.01, **OPTIONS[name]}
    train(dense, ContrastiveDivergence(backend="plain", **options), states(kind))
    train(plain, ContrastiveDivergence(backend="plain", **options), states(kind))
    train(fused, ContrastiveDivergence(backend="fused", **options), states(kind))
    for own, faster, other in zip(plain.parameters(), fused.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=0)
        torch.testing.assert_close(faster, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_in_float64(kind: str) -> None:
    inputs = states(kind).double()
    dense, plain, fused = (make(kind, torch.float64, by_rows=by_rows) for by_rows in (True, False, False))
    train(dense, ContrastiveDivergence(backend="plain"), inputs)
    train(plain, ContrastiveDivergence(backend="plain"), inputs)
    train(fused, ContrastiveDivergence(backend="fused"), inputs)
    for own, faster, other in zip(plain.parameters(), fused.parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-14, rtol=0)
        torch.testing.assert_close(faster, other, atol=1e-14, rtol=0)


@needs_lists
@pytest.mark.parametrize("backend", ["plain", "fused"])
def test_only_what_is_mostly_blank_is_listed(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways up and one gradient of each of three batches; nine cases are too few, .6 are too many."""
    calls = {"up": 0, "down": 0, "gradient": 0}
    times, learn = SparseMatrix.times, Stack.transposed_times

    def count_times(*arguments: Any, turned: bool = False, **options: Any) -> None:
        calls["down" if turned else "up"] += 1
        times(*arguments, turned=turned, **options)

    def count_gradient(*arguments: Any, **options: Any) -> Any:
        calls["gradient"] += 1
        return learn(*arguments, **options)

    monkeypatch.setattr(SparseMatrix, "times", count_times)
    monkeypatch.setattr(Stack, "transposed_times", count_gradient)
    train(make("dense"), ContrastiveDivergence(backend=backend), states("dense"), epochs=1)
    assert calls == {"up": 0, "down": 0, "gradient": 0}
    train(make("blank"), ContrastiveDivergence(backend=backend), states("blank"), epochs=1)
    assert calls == {"up": 6, "down": 0, "gradient": 3}  # half of the hidden units are on, which is too many
    train(make("both", by_rows=True), ContrastiveDivergence(backend=backend), states("both"), epochs=1)
    assert calls == {"up": 6, "down": 0, "gradient": 3}
    quiet = make("both")
    quiet.hidden_bias.data.fill_(-2.0)
    train(quiet, ContrastiveDivergence(backend=backend), states("both"), epochs=1)
    assert calls["up"] >= 8  # the data of two batches at least
    assert calls["down"] == 3


@pytest.mark.parametrize("options", [{}, {"chains": 33}], ids=str)
def test_a_stopped_run_resumes_bit_equal(options: dict[str, Any], check_resuming: Callable[..., None]) -> None:
    def run(folder: str, epochs: int, resume: bool) -> RBM:
        model, rule = make("blank"), ContrastiveDivergence(backend="fused", **options)
        recipe = tg.optimizer("momentum", lr=0.1)
        train(model, rule, states("blank"), epochs, out=folder, resume=resume, optimizer=recipe)
        return model

    check_resuming(run)


def test_velocities_that_lay_otherwise_are_taken_over() -> None:
    """Velocities of a run whose weights lay by rows, as those of earlier versions did."""
    model, rule = make("blank"), ContrastiveDivergence(backend="fused")
    train(model, rule, states("blank"), epochs=1)
    again, other = make("blank"), ContrastiveDivergence(backend="fused")
    again.load_state_dict(model.state_dict())
    other.load_state_dict({name: value.contiguous() for name, value in rule.state_dict().items()})
    batch = tg.Batch(states("blank", "more")[:40])
    for one, teacher in ((model, rule), (again, other)):
        teacher.load_state_dict(teacher.state_dict())  # velocities of a checkpoint are kept
        teacher.hand_over(PlainSGD([{"lr": 0.1, "momentum": 0.9}]))
        list(teacher(one, batch, make_generator("step")))
    assert torch.equal(model.weight, again.weight)


@needs_lists
def test_nobody_elses_tensor_keeps_lists() -> None:
    buffers, weight, given = ListBuffers(), make("blank").weight, states("blank")[:40]
    known = buffers.listed("data", given, weight)
    assert hasattr(known, "lists")
    assert not hasattr(given, "lists")
    given.numpy()[:] = states("blank", "others")[:40].numpy()  # as a loader does that uses its memory again
    with torch.no_grad():
        again = weigh(buffers.listed("data", given, weight), weight, torch.zeros(HIDDEN))
        torch.testing.assert_close(again, given @ weight.t(), atol=1e-5, rtol=0)


@needs_lists
def test_a_graph_is_made_where_one_is_asked_for() -> None:
    rbm, given = make("blank"), states("blank")[:40]
    rbm.hidden_input(ListBuffers().listed("data", given, rbm.weight)).sum().backward()
    assert rbm.weight.grad is not None
    torch.testing.assert_close(rbm.weight.grad, given.sum(0).expand(HIDDEN, VISIBLE))


@pytest.mark.parametrize("by_rows", [True, False])
@pytest.mark.parametrize("keep", [0.0, 0.01])
def test_differences_of_products(by_rows: bool, keep: float) -> None:
    weight, buffers = make("both", by_rows=by_rows).weight, ListBuffers()
    tables = [torch.rand(rows, HIDDEN, generator=make_generator("tables")) for rows in (38, 40)]
    for kinds in (("blank", "blank"), ("blank", "dense"), ("dense", "blank"), ("dense", "dense")):
        parts = [states(kind)[: len(table)] for kind, table in zip(kinds, tables, strict=True)]
        listed = [buffers.listed(str(n), part, weight) for n, part in enumerate(parts)]
        one, other = zip(listed, tables, strict=True)
        found, above, squares = buffers.differences(one, other, weight, keep)
        assert found.stride() == weight.stride()
        means = [table.double().t() @ part.double() / len(part) for part, table in zip(parts, tables, strict=True)]
        torch.testing.assert_close(found.double(), means[0] - means[1] + keep * weight.double(), atol=1e-5, rtol=0)
        torch.testing.assert_close(above, tables[0].mean(0) - tables[1].mean(0), atol=1e-6, rtol=0)
        known = all(hasattr(part, "lists") for part in listed)
        assert squares == pytest.approx(float(found.square().sum()) if known else float("inf"), rel=1e-4)


@needs_lists
def test_hidden_states_are_listed_where_few_of_them_are_1() -> None:
    buffers, rbm = ListBuffers(), make("blank")
    with torch.no_grad():
        for chance, few in ((0.1, True), (0.4, False)):
            hidden = (torch.rand(60, HIDDEN, generator=make_generator("hidden")) < chance).float()
            known = buffers.listed("states", hidden, rbm.weight, above=True)
            assert hasattr(known, "lists") is few
            torch.testing.assert_close(rbm.visible_input(known), rbm.visible_input(hidden), atol=1e-5, rtol=0)


@needs_lists
@pytest.mark.parametrize("options", [{}, {"weight_cost": 0.01}, {"centred": True}, {"sparsity": 0.2}], ids=str)
def test_the_bound_of_the_gradients_holds(options: dict[str, Any]) -> None:
    """And it is near where nothing is added to the sums of products."""
    rbm, batch = make("blank"), tg.Batch(states("blank")[:40])
    (step,) = list(_bounds(ContrastiveDivergence(**options), rbm, batch))
    squares = sum(float(p.grad.double().square().sum()) for p in rbm.parameters() if p.grad is not None)
    assert squares <= step
    assert (step < 2.1 * squares) is not bool({"centred", "sparsity"} & options.keys())
    (step,) = list(_bounds(ContrastiveDivergence(**options), rbm, batch))  # added to gradients that are there
    assert step == float("inf")


def _bounds(rule: ContrastiveDivergence, rbm: RBM, batch: tg.Batch) -> list[float]:
    return [step.square_bound for step in rule(rbm, batch, make_generator("step")) if isinstance(step, tg.Update)]
