"""Residual and converted nets as NIR files and back; the file's own equations, stepped by hand, are the oracle."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import threegen as tg
from threegen.conversion.nir_read import import_nir
from threegen.conversion.nir_write import export_nir
from threegen.errors import ConfigError
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.graph_neurons import StartedIF, Sum
from threegen.gen3.networks import SpikingMLP, SpikingNet
from threegen.gen3.spiking_graph import SpikingGraph

nir = pytest.importorskip("nir", reason="needs the extra nir")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def stepped(graph: Any, given: np.ndarray, dt: float) -> np.ndarray:
    """Return what reaches the output at each step [T, B, N], by forward Euler steps of NIR's equations in float64.

    Every edge adds up where it ends; a cycle's result acts one step later, so reset and recurrent weights use the last
    step's spikes.
    """
    late = {name for name in graph.nodes if name.startswith(("reset", "recurrent"))}
    v: dict[str, Any] = {}
    value: dict[str, Any] = {}
    sent = []
    for x in given.astype(np.float64):
        last, value = value, {"input": x}
        waiting = [name for name in graph.nodes if name != "input" and name not in late]

        def arriving(name: str, value: dict[str, Any] = value, last: dict[str, Any] = last) -> Any:
            total = 0.0
            for one in (a for a, b in graph.edges if b == name):
                if one not in late:
                    total = total + value[one]
                elif last:
                    total = total + computed(one, last[source(one)], {})
            return total

        def source(name: str) -> str:
            return next(a for a, b in graph.edges if b == name)

        def computed(name: str, x: Any, v: dict[str, Any]) -> Any:
            node = graph.nodes[name]
            kind = type(node).__name__
            if kind in ("Affine", "Linear"):
                return x @ node.weight.astype(np.float64).T + getattr(node, "bias", 0.0)
            if kind == "Scale":
                return x * node.scale
            if kind == "Threshold":
                return (x > node.threshold).astype(np.float64)
            if kind == "Flatten":
                return x.reshape(len(x), -1)
            if kind in ("Conv2d", "SumPool2d", "AvgPool2d"):
                return spatial(node, kind, x)
            before = v.get(name, 0.0)
            v[name] = before + dt * (
                node.r * x if kind in ("I", "IF") else (node.v_leak - before + node.r * x) / node.tau
            )
            if kind in ("LI", "I"):
                return v[name]
            fired = v[name] > node.v_threshold
            v[name] = np.where(fired, node.v_reset, v[name])
            return fired.astype(np.float64)

        while waiting:
            for name in list(waiting):
                if all(a in value or a in late for a, b in graph.edges if b == name):
                    x = arriving(name)
                    value[name] = x if name == "output" else computed(name, x, v)
                    waiting.remove(name)
        sent.append(value["output"])
    return np.array(sent)


def spatial(node: Any, kind: str, x: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(np.asarray(x, np.float64))
    if kind == "Conv2d":
        weight, bias = (torch.from_numpy(one.astype(np.float64)) for one in (node.weight, node.bias))
        padding = tuple(int(one) for one in node.padding)
        return nn.functional.conv2d(values, weight, bias, tuple(map(int, node.stride)), padding).numpy()
    kernel, stride = (tuple(map(int, one)) for one in (node.kernel_size, node.stride))
    return nn.functional.avg_pool2d(values, kernel, stride, divisor_override=1 if kind == "SumPool2d" else None).numpy()


@pytest.mark.parametrize(
    "options",
    [
        {"reset": "soft", "decay": 0.8},
        {"reset": "soft", "neuron": "if", "recurrent": True},
        {"readout": "potential", "reset": "soft", "reset_to": -0.1},
        {"readout": "leaky", "decay": 0.9},
    ],
)
def test_feedback_and_readouts_are_what_nirs_equations_say(options: dict[str, Any], tmp_path: Path) -> None:
    net = SpikingMLP([12, 15, 4], generator=generator(), **options)
    export_nir(net, tmp_path / "net.nir")
    given = (torch.rand(9, 5, 12, generator=generator()) < 0.4).float()
    found = stepped(nir.read(tmp_path / "net.nir"), given.numpy(), 1e-4)
    with torch.no_grad():
        record = net.eval().run(given.transpose(0, 1))
    if net.readout.extra_repr() or options.get("readout"):
        np.testing.assert_allclose(found[-1], record.scores.numpy(), atol=1e-5)
    else:
        np.testing.assert_array_equal(found, record.spikes[-1].numpy())
    assert np.ptp(found) > 0


@pytest.mark.parametrize("layers", ["3C3S-R3C3-P2-R5C3-P2-6-4", "3C3S-R3C3-R3C3-P2-4"])
@pytest.mark.parametrize("shortcut", ["current", "spikes"])
def test_residual_nets(layers: str, shortcut: str, tmp_path: Path) -> None:
    if shortcut == "spikes":
        layers = layers.replace("R5", "R3")
    net = SpikingConvNet(layers, shape=(2, 8, 8), shortcut=shortcut, steps=5, generator=generator())
    written = export_nir(net, tmp_path / "net.nir")
    back = import_nir(written.file)
    assert isinstance(back, SpikingGraph)
    assert written.agreement == 1.0
    assert written.spikes > 300
    images = torch.rand(3, 2, 8, 8, generator=generator())
    with torch.no_grad():
        assert torch.equal(*(one.eval()(images, generator=generator()) for one in (net, back)))
    kinds = [type(node).__name__ for node in nir.read(written.file).nodes.values()]
    assert kinds.count("Conv2d") == sum(part.count("C") for part in layers.split("-")) + layers.count("R") + (
        shortcut == "current" and "R5" in layers  # the 1 x 1 convolution of a shortcut to other channels
    )


class Residual(nn.Module):
    """A shortcut over one convolution, then the mean of every plane."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        return self.last((self.second(x) + x).relu().mean((2, 3)))


def network(kind: str) -> nn.Module:
    torch.manual_seed(3)
    if kind == "residual":
        return Residual().eval()
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 9),
        nn.ReLU(),
        nn.Linear(9, 5),
    ).eval()


def converted(kind: str, **options: Any) -> SpikingNet:
    images = torch.rand(60, 1, 8, 8, generator=generator())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an untrained net loses what it may
        return tg.convert(network(kind), images, steps=6, **options)


CONVERSIONS: list[dict[str, Any]] = [
    {},
    {"readout": "rate"},
    {"method": "percentile", "reset": "zero"},
    {"method": "percentile", "input": "bernoulli", "readout": "rate", "initial": "zero"},
]


@pytest.mark.parametrize("options", CONVERSIONS, ids=str)
@pytest.mark.parametrize("kind", ["chain", "residual"])
def test_a_converted_net_comes_back_the_same(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    net = converted(kind, **options)
    images = torch.rand(5, 1, 8, 8, generator=generator())
    written = export_nir(net, tmp_path / "net.nir", inputs=images)
    back = import_nir(written.file)
    assert written.agreement == 1.0
    assert isinstance(back, SpikingGraph)
    assert written.spikes > 100
    with torch.no_grad():
        assert torch.equal(*(one(images, generator=generator()) for one in (net, back)))
    for ours, theirs in zip(net.neurons, back.neurons, strict=True):
        assert type(ours) is type(theirs) in (StartedIF, Sum)
    if options.get("input") is None:  # the same image at every step: NIR's equations say the same scores
        given = images.numpy()[None].repeat(6, 0)
        found = stepped(nir.read(written.file), given, 1e-4)
        with torch.no_grad():
            record = net.run(images)
        ours = record.spikes[-1] if options.get("readout") == "rate" else None
        if ours is None:
            np.testing.assert_allclose(found[-1], record.scores.numpy(), atol=1e-4)
        else:
            np.testing.assert_array_equal(found, ours.numpy())


def test_maximum_pooling_of_spikes_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(3)
    ann = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 5)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = tg.convert(ann.eval(), torch.rand(60, 1, 8, 8, generator=generator()), steps=6)
    with pytest.raises(ConfigError, match="NIR has no maximum pooling; convert"):
        export_nir(net, tmp_path / "net.nir")
