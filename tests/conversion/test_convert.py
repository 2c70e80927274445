"""What `convert` promises besides right scores: order, batches, edge cases, the bill, the neurons of training."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import threegen as tg
from threegen.conversion.convert import ConversionWarning, ConvertedNet, convert
from threegen.conversion.scales import percentiles
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.gen3.graph_neurons import MaxGate, StartedIF
from threegen.gen3.spiking_graph import SpikingGraph


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 3)),
    ).eval()


IMAGES = torch.rand(260, 1, 8, 8, generator=generator(1))


def quietly(model: nn.Module, data: Any = IMAGES, **options: Any) -> ConvertedNet:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return convert(model, data, **options)


def test_neither_the_order_of_the_images_nor_their_batches_change_a_bit() -> None:
    order = torch.randperm(len(IMAGES), generator=generator(2))
    first = quietly(network(), IMAGES, steps=3)
    for other in (IMAGES[order], [IMAGES[:7], IMAGES[7:100], IMAGES[100:]], torch.utils.data.TensorDataset(IMAGES)):
        again = quietly(network(), other, steps=3)
        for name, value in first.state_dict().items():
            assert torch.equal(value, again.state_dict()[name]), name


def test_the_network_is_left_as_it_was_and_may_be_in_training_mode() -> None:
    model = network().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    net = quietly(model)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert any("training mode" in note for note in net.report.notes)  # type: ignore[union-attr]


def test_the_default_reset_makes_a_rounded_count_of_spikes() -> None:
    """For one summed input a at every step, theta = 1: floor(T a + 1/2) spikes (facts: the rate identity)."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False)).eval()
    nn.init.ones_(model[0].weight)
    x = torch.linspace(0, 1, 201)[:, None]
    net = quietly(model, x, steps=7, method="max")
    counts = net.run(x).counts[0][:, 0].detach()
    assert torch.equal(counts, (7 * x[:, 0] + 0.5).floor())
    down = quietly(model, x, steps=7, method="max", initial="zero").run(x).counts[0][:, 0].detach()
    # binary fractions of 1/200 are not exact: a count may be one less where T a is a whole number
    assert int((down - (7 * x[:, 0]).floor()).abs().max()) <= 1
    assert float((down - (7 * x[:, 0]).floor()).abs().mean()) < 0.05


def test_reset_to_zero_loses_what_lies_above_the_threshold() -> None:
    """a = .7, theta = 1, reset to zero: potentials .7, 1.4 -> 0, .7, 1.4 -> 0: one spike in two steps, not .7."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False)).eval()
    nn.init.ones_(model[0].weight)
    net = quietly(model, torch.linspace(0, 1, 201)[:, None], steps=10, method="max", reset="zero", initial="zero")
    assert net.run(torch.tensor([[0.7]])).counts[0].item() == 5


def test_percentiles_are_those_of_a_sorted_list() -> None:
    values = torch.arange(1000.0).reshape(500, 2)[torch.randperm(500, generator=generator())]
    assert percentiles(values, 99.9, per_channel=True).tolist() == [998.0, 999.0]  # the 500th of 500, even and odd
    assert percentiles(values, 50.0, per_channel=False).tolist() == [499.0]


def test_the_model_alone_gives_diehls_factor() -> None:
    """Diehl et al. 2015, model-based: the largest sum of positive weights and bias for inputs up to 1."""
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.5, -1.0, 0.25], [1.0, 1.0, -3.0]]))
        model[0].bias.copy_(torch.tensor([0.125, -1.0]))
    net = quietly(model, torch.rand(220, 3, generator=generator()), method="model", steps=2)
    assert net.report.layers[0].threshold == pytest.approx(2.0)  # type: ignore[union-attr]


def test_the_gate_lets_the_highest_count_through() -> None:
    spikes = (torch.rand(20, 2, 3, 4, 4, generator=generator()) < 0.4).float()
    sent, state = MaxGate([2, 2], [2, 2], [0, 0])(spikes)
    assert bool(((sent == 0) | (sent == 1)).all())
    for step in range(1, 21):  # after every step: the largest number of spikes so far, window by window
        assert torch.equal(sent[:step].sum(0), F.max_pool2d(spikes[:step].sum(0), 2))
    halves, state = MaxGate([2, 2], [2, 2], [0, 0])(spikes[:9])
    rest, _ = MaxGate([2, 2], [2, 2], [0, 0])(spikes[9:], state)
    assert torch.equal(torch.cat([halves, rest]), sent)


def test_max_pooling_behind_the_analog_layer_is_exact() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 2)).eval()
    net = quietly(model, steps=40, method="max")
    assert [layer.neurons for layer in net.layers] == ["if", "sum"]  # no gate: the maximum is taken before the neurons
    wanted = model[:3](IMAGES).detach()
    counts = net.run(IMAGES).counts[0].detach() / 40 * wanted.transpose(0, 1).flatten(1).amax(1).view(1, -1, 1, 1)
    assert float((counts - wanted).abs().max()) <= 0.5 / 40 * float(wanted.max()) * 1.001


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_the_bill_of_a_converted_net_equals_a_brute_count(steps: int) -> None:
    net = quietly(network(), steps=steps)
    x = IMAGES[:20]
    bill = tg.count(net, x).operations
    with torch.no_grad():
        record = net.run(x)
    pooled = F.avg_pool2d(record.spikes[0].flatten(0, 1), 2, divisor_override=1)
    assert bill["ac_each"] == pytest.approx(float(pooled.sum()) * 12 / 20)
    last = record.spikes[1].sum() * 3
    assert bill["ac"] == pytest.approx(float(pooled.sum() + last) / 20)  # the pool's sums, and the last layer
    dense = 4 * 6 * 6 * 9 + steps * 36 * 12
    assert bill["mac"] == dense  # the first layer once, the layer behind counts at every step
    nonzero = float((pooled != 0).sum()) * 12 / 20
    analog = float((F.unfold(x, 3) != 0).sum()) * 4 / 20
    assert bill["mac_nonzero"] == pytest.approx(nonzero + analog)


def test_it_can_be_trained_on_explained_saved_and_built_again(tmp_path: Any) -> None:
    net = quietly(network(), steps=3)
    plan = net.plan
    other = SpikingGraph(**plan)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.eval()(IMAGES), net(IMAGES))
    before = [one.detach().clone() for one in net.parameters()]
    labels = network()(IMAGES).argmax(1)
    data = Dataset(IMAGES, labels, ("a", "b", "c"), "toy")
    tg.fit(net, tg.Backprop(), data, optimizer="sgd", lr=0.01, epochs=1, batch_size=32, seed=0)
    assert any(not torch.equal(one, two) for one, two in zip(before, net.parameters(), strict=True))
    maps = tg.explain(net).saliency(IMAGES[:2])
    assert bool(maps.isfinite().all())


def test_steps_go_on_from_the_state() -> None:
    net = quietly(network(), steps=6)
    whole = net.run(IMAGES[:5])
    net.steps = 2
    first = net.run(IMAGES[:5])
    net.steps = 4
    second = net.run(IMAGES[:5], state=first.state)
    for all_steps, one, two in zip(whole.spikes[:-1], first.spikes, second.spikes, strict=False):
        assert torch.equal(all_steps, torch.cat([one, two]))


def test_one_step_one_image_and_one_class() -> None:
    assert quietly(network(), IMAGES[:1], steps=1)(IMAGES[:1]).shape == (1, 3)
    data = Dataset(IMAGES, torch.zeros(len(IMAGES), dtype=torch.int64), ("a", "b", "c"), "toy")
    report = quietly(network(), data, steps=2).report
    assert any("class 0" in note for note in report.notes)  # type: ignore[union-attr]
    assert report.accuracy is not None  # type: ignore[union-attr]


def test_a_rectifier_that_never_fires_has_its_sentence() -> None:
    model = network()
    nn.init.constant_(model[5].bias, -100.0)
    report = quietly(model, steps=2).report
    assert any("never fires" in note for note in report.notes)  # type: ignore[union-attr]


def test_much_loss_is_warned_of_with_the_layer() -> None:
    model = nn.Sequential(nn.Linear(6, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 5)).eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        convert(model, torch.rand(240, 6, generator=generator()), steps=1, method="max", initial="zero")
    sentences = [str(one.message) for one in caught if one.category is ConversionWarning]
    assert any("the rates of 1 follow" in one for one in sentences)
    assert any("of the answers differ from those of the network; most is lost in" in one for one in sentences)


@pytest.mark.parametrize("options", [{"input": "bernoulli"}, {"input": tg.Poisson()}, {"readout": "rate"}])
def test_other_inputs_and_readouts(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 40), nn.ReLU(), nn.Linear(40, 4)).eval()
    x = torch.rand(240, 20, generator=generator())
    net = quietly(model, x, steps=300, method="max", **options)
    agreement = (net(x, generator()).argmax(1) == model(x).argmax(1)).float().mean()
    assert float(agreement) > (0.9 if "readout" in options else 0.75)


def test_compensation_tells_the_effect_of_each_option() -> None:
    net = quietly(network(), steps=2, method="percentile", compensate=["threshold", "bias", "potential"])
    names = [name for name, _ in net.report.compensation]  # type: ignore[union-attr]
    assert len(names) == 4
    assert names[0] == "without corrections"


def test_a_factor_makes_every_spike_worth_more() -> None:
    plain = quietly(network(), steps=4, method="max")
    more = quietly(network(), steps=4, method="max", factor=1.1)
    ratio = more.synapses[1].parts[-1].weight / plain.synapses[1].parts[-1].weight
    assert torch.allclose(ratio, torch.full_like(ratio, 1.1))


def test_started_neurons_without_an_offset_are_plain_ones() -> None:
    currents = torch.randn(9, 4, 5, generator=generator()) * 0.5
    spikes, _ = StartedIF(5, initial=0.0)(currents)
    assert torch.equal(spikes, tg.IF(1.0, "soft")(currents)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"method": "grod"}, "did you mean 'grid'"),
        ({"compensate": "bias"}, "textbook"),
        ({"percentile": 0.0}, "percentile"),
        ({"reset": "half"}, "reset"),
        ({"input": "latency"}, "rate"),
        ({"readout": "leaky"}, "readout"),
        ({"factor": -1.0}, "factor"),
        ({"images": 0}, "images"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        convert(network(), IMAGES, **options)


def test_bad_data_are_refused() -> None:
    with pytest.raises(DataError):
        convert(network(), IMAGES[:0])
    with pytest.raises(ShapeError):
        convert(network(), torch.rand(250, 3, 8, 8))
    with pytest.raises(ConfigError, match="already a spiking net"):
        convert(tg.SpikingMLP([4, 3, 2]), torch.rand(250, 4))
    with pytest.raises(ConfigError, match="float32"):
        convert(network().double(), IMAGES)


def test_tied_and_parametrised_weights_are_read_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    model[2].weight = model[0].weight
    nn.utils.parametrizations.weight_norm(model[4])
    x = torch.rand(240, 6, generator=generator())
    net = quietly(model, x, steps=200, method="max")
    with torch.no_grad():
        scores = model(x)
        assert float((net(x) - scores).norm() / scores.norm()) < 0.04


def test_values_outside_zero_to_one_are_taken_as_they_are() -> None:
    x = 4 * torch.randn(240, 6, generator=generator())
    model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3)).eval()
    net = quietly(model, x, steps=200, method="max")
    with torch.no_grad():
        expected: Tensor = model(x)
        assert float((net(x) - expected).norm() / expected.norm()) < 0.04
