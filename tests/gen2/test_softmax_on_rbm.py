"""Softmax on an RBM: counted exactly, explained, and trained in two stages by its entry."""

from __future__ import annotations

import pytest
import torch

import threegen as tg
from threegen.gen2.softmax_on_rbm import SoftmaxOnRBM
from threegen.randomness import make_generator
from threegen.registry.entry import build_model, find_entry
from threegen.report.insides import first_weights
from threegen.testing import ContractViolation, check_model


def small(generator: torch.Generator) -> SoftmaxOnRBM:
    return SoftmaxOnRBM(784, 12, 10, generator=generator)


def test_keeps_the_contract_of_models_but_for_the_visible_biases() -> None:
    """Only the RBM's own learning moves these: the scores do not depend on them."""
    with pytest.raises(ContractViolation) as caught:
        check_model(small, torch.rand(3, 1, 28, 28, generator=make_generator(0)), classes=10)
    assert caught.value.failures == {"finite gradients": "rbm.visible_bias gets no gradient from the scores"}


def test_the_bill_is_exact() -> None:
    """784 x 500 and 500 x 10 products a picture; weights, both hidden biases and the visible biases in memory."""
    bill = tg.count(SoftmaxOnRBM(784, 500, 10), torch.rand(1, 1, 28, 28))
    assert bill.operations["mac"] == 784 * 500 + 500 * 10
    assert bill.weight_bytes == 4 * (784 * 500 + 500 + 784 + 500 * 10 + 10)


def test_receptive_fields_and_wanted_inputs_can_be_drawn() -> None:
    net = small(make_generator(0))
    fields = tg.explain(net).filters()
    assert tuple(fields.shape) == (12, 1, 28, 28)
    assert torch.equal(fields.as_subclass(torch.Tensor).flatten(1), net.rbm.weight.detach())
    found = first_weights(net, (1, 28, 28))
    assert found is not None
    assert found.total == 12
    wanted = tg.explain(net).maximise("rbm", [0, 3], example=torch.zeros(1, 1, 28, 28), steps=30)
    moved = net.rbm(wanted.as_subclass(torch.Tensor))[[0, 1], [0, 3]] - net.rbm(torch.full((1, 784), 0.5))[0, [0, 3]]
    assert bool((moved > 0).all())  # they excite their units more than a grey picture does


def test_the_entry_learns_the_rbm_without_labels_first() -> None:
    entry, data = find_entry("rbm-softmax"), tg.load_data("mnist")
    plan = entry.plan("quick")
    model = build_model(entry, (1, 28, 28), 10, 0, {"hidden": 100})
    first, second = entry.stages(model, plan) if entry.stages else []
    assert not first.rule.uses_labels
    before = model.rbm.weight.detach().clone()  # type: ignore[union-attr, operator]
    log = tg.fit(model, [first, second], data.train.take(5_000), seed=0)
    assert not torch.equal(before, model.rbm.weight.detach())  # type: ignore[union-attr, operator]
    biases = model.rbm.visible_bias.detach().clone()  # type: ignore[union-attr, operator]
    assert first.transform is not None
    first.transform(data.train.take(100))  # what a resumed run does once more
    assert torch.equal(biases, model.rbm.visible_bias.detach())  # type: ignore[union-attr]
    errors = [record["reconstruction_error"] for record in log.epochs if record["stage"] == 0]
    assert errors[-1] < errors[0]
    assert tg.evaluate(model, data.test.take(500)).accuracy > 0.5  # chance is .1
