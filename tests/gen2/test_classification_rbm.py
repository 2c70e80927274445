"""The classification RBM against enumeration of hidden states and labels."""

from __future__ import annotations

import itertools

import pytest
import torch

import threegen as tg
from threegen.errors import DataError
from threegen.gen2.classification_rbm import ClassificationRBM
from threegen.randomness import make_generator
from threegen.rules.hybrid_learning import HybridLearning


def test_scores_are_the_exact_posterior() -> None:
    """softmax(scores) = p(y|v), from a sum over all hidden states of exp(-E(v, y, h)) written out."""
    net = ClassificationRBM(4, 3, 5, init=1.0, generator=make_generator(0)).double().requires_grad_(False)
    with torch.no_grad():
        net.visible_bias.normal_(generator=make_generator("a"))
        net.hidden_bias.normal_(generator=make_generator("b"))
    v = torch.rand(6, 4, generator=make_generator("v"), dtype=torch.float64).round()
    h = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)), dtype=torch.float64)
    sums = []
    for label in range(3):
        states = torch.cat([v, torch.eye(3, dtype=torch.float64)[label].expand(6, 3)], 1)
        minus_energy = (states @ net.visible_bias)[:, None] + h @ net.hidden_bias + states @ net.weight.T @ h.T
        sums.append(minus_energy.logsumexp(1))
    torch.testing.assert_close(net(v).softmax(1), torch.stack(sums, 1).softmax(1))


def test_learns_real_digits() -> None:
    """1,000 digits, hybrid learning: far above the 10 % of chance."""
    data = tg.load_data("mnist")
    train = data.train.take(1_000)
    net = ClassificationRBM(784, 10, 60, generator=make_generator(0))
    net.start_visible_bias(train.inputs, train.targets)
    tg.fit(net, HybridLearning(0.05), train, lr=0.4, epochs=6, batch_size=20)
    assert tg.evaluate(net, data.test.take(500)).accuracy > 0.7


def test_writes_what_a_label_stands_for() -> None:
    """The mean of many generated examples is E[v|y], summed over all visible states."""
    net = ClassificationRBM(4, 2, 3, init=1.0, generator=make_generator(5)).requires_grad_(False)
    v = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    label = torch.tensor([0.0, 1.0]).expand(16, 2)
    expected = net.free_energy(torch.cat([v, label], 1)).neg().softmax(0) @ v
    drawn = net.generate(1, steps=30, count=20_000, generator=make_generator(1))
    torch.testing.assert_close(drawn.mean(0), expected, atol=0.015, rtol=0)


def test_labels_are_needed_and_checked() -> None:
    net = ClassificationRBM(4, 3, 5)
    with pytest.raises(DataError, match="no targets"):
        net.visible_states(torch.zeros(2, 4))
    with pytest.raises(DataError, match="label 3 at index 0"):
        net.generate(3)
