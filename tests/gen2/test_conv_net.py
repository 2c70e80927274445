"""The artificial twin of the spiking conv net, and rectifiers that are trained for spikes."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import nn

import threegen as tg
from threegen.errors import ConfigError, ShapeError
from threegen.gen2.conv_net import ConvNet
from threegen.gen2.spike_activations import SoftLIF, StepReLU


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_net_of_the_converters_has_80298_parameters_and_1116416_connections() -> None:
    """Facts page, measured with torchinfo, fvcore and NeuroBench: 80,298 and 1,116,416."""
    net = ConvNet("16C5-P2-32C5-P2-128-10", generator=generator())
    assert sum(one.numel() for one in net.parameters()) == 80_298
    assert tg.count(net.eval(), torch.rand(2, 1, 28, 28)).operations["mac"] == 1_116_416


def test_layers_are_those_of_the_string() -> None:
    net = ConvNet("4C3p1-M2-6C2-20-5", shape=(2, 9, 8), batch_norm=False, bias=False, dropout=0.2)
    kinds = [type(one).__name__ for one in net.layers]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    assert all(not name.endswith("bias") for name, _ in net.named_parameters())
    assert net(torch.rand(3, 2, 9, 8)).shape == (3, 5)  # (9 - 1) / 2 = 4, minus 1: 6 x 3 x 3
    with pytest.raises(ShapeError):
        net(torch.rand(3, 1, 9, 8))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("16X5-10", "is not a layer"),
        ("10-16C5", "comes after"),
        ("16C5-P2", "number of classes"),
        ("4C9-10", "to nothing"),
    ],
)
def test_strings_that_cannot_be_are_refused(layers: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConvNet(layers, shape=(1, 8, 8))


def test_steps_are_those_of_the_paper() -> None:
    """Bu et al. 2022, eq. 15: lambda / L clip(floor(z L / lambda + 1/2), 0, L)."""
    layer, z = StepReLU(4, 2.0), torch.tensor([-1.0, 0.2, 0.3, 0.9, 1.7, 1.8, 5.0])
    # z L / lambda + 1/2 = -1.5 .9 1.1 2.3 3.9 4.1 10.5, rounded down and within 0..4, times 1/2
    assert layer(z).tolist() == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.0])


def test_the_gradient_is_that_of_the_clipped_line_and_the_ceiling_stays_above_zero() -> None:
    layer, z = StepReLU(4, 2.0), torch.tensor([-1.0, 0.3, 1.9, 5.0], requires_grad=True)
    layer(z).sum().backward()
    assert z.grad is not None
    assert z.grad.tolist() == pytest.approx([0.0, 1.0, 1.0, 0.0])
    with torch.no_grad():
        layer.log_ceiling.sub_(50.0)
    assert float(layer.ceiling.detach()) > 0


def test_a_converted_net_of_steps_answers_exactly_as_it_was_trained() -> None:
    """With one level and one step each neuron spikes where the rectifier is up: the same numbers (facts, section 5)."""
    torch.manual_seed(0)
    net = ConvNet("4C3-P2-12-3", shape=(1, 8, 8), activation="one-step")
    x = torch.rand(240, 1, 8, 8, generator=generator())
    net.train()
    net(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spiking = tg.convert(net.eval(), x, steps=1)
    with torch.no_grad():
        assert torch.allclose(spiking(x), net(x), atol=1e-5)


def test_soft_lif_is_the_rate_of_the_neuron_well_above_its_threshold() -> None:
    """Hunsberger and Eliasmith 2016, eq. 2: 1 / (tau_ref + tau log(1 + 1 / (j - 1))) for j above 1."""
    layer = SoftLIF(tau=20.0, refractory=2.0, smoothness=0.01, scale=1.0).eval()
    for j in (1.5, 2.0, 4.0):
        assert float(layer(torch.tensor(j))) == pytest.approx(1 / (2 + 20 * math.log(1 + 1 / (j - 1))), rel=1e-4)
    assert float(layer(torch.tensor(-3.0))) < 1e-3
    assert layer.train()(torch.ones(1000) * 2).std() > 0


def test_distillation_is_the_loss_of_the_paper() -> None:
    """Cross-entropy + a tau^2 KL of the softened answers, computed here with probabilities."""
    torch.manual_seed(0)
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    x, labels = torch.rand(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    rule = tg.rules.Distillation(teacher, weight=3.0, temperature=2.0, penalty=lambda: student.weight.sum())
    step = next(iter(rule(student, tg.Batch(x, labels), generator())))
    with torch.no_grad():
        p, q = (teacher(x) / 2).softmax(1), (student(x) / 2).softmax(1)
        wanted = -(student(x).softmax(1)[torch.arange(6), labels]).log().mean()
        wanted = wanted + 3.0 * 4.0 * (p * (p / q).log()).sum(1).mean() + student.weight.sum()
    assert float(step.figures["loss"]) == pytest.approx(float(wanted), rel=1e-5)
    assert all(one.grad is None for one in teacher.parameters())
    with pytest.raises(ConfigError, match="teacher"):
        tg.rules.Distillation("mlp")  # type: ignore[arg-type]


def test_an_mlp_of_the_first_converters_has_no_bias_and_is_not_stacked() -> None:
    net = tg.MLP([6, 5, 3], activation="clipped", bias=False)
    assert [name for name, _ in net.named_parameters() if "bias" in name] == []
    with pytest.raises(ConfigError, match="cannot be stacked"):
        net.stack(2)
    data = (torch.rand(40, 6, generator=generator()), torch.arange(40) % 3)
    tg.fit(net, tg.Backprop(), data, epochs=1, batch_size=10)
