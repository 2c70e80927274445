"""The deep belief net: free-energy classification against enumeration, the two directions, dreams, `to_mlp`."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.gen2.dbn import DBN
from threegen.randomness import make_generator
from threegen.registry.pretraining import pretraining
from threegen.rules.backprop import Backprop
from threegen.rules.wake_sleep import WakeSleep
from threegen.training.fit import fit


def spread(dbn: DBN, scale: float = 1.0) -> DBN:
    generator = make_generator("spread")
    with torch.no_grad():
        for parameter in dbn.parameters():
            parameter.normal_(0.0, scale, generator=generator)
    return dbn


def striped(count: int = 120) -> Dataset:
    """Pictures of 3 x 4 pixels in three classes: the lit column, with noise, tells the class."""
    labels = torch.arange(count) % 3
    images = 0.1 * torch.rand(count, 1, 3, 4, generator=make_generator("striped"))
    images[torch.arange(count), 0, :, labels] = 0.9
    return Dataset.from_arrays(images, labels)


def test_sizes_and_parameters() -> None:
    """784-500-500-2000 with ten classes: 392,000 + 250,000 weights in each direction, 510 x 2,000 at the top."""
    dbn = DBN([784, 500, 500, 2000], classes=10)
    directed = 784 * 500 + 500 * 500
    biases = (784 + 500) + (500 + 500) + (510 + 2000)
    assert sum(p.numel() for p in dbn.parameters()) == 2 * directed + 510 * 2000 + biases
    with pytest.raises(ConfigError, match="at least 3"):
        DBN([784, 500])
    with pytest.raises(ConfigError, match="classes"):
        DBN([784, 500, 500], classes=1)


def test_classification_is_that_of_the_joint_distribution() -> None:
    """-F(p, y) = log sum over all 2^5 top states of exp(-E(p, y, t)): enumerated with E from its definition."""
    dbn = spread(DBN([6, 4, 3, 5], classes=3)).double()
    x = torch.rand(7, 6, dtype=torch.float64, generator=make_generator("x"))
    p = x
    for layer in dbn.layers:
        p = torch.sigmoid(layer.hidden_bias + p @ layer.weight.T)
    weight, bias, hidden = dbn.top.weight, dbn.top.visible_bias, dbn.top.hidden_bias
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=5)), dtype=torch.float64)
    expected = torch.empty(7, 3, dtype=torch.float64)
    for label in range(3):
        code = torch.eye(3, dtype=torch.float64)[label].expand(7, 3)
        visible = torch.cat([p, code], 1)
        energies = -(visible @ bias)[:, None] - (states @ hidden)[None] - visible @ weight.T @ states.T
        expected[:, label] = torch.logsumexp(-energies, 1)
    torch.testing.assert_close(dbn(x), expected.detach(), check_dtype=True, rtol=0, atol=1e-9)
    for label in range(3):  # and the RBM's own free energy of each joint state
        joint = dbn.top.visible_states(p, torch.full((7,), label))
        torch.testing.assert_close(-dbn.top.free_energy(joint), expected[:, label], rtol=0, atol=1e-9)


def test_a_net_without_classes_answers_with_its_top_layer() -> None:
    dbn = spread(DBN([6, 4, 3, 5]))
    assert dbn(torch.rand(2, 6)).shape == (2, 5)
    assert dbn.generate(count=3, steps=2).shape == (3, 6)
    with pytest.raises(ConfigError, match="has no classes"):
        dbn.generate(label=1)
    with pytest.raises(ConfigError, match="to_mlp\\(classes=10\\)"):
        dbn.to_mlp()
    assert dbn.to_mlp(classes=4)(torch.rand(2, 6)).shape == (2, 4)


def test_greedy_training_learns_and_unties() -> None:
    data = striped()
    dbn = DBN([12, 10, 8, 20], classes=3, generator=make_generator("greedy"))
    log = fit(dbn, pretraining(dbn, epochs=[30, 30, 60], lr=0.1, batch_size=20), data, validation=data)
    assert log.final["validation_accuracy"] > 0.95
    assert "validation_accuracy" not in log.epochs[0]  # half a net is not asked
    for layer, generative in zip(dbn.layers, dbn.generative, strict=True):
        assert torch.equal(layer.weight, generative)
        assert layer.weight.data_ptr() != generative.data_ptr()
    errors = [record["reconstruction_error"] for record in log.epochs]
    assert errors[29] < 0.5 * errors[0]
    labels = torch.arange(3).repeat_interleave(30)
    images = dbn.dream(labels, steps=30, generator=make_generator("dream")).images[-1]
    assert float((dbn(images).argmax(1) == labels).float().mean()) > 0.9  # it recognises what it dreams of
    columns = images.view(-1, 3, 4).mean(1)[:, :3].argmax(1)
    assert float((columns == labels).float().mean()) > 0.9  # and so do we
    back = dbn.reconstruct(data.inputs)
    assert float((back - data.inputs.flatten(1)).square().sum(1).mean()) < 0.8


def test_the_first_biases_are_the_odds_of_the_data() -> None:
    data = striped()
    dbn = DBN([12, 10, 8, 20], classes=3)
    stages = pretraining(dbn, epochs=1)
    stages[0].transform(data)
    expected = torch.logit(data.inputs.flatten(1).mean(0), eps=1e-3)
    torch.testing.assert_close(dbn.layers[0].visible_bias.detach(), expected)
    dbn.layers[0].visible_bias.data.fill_(0.25)
    stages[0].transform(data)  # a resumed stage maps its data again: what it has learnt stays
    assert torch.equal(dbn.layers[0].visible_bias.detach(), torch.full((12,), 0.25))


def test_dreams_are_held_by_their_labels_and_go_on() -> None:
    dbn = spread(DBN([6, 4, 3, 5], classes=3), 2.0)
    labels = torch.tensor([0, 1, 2, 2])

    def dream(steps: int, states: torch.Tensor | None = None, seed: str = "a") -> torch.Tensor:
        return dbn.dream(labels, steps=steps, states=states, generator=make_generator(seed)).states

    assert torch.equal(dream(5), dream(5))
    found = dbn.dream(labels, steps=7, every=3, generator=make_generator("film"))
    assert found.images.shape == (3, 4, 6)
    assert set(found.states.unique().tolist()) <= {0.0, 1.0}
    generator = make_generator("b")
    first = dbn.dream(labels, steps=2, generator=generator).states
    second = dbn.dream(labels, steps=3, states=first, generator=generator).states
    assert torch.equal(second, dream(5, seed="b"))
    with pytest.raises(DataError):
        dbn.generate(label=3)


def test_long_chains_sample_the_memory() -> None:
    """Free chains reach the exact joint distribution of p and labels: 2^2 x 2 states, enumerated."""
    dbn = spread(DBN([3, 3, 2, 3], classes=2)).double()
    top = dbn.top
    with torch.no_grad():
        joint = [
            torch.cat([torch.tensor(p, dtype=torch.float64), torch.eye(2, dtype=torch.float64)[label]])
            for p in itertools.product((0.0, 1.0), repeat=2)
            for label in range(2)
        ]
        exact = torch.softmax(-top.free_energy(torch.stack(joint)), 0).view(4, 2).sum(1)
    states = dbn.dream(chains=20_000, steps=20, generator=make_generator("long")).states
    index = (2 * states[:, 0] + states[:, 1]).long()
    found = torch.bincount(index, minlength=4).double() / len(index)
    # three standard deviations of a share over 20,000 independent chains are at most .011
    torch.testing.assert_close(found, exact, rtol=0, atol=0.011)


def test_receptive_fields() -> None:
    dbn = spread(DBN([6, 4, 3, 5], classes=3))
    assert torch.equal(dbn.receptive_fields(), dbn.layers[0].weight)
    third = dbn.top.weight[:, :3] @ dbn.layers[1].weight @ dbn.layers[0].weight
    torch.testing.assert_close(dbn.receptive_fields(3), third.detach())
    with pytest.raises(ConfigError, match=r"1\.\.3"):
        dbn.receptive_fields(4)


def test_to_mlp_is_an_ordinary_net_with_the_same_features() -> None:
    dbn = spread(DBN([6, 4, 3, 5], classes=3))
    net = dbn.to_mlp(dropout=0.2).eval()
    assert isinstance(net, nn.Sequential)
    kinds = [type(part).__name__ for part in net]
    assert kinds == ["Flatten", *["Linear", "Sigmoid", "Dropout"] * 3, "Linear"]
    x = torch.rand(4, 1, 2, 3)
    torch.testing.assert_close(net[:7](x), dbn.encode(x))
    top = dbn.top
    uniform = torch.cat([dbn.encode(x), torch.full((4, 3), 1 / 3)], 1)
    torch.testing.assert_close(net[:10](x), top.hidden_given_visible(uniform))
    torch.testing.assert_close(net[10].weight, top.weight[:, 3:].T)
    before = dbn.top.weight.detach().clone()
    data = Dataset(torch.rand(30, 6), torch.arange(30) % 3)
    fit(net, Backprop(), data, epochs=1, batch_size=10)
    assert torch.equal(dbn.top.weight, before)
    with pytest.raises(ConfigError, match="this net has 3 classes"):
        dbn.to_mlp(classes=4)
    with pytest.raises(ShapeError, match="DBN expects"):
        dbn(torch.rand(2, 5))


def test_to_mlp_with_rectified_units_begins_with_the_sigmoids_tangent() -> None:
    """Each unit is max(0, sigmoid(0) + sigmoid'(0) x), x its total input; the slope is autograd's."""
    dbn = spread(DBN([6, 4, 3, 5], classes=3)).double()
    net = dbn.to_mlp(activation="relu", dropout=0.2).eval()
    assert [type(part).__name__ for part in net] == ["Flatten", *["Linear", "ReLU", "Dropout"] * 3, "Linear"]
    zero = torch.zeros((), dtype=torch.float64, requires_grad=True)
    torch.sigmoid(zero).backward()
    assert zero.grad is not None
    plain, state = dbn.to_mlp(), torch.rand(40, 6, dtype=torch.float64, generator=make_generator("x"))
    x = state
    for number in (1, 2, 3):
        state = torch.relu(torch.sigmoid(zero) + zero.grad * plain.get_submodule(f"linear{number}")(state))
    expected = plain.get_submodule("linear4")(state)
    torch.testing.assert_close(net(x), expected, rtol=1e-12, atol=1e-12)
    assert bool((state == 0).any())
    with pytest.raises(ConfigError, match="activation is 'rellu'; choose sigmoid, relu"):
        dbn.to_mlp(activation="rellu")


def test_rectified_units_keep_what_was_pre_trained() -> None:
    """A layer's outputs keep about the size that the next one was trained on, so that little is left to be learnt."""
    data = striped()
    dbn = DBN([12, 10, 8, 20], classes=3, generator=make_generator("greedy"))
    fit(dbn, pretraining(dbn, epochs=[30, 30, 60], lr=0.1, batch_size=20), data)
    net = dbn.to_mlp(activation="relu")
    with torch.no_grad():
        for number, length in ((1, 3), (2, 5)):
            ratio = float(net[:length](data.inputs).mean() / dbn.encode(data.inputs, number).mean())
            assert 0.5 < ratio < 2.0
    log = fit(net, Backprop(), data, optimizer="adam", lr=1e-3, epochs=5, batch_size=20, validation=data)
    assert log.final["validation_accuracy"] > 0.95


def real_valued(count: int = 120) -> Dataset:
    """Twelve real features in three classes: those of one column stand 2 above the others, with noise of N(0, 1)."""
    labels = torch.arange(count) % 3
    features = torch.randn(count, 3, 4, generator=make_generator("real"))
    features[torch.arange(count), :, labels] += 2.0
    return Dataset(features.flatten(1) - features.mean(), labels, ("a", "b", "c"), "real")


def test_gaussian_visible_units_are_an_rbm_of_real_values_below() -> None:
    """Upwards a sigmoid of the linear input; downwards the mean is linear: x_0 ~ N(c + x_1 G, 1)."""
    dbn = spread(DBN([6, 4, 3, 5], classes=3, visible_units="gaussian")).double()
    x = 3 * torch.randn(7, 6, dtype=torch.float64, generator=make_generator("x"))
    first, second = dbn.layers
    torch.testing.assert_close(dbn.encode(x, 1), torch.sigmoid(x @ first.weight.T + first.hidden_bias))
    states = torch.rand(7, 4, dtype=torch.float64, generator=make_generator("h"))
    torch.testing.assert_close(dbn.below(0, states), states @ dbn.generative[0] + first.visible_bias)
    assert dbn.needs_unit_range is False
    assert type(second.visible_units).__name__ == "BernoulliUnits"
    assert float(dbn.dream(torch.tensor([0, 1]), steps=3).images.abs().max()) > 1.0


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_a_net_of_real_values_learns_and_is_finished(activation: str) -> None:
    data = real_valued()
    dbn = DBN([12, 10, 8, 20], classes=3, visible_units="gaussian", generator=make_generator("greedy"))
    stages = pretraining(dbn, epochs=[30, 30, 60], batch_size=20)
    assert [stage.schedule.rate for stage in stages] == [0.01, 0.05, 0.05]  # type: ignore[union-attr]
    log = fit(dbn, stages, data, validation=data)
    errors = [record["reconstruction_error"] for record in log.epochs]
    assert errors[29] < 0.9 * errors[0]
    net = dbn.to_mlp(activation=activation)
    log = fit(net, Backprop(), data, optimizer="adam", lr=1e-2, epochs=10, batch_size=20, validation=data)
    assert log.final["validation_accuracy"] > 0.9


def test_up_and_down_of_real_values_takes_the_plain_way() -> None:
    """The fused step knows sigmoids alone; the rule's own plain twin moves the same net to the same weights."""
    data, nets = real_valued(), []
    for fused in (True, False):
        dbn = DBN([12, 10, 8, 20], classes=3, visible_units="gaussian", generator=make_generator("up-down"))
        fit(dbn, WakeSleep(1, rate=0.01, fused=fused), data, epochs=3, batch_size=20, optimizer="sgd", lr=0.01)
        nets.append(dbn)
    for own, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)


def test_one_rate_for_each_stage() -> None:
    dbn = DBN([12, 10, 8, 20])
    assert [stage.schedule.rate for stage in pretraining(dbn, lr=[0.1, 0.2, 0.3])] == [0.1, 0.2, 0.3]  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="lr must be one number or 3, one for each stage"):
        pretraining(dbn, lr=[0.1])
    with pytest.raises(ConfigError, match="lr must be a finite number above"):
        pretraining(dbn, lr=[0.1, 0.0, 0.1])
