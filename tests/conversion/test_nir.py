"""Spiking nets as NIR files and back: NIR's equations stepped by hand are the oracle, and the files of three peers."""

from __future__ import annotations

import builtins
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import threegen as tg
from threegen.conversion.nir_read import import_nir
from threegen.conversion.nir_write import NirFile, export_nir
from threegen.errors import ConfigError, DataError, MissingExtraError, NumericError
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.networks import SpikingMLP, SpikingNet
from threegen.gen3.neurons import IF, LIF
from threegen.gen3.normalisation import ThresholdBatchNorm
from threegen.gen3.sequential import SpikingSequential, TimeDropout

nir = pytest.importorskip("nir", reason="needs the extra nir")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


MLP = [12, 15, 4]
EVERY: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-leak": {"neuron": "if", "threshold": 0.7},
    "subtraction": {"reset": "soft", "decay": 0.9},
    "subtraction-no-leak": {"reset": "soft", "neuron": "if", "threshold": 1.0},
    "subtraction-to-a-value": {"reset": "soft", "reset_to": 0.1, "rest": -0.05},
    "rest-and-reset": {"rest": -0.1, "reset_to": -0.2, "tau": 3.7},
    "no-memory": {"decay": 0.0},
    "recurrent": {"recurrent": True, "tau": 2.3},
    "recurrent-subtraction": {"recurrent": True, "reset": "soft", "neuron": "if"},
    "each-its-own": {"learnable_decay": True, "learnable_threshold": True, "per": "neuron"},
    "one-learnt": {"learnable_decay": True, "learnable_threshold": True, "reset": "soft"},
    "synaptic": {"neuron": "synaptic", "synaptic_tau": 2.0, "tau": 5.0},
    "potential": {"readout": "potential", "encoder": "direct", "neuron": "if"},
    "leaky": {"readout": "leaky", "encoder": "poisson", "votes": 3, "decay": 0.8},
    "other-training": {"surrogate": "arctan", "surrogate_width": 0.4, "detach_reset": True, "encoder": "latency"},
}


def shaken(net: SpikingNet) -> SpikingNet:
    """Give every parameter a little noise, so that neurons which may differ do, and biases are not zero."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator()))
    return net


@pytest.mark.parametrize("name", EVERY)
def test_a_net_comes_back_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    net = shaken(SpikingMLP(MLP, steps=7, generator=generator(), **EVERY[name]))
    written = export_nir(net, tmp_path / "net.nir")
    assert written.agreement == 1.0
    assert written.spikes > 20
    back = import_nir(written.file)
    assert (type(back), back.left_out, back.steps, back.training) == (SpikingMLP, (), 7, False)
    assert back.readout.extra_repr() == net.readout.extra_repr()
    assert type(back.readout) is type(net.readout)
    assert type(back.encoder) is type(net.encoder)
    for ours, theirs in zip(net.neurons, back.neurons, strict=True):
        assert [getattr(ours.constants, own) for own in ("reset", "surrogate", "surrogate_width", "detach_reset")] == [
            getattr(theirs.constants, own) for own in ("reset", "surrogate", "surrogate_width", "detach_reset")
        ]
    images = torch.rand(6, 12, generator=generator())
    net.eval()
    with torch.no_grad():
        records = [one.run(images, generator=generator()) for one in (net, back)]
        scores = [one(images, generator=generator()) for one in (net, back)]
    for ours, theirs in zip(records[0].potentials, records[1].potentials, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(*(one.scores for one in records))
    assert torch.equal(*scores)


CONVOLUTIONAL = {
    "spikes": SpikingConvNet("3C3S-P2-4C3-P2-9-4V2", shape=(2, 12, 12), generator=generator()),
    "subtraction": SpikingConvNet("3C5-P2-4", shape=(2, 12, 12), reset="soft", generator=generator()),
    "channels": SpikingConvNet(
        "3C3-4", shape=(2, 6, 6), learnable_threshold=True, per="channel", generator=generator()
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_convolutional_nets(name: str, tmp_path: Path) -> None:
    net = shaken(CONVOLUTIONAL[name])
    written = export_nir(net, tmp_path / "net.nir")
    back = import_nir(written.file)
    assert written.agreement == 1.0
    assert isinstance(back, SpikingConvNet)
    assert back.layers == net.layers
    assert written.spikes > 100
    if name == "channels":
        assert back.neurons[0].threshold.shape == (3, 1, 1)  # one a channel in the file too, though it has 48 numbers


def test_a_sequence_of_any_modules(tmp_path: Path) -> None:
    layers = [
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
        LIF(),
        nn.AvgPool2d(2, divisor_override=1),
        IF(0.7),
        TimeDropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(16, 9, bias=False),
        LIF(0.8, reset="soft"),
        nn.Linear(9, 3),
        LIF(tau=4.0),
    ]
    net = shaken(SpikingSequential(layers, shape=(2, 16, 16), steps=5))
    written = export_nir(net, tmp_path / "net.nir")
    assert isinstance(import_nir(written.file), SpikingSequential)
    assert written.agreement >= 0.999  # the groups of the convolution became zeros, which rounds them once more
    assert written.lost == (
        "normalisation and groups of convolutions were folded into the weights, which rounds them again",
    )
    assert net.training  # as it was


def test_normalisation_is_folded_as_by_hand(tmp_path: Path) -> None:
    """A net with the normalisation multiplied into its weights in float64, which nothing rounds, sends the same."""
    net = SpikingConvNet("3C3-BN-P2-6-BN-4", shape=(1, 10, 10), generator=generator())
    net.train()
    net(torch.rand(30, 1, 10, 10, generator=generator()))  # running statistics
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, ThresholdBatchNorm):
                part.weight.uniform_(0.5, 2.0, generator=generator())
                part.bias.uniform_(-0.2, 0.2, generator=generator())
    written = export_nir(net.double(), tmp_path / "net.nir")
    back = import_nir(written.file)
    convolution, norm = net.synapses[0]
    factor = norm.target * norm.weight / torch.sqrt(norm.running_var + norm.eps)
    assert torch.allclose(back.synapses[0].weight, convolution.weight * factor[:, None, None, None], atol=1e-12)
    assert torch.allclose(back.synapses[0].bias, norm.bias - norm.running_mean * factor, atol=1e-12)
    assert written.agreement == 1.0


# -- the equations of NIR, stepped by hand ---------------------------------------------------------------------------


def stepped(graph: Any, given: np.ndarray, dt: float) -> np.ndarray:
    """Return what the last neurons of a chain send, by forward Euler steps of NIR's equations in float64."""
    chain = ["input"]
    while chain[-1] != "output":
        chain.append(next(b for a, b in graph.edges if a == chain[-1]))
    v: dict[str, Any] = {}
    sent = []
    for x in given.astype(np.float64):
        for name in chain:
            node = graph.nodes[name]
            if isinstance(node, nir.Affine):
                x = x @ node.weight.astype(np.float64).T + node.bias
            elif isinstance(node, nir.LIF | nir.IF):
                before = v.get(name, 0.0)
                slope = node.r * x if isinstance(node, nir.IF) else (node.v_leak - before + node.r * x) / node.tau
                now = before + dt * slope
                fired = now > node.v_threshold
                v[name] = np.where(fired, node.v_reset, now)
                x = fired.astype(np.float64)
        sent.append(x)
    return np.array(sent)


@pytest.mark.parametrize("options", [{"tau": 4.0}, {"neuron": "if"}, {"decay": 0.7, "reset_to": -0.3}])
@pytest.mark.parametrize("dt", [1e-4, 1e-3])
def test_the_file_says_in_nirs_equations_what_the_net_does(options: dict[str, Any], dt: float, tmp_path: Path) -> None:
    net = shaken(SpikingMLP(MLP, generator=generator(), **options))
    export_nir(net, tmp_path / "net.nir", dt=dt)
    graph = nir.read(tmp_path / "net.nir")
    given = (torch.rand(9, 5, 12, generator=generator()) < 0.4).float()
    with torch.no_grad():
        ours = net.run(given.transpose(0, 1)).spikes[-1]
    assert ours.mean() > 0.02
    np.testing.assert_array_equal(stepped(graph, given.numpy(), dt), ours.numpy())


def test_a_neuron_exactly_at_its_threshold_fires_on_both_sides(tmp_path: Path) -> None:
    """Half and half make one threshold exactly: the package fires at it, NIR above what is written."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 0.5)
    net = SpikingSequential([layer, IF(1.0)], shape=(1,), encoder="direct", steps=6)
    export_nir(net, tmp_path / "net.nir", inputs=torch.ones(1, 1))
    graph = nir.read(tmp_path / "net.nir")
    (node,) = [one for one in graph.nodes.values() if isinstance(one, nir.IF)]
    assert 1.0 - 1e-7 < float(node.v_threshold[0]) < 1.0
    back = import_nir(tmp_path / "net.nir")
    assert back.neurons[0].constants.threshold == 1.0
    assert back.run(torch.ones(1, 1)).spikes[0].flatten().tolist() == [0, 1, 0, 1, 0, 1]


def test_the_expansion_of_a_subtraction_is_what_the_page_says(tmp_path: Path) -> None:
    net = SpikingMLP([2, 3], decay=0.75, threshold=0.8, reset="soft", generator=generator())
    export_nir(net, tmp_path / "net.nir", dt=1e-3)
    graph = nir.read(tmp_path / "net.nir")
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert kinds == {
        "input": "Input",
        "affine_0": "Affine",
        "potential_0": "LI",
        "spikes_0": "Threshold",
        "reset_0": "Scale",
        "output": "Output",
    }
    assert ("reset_0", "potential_0") in graph.edges
    np.testing.assert_allclose(graph.nodes["potential_0"].tau, 4e-3, rtol=1e-6)  # dt / (1 - .75)
    np.testing.assert_allclose(graph.nodes["potential_0"].r, 4.0, rtol=1e-6)
    np.testing.assert_allclose(graph.nodes["reset_0"].scale, -0.6, rtol=1e-6)  # -.75 * .8
    assert graph.metadata["dt"] == 1e-3
    with pytest.raises(ConfigError, match="NIR only has a reset to a value"):
        export_nir(net, tmp_path / "other.nir", expand=False)


# -- what other libraries write --------------------------------------------------------------------------------------

FIXTURES = Path(__file__).parents[1] / "fixtures" / "nir"
PEERS = {
    "snntorch-leaky": {},
    "snntorch-synaptic": {},
    "snntorch-recurrent": {},
    "spikingjelly-lif": {},
    "spikingjelly-conv": {},
    # Norse writes tau_mem * dt in the place of tau_mem: with its step of 1 ms a step of 1e-6 is the same.
    "norse-lif-box": {"dt": 1e-6},
}


def recorded(name: str) -> tuple[Tensor, Tensor]:
    """Return the input [B, T, ...] of a fixture and the spikes [T, B, N] that the library's own net sent."""
    with np.load(FIXTURES / f"{name}.npz") as kept:
        return torch.from_numpy(kept["inputs"]).transpose(0, 1), torch.from_numpy(kept["spikes"])


@pytest.mark.parametrize("name", PEERS)
def test_files_of_other_libraries_send_what_their_nets_sent(name: str) -> None:
    net = import_nir(FIXTURES / f"{name}.nir", **PEERS[name])
    given, sent = recorded(name)
    with torch.no_grad():
        ours = net.run(given).spikes[-1]
    assert 0.05 < sent.mean() < 0.5
    assert torch.equal(ours, sent)
    said = " ".join(net.left_out)
    for word in ("reset", "surrogate gradient", "encoder", "number of steps", "read-out", "threshold"):
        assert word in said
    assert ("time step" in said) == ("dt" not in PEERS[name])


def test_snntorchs_default_reset_is_not_in_its_file() -> None:
    """snnTorch writes its reset by subtraction as a reset to zero: read as written it sends other spikes.

    With the reset that was left out put back, u = beta u + x - threshold o[t-1], every spike is that of snnTorch.
    """
    net = import_nir(FIXTURES / "snntorch-default-reset.nir")
    given, sent = recorded("snntorch-default-reset")
    with torch.no_grad():
        assert (net.run(given).spikes[-1] == sent).float().mean() < 0.9
        assert any("reset by subtraction (snnTorch's default)" in one for one in net.left_out)
        for number, neuron in enumerate(net.neurons):
            own = neuron.constants
            # the package takes the way to reset_to off before the leak: a whole threshold after it
            net.neurons[number] = LIF(
                own.decay, own.threshold, "soft", reset_to=own.threshold - own.threshold / own.decay
            )
        assert torch.equal(net.run(given).spikes[-1], sent)


def test_a_file_of_norse_read_with_another_step_is_refused_with_advice() -> None:
    with pytest.raises(DataError, match=r"time constant of 3\.3\d*e-06 s, shorter than .* 0\.0001 s.*Norse"):
        import_nir(FIXTURES / "norse-lif-box.nir")


def test_reading_takes_what_the_caller_says(tmp_path: Path) -> None:
    net = import_nir(FIXTURES / "spikingjelly-lif.nir", steps=3, encoder="bernoulli", readout="potential")
    assert (net.steps, type(net.encoder).__name__, type(net.readout).__name__) == (3, "Bernoulli", "PotentialReadout")
    assert not any(word in " ".join(net.left_out) for word in ("encoder", "number of steps", "read-out"))
    at, above = (import_nir(FIXTURES / "spikingjelly-conv.nir", strict=strict) for strict in (False, True))
    assert at.neurons[1].constants.threshold == 1.0
    assert above.neurons[1].constants.threshold == np.nextafter(np.float32(1), np.float32(2))
    with pytest.raises(ConfigError, match="dt must be a finite number above"):
        import_nir(FIXTURES / "spikingjelly-lif.nir", dt=0.0)


def test_training_goes_on_from_a_file() -> None:
    net = import_nir(FIXTURES / "snntorch-leaky.nir", readout="potential")
    given, _ = recorded("snntorch-leaky")
    net.train()
    net(given).square().sum().backward()
    assert all(float(part.weight.grad.abs().sum()) > 0 for part in net.synapses)
    assert tg.count(net, given).as_dict()["operations"]


# -- what is refused -------------------------------------------------------------------------------------------------


class Own(SpikingMLP):
    """A net with a method of its own."""

    def summed_input(self, layer: int, signals: Any) -> Tensor:
        return 2 * super().summed_input(layer, signals)


def sequence(*layers: nn.Module, shape: tuple[int, ...] = (1, 8, 8)) -> SpikingSequential:
    return SpikingSequential([*layers, nn.Flatten(), nn.LazyLinear(3), LIF()], shape=shape)


REFUSED = {
    r"NIR has no maximum pooling; use average pooling": lambda: sequence(nn.Conv2d(1, 2, 3), LIF(), nn.MaxPool2d(2)),
    r"ReLU cannot be written as NIR": lambda: sequence(nn.Conv2d(1, 2, 3), nn.ReLU(), LIF()),
    r"GroupNorm cannot be written": lambda: sequence(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), LIF()),
    r"pads with zeros, this convolution with 'circular'": lambda: sequence(
        nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), LIF()
    ),
    r"square kernels only, this one is \[3, 5\]": lambda: sequence(nn.Conv2d(1, 2, (3, 5)), LIF()),
    r"average pooling has no ceil_mode": lambda: sequence(nn.AvgPool2d(3, ceil_mode=True), LIF()),
    r"average pooling has no count_include_pad=False": lambda: sequence(
        nn.AvgPool2d(2, padding=1, count_include_pad=False), LIF()
    ),
    r"windows of different sizes": lambda: sequence(nn.AdaptiveAvgPool2d(3), LIF()),
    r"products take vectors, this one takes \[1, 8, 8\]": lambda: sequence(nn.Linear(8, 8), LIF()),
    r"has no weights before it": lambda: sequence(nn.BatchNorm2d(1), LIF()),
    r"neurons 0: .* no refractory steps": lambda: SpikingMLP([4, 3], refractory=2),
    r"neurons 0: .* no adaptive threshold": lambda: SpikingMLP([4, 3], adaptation=0.1),
    r"neurons 0: .* window of several steps": lambda: SpikingMLP([4, 3], kernel=[1.0, 0.5]),
    r"synaptic current together with a reset by subtraction": lambda: SpikingMLP(
        [4, 3], neuron="synaptic", reset="soft"
    ),
    r"some neurons of a layer leak": lambda: SpikingMLP([4, 3], decay=torch.tensor([0.5, 1.0, 0.2])),
    r"NIR has no NeuNorm": lambda: SpikingConvNet("2C3-NN-3", shape=(1, 8, 8)),
    r"Own.summed_input is your own": lambda: Own([4, 3]),
    r"takes a spiking net of this package, got MLP; convert": lambda: tg.MLP([4, 3]),
    r"takes a spiking net of this package, got DiehlCook": lambda: tg.DiehlCook(10, inputs=4),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_nir_cannot_say_is_refused_with_the_reason(reason: str, tmp_path: Path) -> None:
    model = REFUSED[reason]()
    if isinstance(model, SpikingSequential):
        model(torch.rand(1, *model.shape))  # the lazy layer gets its size
    with pytest.raises(ConfigError, match=reason):
        export_nir(model, tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_a_file_that_would_send_other_spikes_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from threegen.conversion import nir_write

    true_read = nir_write.read_nir

    def damaged(*given: Any, **named: Any) -> SpikingNet:
        net = true_read(*given, **named)
        with torch.no_grad():
            net.synapses[0].weight.mul_(1.5)
        return net

    monkeypatch.setattr(nir_write, "read_nir", damaged)
    with pytest.raises(NumericError, match=r"sends other spikes \(they agree to 0\.\d+, at least 1 is needed\)"):
        export_nir(SpikingMLP(MLP, generator=generator()), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


def test_own_encoders_surrogates_and_readouts_are_named_as_lost(tmp_path: Path) -> None:
    class Readout(nn.Module):
        def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
            return spikes.amax(0)

    class Encoder(nn.Module):
        part = "encoder"

        def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
            return (x > 0.5).to(x).expand(steps, *x.shape)

    def surrogate(distance: Tensor, width: float) -> Tensor:
        return torch.exp(-distance.abs())

    net = SpikingMLP([4, 6, 3], encoder=Encoder(), readout=Readout(), surrogate=surrogate, generator=generator())
    written = export_nir(net, tmp_path / "net.nir", inputs=torch.rand(3, 4, generator=generator()))
    assert written.agreement == 1.0
    said = str(written)
    assert "spikes agree to 1.000" in said
    for word in ("encoder Encoder is your own", "read-out Readout is your own", "surrogate gradient is your own"):
        assert word in said
    assert "encoder: NIR does not say" in " ".join(import_nir(written.file).left_out)


def test_a_share_that_is_not_whole_is_never_shown_as_one() -> None:
    assert "agree to 0.999999 " in str(NirFile(Path("x"), 1 - 1e-9, 5, 1e-4, 3, ()))


def test_metadata_that_no_longer_fit_are_not_believed(tmp_path: Path) -> None:
    """Somebody has changed the thresholds in the file: they count, not the metadata."""
    export_nir(SpikingMLP([4, 3], generator=generator()), tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    node = graph.nodes["lif_0"]
    node.v_threshold = np.full(3, 2.0, np.float32)
    nir.write(tmp_path / "other.nir", graph)
    constants = import_nir(tmp_path / "other.nir").neurons[0].constants
    assert math.isclose(constants.threshold, 2.0, rel_tol=1e-6)
    assert math.isclose(constants.decay, 0.5, rel_tol=1e-6)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "nir":
            raise ImportError(name)
        return true_import(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    for use in (lambda: export_nir(SpikingMLP([4, 3]), tmp_path / "x.nir"), lambda: import_nir(tmp_path / "x.nir")):
        with pytest.raises(MissingExtraError, match=r'pip install "threegen\[nir\]"'):
            use()
