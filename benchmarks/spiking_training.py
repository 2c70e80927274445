"""Training spiking nets: one update (forward, backward, Adam) on spikes that were drawn before the clock starts.

784-800-10 in batches of 128 and 15C5-P2-40C5-P2-300-10 in batches of 64, over T time steps of MNIST's first images:
hard detached reset, rectangular surrogate with a = 1, decay .5, threshold .5, squared error of the mean rate. The floor
is only the dense products and convolutions of forward and backward. Before timing, each contestant, ours included, must
give exactly the spikes of the plain loop over time and its gradients to 1e-4; otherwise it is left out with a message.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from harness import HERE, Contestant, Job, main
from torch import Tensor
from torch.nn import functional as F

import threegen as tg
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.encoders import Bernoulli
from threegen.gen3.networks import SpikingMLP, SpikingNet

sys.path.insert(0, str(HERE / "peers"))
from spiking_case import CASE, best, load_case, refuse_unequal, updates

BATCH = {"mlp": 128, "conv": 64}
GRID = 1024  # weights are multiples of 1 / GRID, see `spiking_case`


def unit(quick: bool) -> str:
    """Return what the figures are."""
    return f"milliseconds per update, the best of {updates(quick)}"


def make_net(kind: str, steps: int, backend: str) -> SpikingNet:
    """Return the net with the same weights for every backend."""
    drawn = torch.Generator().manual_seed(0)
    if kind == "mlp":
        net: SpikingNet = SpikingMLP([784, 800, 10], steps=steps, detach_reset=True, backend=backend, generator=drawn)
    else:
        net = SpikingConvNet(steps=steps, detach_reset=True, backend=backend, generator=drawn)
    with torch.no_grad():
        for synapse in net.synapses:
            synapse.weight.copy_((synapse.weight * GRID).round() / GRID)
            synapse.bias.fill_(0.5 / GRID)
    return net


def show_spikes(net: SpikingNet, spikes: Tensor) -> None:
    """Make the net use `spikes` [T, B, ...], bytes, for any image."""
    source = spikes.permute(0, 1, 3, 4, 2).contiguous() if spikes.dim() > 3 else spikes
    floats = spikes.float()
    if net.backend == "plain":
        net.encode = lambda x, generator=None: floats  # type: ignore[method-assign]
    else:  # the kernels ask for their spikes block by block; with another `encode` they would not be used
        net._source = (  # type: ignore[method-assign]
            lambda pixels, generator, given=False: lambda first, steps: source[first : first + steps]
        )


def make_case(kind: str, steps: int) -> dict[str, str]:
    """Write the case that all sides load (see `spiking_case`), and return the variable that names it."""
    train = tg.load_data("mnist").train.take(BATCH[kind])
    images = train.inputs if kind == "conv" else train.inputs.flatten(1)
    spikes = Bernoulli()(images, steps, torch.Generator().manual_seed(1)).to(torch.uint8)
    targets = F.one_hot(train.targets, 10).float()
    net = make_net(kind, steps, "plain")
    show_spikes(net, spikes)
    rates = net(images)
    F.mse_loss(rates, targets).backward()
    case = {"spikes": spikes, "targets": targets, "images": images, "counts": (rates.detach() * steps).round()}
    for number, synapse in enumerate(net.synapses):
        case |= {f"weight{number}": synapse.weight.detach(), f"bias{number}": synapse.bias.detach()}
        case |= {f"by_weight{number}": synapse.weight.grad, f"by_bias{number}": synapse.bias.grad}
    path = Path(tempfile.mkdtemp(prefix="spiking-case-")) / "case.npz"
    np.savez(path, **{name: np.ascontiguousarray(tensor.numpy()) for name, tensor in case.items()})
    return {CASE: str(path)}


class Training:
    """One update of our net, checked against the case before timing."""

    def __init__(self, kind: str, steps: int) -> None:
        self.kind, self.steps = kind, steps
        self.ready = False

    def prepare(self) -> None:
        """Load the case, build the net and compare; the first call compiles."""
        case = load_case()
        self.net = make_net(self.kind, self.steps, "fused")
        show_spikes(self.net, torch.from_numpy(case["spikes"]))
        self.images, self.targets = torch.from_numpy(case["images"]), torch.from_numpy(case["targets"])
        self.optimizer = tg.optimizer("adam", lr=1e-9).build(self.net.parameters())
        rates = self.net(self.images)
        F.mse_loss(rates, self.targets).backward()
        gradients = [one.grad.numpy() for one in self.net.parameters()]
        refuse_unequal(case, rates.detach().numpy(), gradients[::2], gradients[1::2])
        self.ready = True

    def update(self) -> None:
        """Forward, backward, Adam."""
        self.optimizer.zero_grad()
        F.mse_loss(self.net(self.images), self.targets).backward()
        self.optimizer.step()

    def __call__(self, quick: bool) -> float:
        """Return the milliseconds of one update."""
        if not self.ready:
            self.prepare()
        return best(self.update, quick)


class Floor:
    """The dense products and convolutions of forward and backward alone."""

    def __init__(self, kind: str, steps: int) -> None:
        self.kind, self.steps = kind, steps

    def __call__(self, quick: bool) -> float:
        """Return the milliseconds of one pass."""
        rows = self.steps * BATCH[self.kind]
        works = []
        shapes = [(784, 800), (800, 10)] if self.kind == "mlp" else [(640, 300), (300, 10)]
        for number, (inputs, outputs) in enumerate(shapes):
            x, w, g = torch.rand(rows, inputs), torch.rand(inputs, outputs), torch.rand(rows, outputs)
            works += [(torch.mm, x, w), (torch.mm, x.t(), g)]
            if self.kind == "conv" or number:
                works.append((torch.mm, g, w.t()))
        if self.kind == "conv":
            for first, (channels, outputs, side) in ((True, (1, 15, 28)), (False, (15, 40, 12))):
                x, w = torch.rand(rows, channels, side, side), torch.rand(outputs, channels, 5, 5)
                g = torch.rand(rows, outputs, side - 4, side - 4)
                works.append((F.conv2d, x, w))
                works.append((_back, x, w, g, first))  # type: ignore[arg-type]
        return best(lambda: [work(*given) for work, *given in works], quick)


def _back(x: Tensor, weight: Tensor, gradient: Tensor, first: bool) -> object:
    wanted = [not first, True, False]
    one, none = [1, 1], [0, 0]
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, one, none, one, False, none, 1, wanted)


def peers(kind: str) -> list[Contestant]:
    """Return the other libraries, each in its own environment, and plain PyTorch."""
    here = HERE / "peers"
    found = [
        Contestant("plain PyTorch loop", here / "plain_spiking_loop.py", kind),
        Contestant("snnTorch", here / "snntorch_net.py", kind, "snntorch"),
        Contestant("SpikingJelly, multi-step", here / "spikingjelly_net.py", kind, "spikingjelly"),
        Contestant("Norse", here / "norse_net.py", kind, "norse"),
    ]
    return [*found, Contestant("Spyx", here / "spyx_net.py", kind, "spyx")] if kind == "mlp" else found


def job(kind: str, steps: int, cores: int) -> Job:
    """Return one comparison."""
    return Job(
        name=f"{kind}-T{steps}-{cores}core",
        unit=unit,
        ours=Training(kind, steps),
        floor=Floor(kind, steps),
        peers=peers(kind) if steps <= 40 else [],
        threads=cores,
        prepare=partial(make_case, kind, steps),
    )


JOBS = [job(kind, steps, cores) for cores in (1, 2) for kind in ("mlp", "conv") for steps in (5, 10, 20, 40)]
JOBS += [job("mlp", 100, 1), job("conv", 100, 1)]

if __name__ == "__main__":
    main(JOBS, __file__)
