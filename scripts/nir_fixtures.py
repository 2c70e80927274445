"""Makes tests/fixtures/nir: NIR files written by snnTorch, SpikingJelly and Norse, and the spikes of their nets.

    make bench-peers                                    # builds the environments of the three
    python scripts/nir_fixtures.py                      # runs this file in each of them
    benchmarks/.environments/norse/bin/python scripts/nir_fixtures.py norse

NAME.nir is the library's file, NAME.npz the input [T, B, ...] and the spikes [T, B, ...] that the library's own net
sent from its last layer. Weights and input come from numpy's generator, so a run gives the same numbers again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
OUT = ROOT / "tests" / "fixtures" / "nir"
PEERS = ("snntorch", "spikingjelly", "norse")
STEPS, BATCH = 25, 4


def draw(seed: int, *shape: int) -> Any:
    """Return weights of normal distribution; a potential that equals its threshold exactly is then unlikely."""
    return np.random.default_rng(seed).normal(0.05, 1.0, shape).astype(np.float32)


def spikes(seed: int, *shape: int) -> Any:
    """Return an input of spikes [T, B, ...], 30 % of them sent."""
    return (np.random.default_rng(seed).random((STEPS, BATCH, *shape)) < 0.3).astype(np.float32)


def fill(net: Any, scale: float = 0.45) -> Any:
    """Give every weight and bias of a torch net drawn values."""
    import torch

    for number, (name, parameter) in enumerate(net.named_parameters()):
        if name.rpartition(".")[2] in ("weight", "bias"):
            size = 0.1 if name.endswith("bias") else scale
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(draw(number, *parameter.shape)) * size)
    return net


def keep(name: str, graph: Any, given: Any, sent: Any) -> None:
    """Write one fixture."""
    import nir

    OUT.mkdir(parents=True, exist_ok=True)
    nir.write(OUT / f"{name}.nir", graph, compression=None)  # compressed, these small arrays take ten times the space
    np.savez_compressed(OUT / f"{name}.npz", inputs=given, spikes=np.asarray(sent, np.float32))
    sys.stdout.write(f"{name}: {np.mean(sent):.3f} of the last layer's steps hold a spike\n")


# -- snnTorch --------------------------------------------------------------------------------------------
def snntorch() -> None:
    """Write a net whose neurons differ, one with the default reset, a recurrent one, one with synaptic currents."""
    import snntorch as snn
    import torch
    from snntorch import utils
    from snntorch.export_nir import export_to_nir
    from torch import nn

    betas = torch.from_numpy(np.linspace(0.3, 0.95, 12, dtype=np.float32))

    def run(net: Any, given: Any) -> Any:
        utils.reset(net)
        with torch.no_grad():
            return torch.stack([net(one) for one in torch.from_numpy(given)]).numpy()

    def leaky(n: int, **own: Any) -> Any:
        own = {"beta": torch.full((n,), 0.8), "threshold": torch.full((n,), 1.0), "reset_mechanism": "zero", **own}
        return snn.Leaky(**own, init_hidden=True)

    given = spikes(1, 8)
    hidden = leaky(12, beta=betas, threshold=torch.linspace(0.5, 1.5, 12))
    nets = {
        "snntorch-leaky": [nn.Linear(8, 12), hidden, nn.Linear(12, 5), leaky(5)],
        "snntorch-default-reset": [
            nn.Linear(8, 12),
            leaky(12, reset_mechanism="subtract"),
            nn.Linear(12, 5),
            leaky(5, reset_mechanism="subtract"),
        ],
        "snntorch-synaptic": [
            nn.Linear(8, 12, bias=False),
            snn.Synaptic(
                alpha=torch.full((12,), 0.6),
                beta=betas,
                threshold=torch.full((12,), 1.0),
                reset_mechanism="zero",
                init_hidden=True,
                reset_delay=False,  # else these two lose the input of the step after a spike, which no file says
            ),
            nn.Linear(12, 5),
            leaky(5),
        ],
        "snntorch-recurrent": [
            nn.Linear(8, 12),
            snn.RLeaky(
                beta=torch.full((12,), 0.7),
                threshold=torch.full((12,), 1.0),
                linear_features=12,
                all_to_all=True,
                reset_mechanism="zero",
                init_hidden=True,
                reset_delay=False,  # else these two lose the input of the step after a spike, which no file says
            ),
            nn.Linear(12, 5),
            leaky(5),
        ],
    }
    for name, layers in nets.items():
        net = fill(nn.Sequential(*layers))
        if "recurrent" in name:
            nn.init.zeros_(layers[1].recurrent.bias)
        sent = run(net, given)
        utils.reset(net)
        keep(name, export_to_nir(net, torch.zeros(8)), given, sent)


# -- SpikingJelly ----------------------------------------------------------------------------------------
def spikingjelly() -> None:
    """Write a fully connected net, and a convolutional one that ends with neurons that do not leak."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir
    from torch import nn

    nets = {
        "spikingjelly-lif": (
            [
                layer.Linear(8, 12),
                neuron.LIFNode(tau=2.0, v_threshold=0.7),
                layer.Linear(12, 5),
                neuron.LIFNode(tau=4.0, decay_input=False, v_reset=-0.2),
            ],
            spikes(2, 8),
        ),
        "spikingjelly-conv": (
            [
                layer.Conv2d(2, 4, 3, padding=1),
                neuron.LIFNode(tau=2.5, decay_input=False),
                layer.AvgPool2d(2, 2),
                layer.Flatten(),
                layer.Linear(36, 5),
                neuron.IFNode(),
            ],
            spikes(3, 2, 6, 6),
        ),
    }
    for name, (layers, given) in nets.items():
        net = fill(nn.Sequential(*layers))
        with torch.no_grad():
            sent = torch.stack([net(one) for one in torch.from_numpy(given)]).numpy()
        functional.reset_net(net)
        keep(name, export_to_nir(net, torch.from_numpy(given[0])), given, sent)


# -- Norse -----------------------------------------------------------------------------------------------
def norse() -> None:
    """Write a fully connected net; Norse's scalar parameters cannot be written, so they are vectors here."""
    import torch
    from norse.torch import LIFBoxCell, LIFBoxParameters, SequentialState
    from norse.torch.utils.export_nir import to_nir
    from torch import nn

    def cell(n: int, rate: float) -> Any:
        values = {"tau_mem_inv": rate, "v_th": 0.3, "v_leak": 0.0, "v_reset": 0.0}
        return LIFBoxCell(LIFBoxParameters(**{name: torch.full((n,), value) for name, value in values.items()}))

    net = fill(SequentialState(nn.Linear(8, 12), cell(12, 300.0), nn.Linear(12, 5), cell(5, 200.0)), 1.0)
    given, state, sent = spikes(4, 8), None, []
    with torch.no_grad():
        for one in torch.from_numpy(given):
            out, state = net(one, state)
            sent.append(out.numpy())
    keep("norse-lif-box", to_nir(net, torch.zeros(8)), given, sent)


def main() -> None:
    """Make the fixtures of one library here, or of each in its own environment."""
    if len(sys.argv) > 1:
        makers: dict[str, Callable[[], None]] = {"snntorch": snntorch, "spikingjelly": spikingjelly, "norse": norse}
        name = sys.argv[1]
        makers[name]()
        packages = {one: version(one) for one in (name, "nir", "nirtorch", "torch", "numpy")}
        (OUT / f"{name}.json").write_text(json.dumps(packages, indent=1) + "\n")
        return
    for name in PEERS:
        python = ROOT / "benchmarks" / ".environments" / name / "bin" / "python"
        if not python.is_file():
            raise SystemExit(f"{python} does not exist; build the environments first: make bench-peers")
        subprocess.run([python, __file__, name], check=True)


if __name__ == "__main__":
    main()
