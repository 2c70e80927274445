"""Randomisation draws everything that the answer depends on, or says what it could not draw."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from threegen.errors import ConfigError
from threegen.explanations.explain import explain


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def plain() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 20), nn.ReLU(), nn.Linear(20, 4))
    return net.eval()


def normed() -> nn.Sequential:
    net = plain()
    for place in (0, 3, 5):
        parametrizations.weight_norm(net[place])
    return net


def test_the_same_function_gets_the_same_verdict_however_its_weights_are_written() -> None:
    x, wanted = images(), explain(plain()).randomisation(images(), "saliency")
    torch.testing.assert_close(normed()(x), plain()(x))
    found = explain(normed()).randomisation(x, "saliency")
    assert found.layers == wanted.layers == ("5", "3", "0")
    assert found.correlation == pytest.approx(wanted.correlation, abs=1e-4)
    assert found.sensitive == wanted.sensitive
    assert abs(found.correlation[-1]) < 0.5
    assert not found.kept


def masked() -> nn.Sequential:
    net = plain()
    prune.l1_unstructured(net[3], "weight", 100)
    prune.l1_unstructured(net[0], "weight", 10)
    return net


def old_style() -> nn.Sequential:
    net = plain()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in (0, 3, 5):
            nn.utils.weight_norm(net[place])
    net(images())  # leaves a weight that is no leaf, which a deep copy refuses
    return net


def turned() -> nn.Sequential:
    net = plain()
    for place in (0, 3, 5):
        parametrizations.orthogonal(net[place])
    return net


def bounded() -> nn.Sequential:
    net = plain()
    for place in (0, 3, 5):
        parametrizations.spectral_norm(net[place])
    return net.eval()


@pytest.mark.parametrize("make", [masked, old_style, turned, bounded])
def test_pruned_and_parametrised_weights_are_drawn_too(make: object) -> None:
    assert callable(make)
    net = make()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = explain(net).randomisation(images(), "saliency")
    assert found.layers == ("5", "3", "0")
    assert abs(found.correlation[-1]) < 0.5
    assert not found.kept
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())  # a copy was drawn


def test_weights_in_lists_and_running_statistics_are_drawn_and_the_rest_is_said() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.inside = nn.ParameterList([nn.Parameter(torch.randn(64, 8))])
            self.norm = nn.BatchNorm1d(8)
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)
            self.gain = nn.Parameter(torch.tensor(2.0))
            self.hidden = torch.randn(8, 4)  # neither parameter nor buffer

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x.flatten(1) @ self.inside[0]) * self.gain @ self.hidden

    look = explain(Odd())
    mean = look.subject.model.norm.running_mean.clone()
    found = look.randomisation(images(), "saliency")
    assert found.layers == ("norm", "Odd")
    assert set(found.kept) == {
        "gain (one value)",
        "norm.weight (constant)",
        "norm.bias (constant)",
        "a tensor [8, 4] in matmul, which is not a parameter or buffer",
    }
    assert "not drawn again: " in str(look.check(images(), ("saliency",)))
    assert look.check(images(), ("saliency",)).as_dict()["saliency"]["not_drawn"] == list(found.kept)
    assert torch.equal(look.subject.model.norm.running_mean, mean)

    class Alone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = torch.randn(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) @ self.hidden

    with pytest.raises(ConfigError, match=r"nothing to redraw \(kept: a tensor \[64, 4\]"):
        explain(Alone()).randomisation(images(), "saliency")


def test_maps_can_be_copied_and_stored() -> None:
    found = explain(plain()).saliency(images())
    for other in (copy.deepcopy(found), copy.copy(found)):
        assert type(other) is type(found)
        assert torch.equal(other, found)
        assert torch.equal(other.targets, found.targets)
        assert other.title == found.title
    twin = copy.deepcopy(found)
    twin.zero_()
    twin.facts["targets"].zero_()
    assert float(found.abs().sum()) > 0
    assert copy.deepcopy([found, found])[0].labels == found.labels
