"""Training spiking nets: one update (forward, backward, Adam) on spikes that were drawn before the clock starts.

784-800-10 in batches of 128 and 15C5-P2-40C5-P2-300-10 in batches of 64, over T time steps of MNIST's first images:
hard detached reset, rectangular surrogate with a = 1, decay .5, threshold .5, squared error of the mean rate. The floor
is only the dense products and convolutions of forward and backward. The plain loop writes the net out in PyTorch; its
spikes and gradients are compared with ours before anything is timed.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from harness import HERE, Contestant, Job, main
from torch import Tensor
from torch.nn import functional as F

import threegen as tg
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.encoders import Bernoulli
from threegen.gen3.networks import SpikingMLP, SpikingNet

BATCH = {"mlp": 128, "conv": 64}


def updates(quick: bool) -> int:
    """Return how many updates are timed; the quickest counts."""
    return 5 if quick else 20


def unit(quick: bool) -> str:
    """Return what the figures are."""
    return f"milliseconds an update, the best of {updates(quick)}"


def best(work: Callable[[], object], quick: bool) -> float:
    """Return the milliseconds of the quickest of some calls; two go before the clock."""
    times = []
    for number in range(updates(quick) + 2):
        begun = time.perf_counter()
        work()
        if number >= 2:
            times.append(time.perf_counter() - begun)
    return 1e3 * min(times)


def make_net(kind: str, steps: int, backend: str) -> SpikingNet:
    """Return the net with the same weights for every backend."""
    drawn = torch.Generator().manual_seed(0)
    if kind == "mlp":
        return SpikingMLP([784, 800, 10], steps=steps, detach_reset=True, backend=backend, generator=drawn)
    return SpikingConvNet(steps=steps, detach_reset=True, backend=backend, generator=drawn)


class Training:
    """One update of our net."""

    def __init__(self, kind: str, steps: int, backend: str) -> None:
        self.kind, self.steps, self.backend = kind, steps, backend
        self.ready = False

    def prepare(self) -> None:
        """Draw the spikes and build the net; the first call compiles."""
        train = tg.load_data("mnist").train.take(BATCH[self.kind])
        images = train.inputs if self.kind == "conv" else train.inputs.flatten(1)
        self.spikes = Bernoulli()(images, self.steps, torch.Generator().manual_seed(1)).to(torch.uint8)
        self.images, self.targets = images, F.one_hot(train.targets, 10).float()
        self.net = make_net(self.kind, self.steps, self.backend)
        source = self.spikes
        if self.kind == "conv":
            source = source.permute(0, 1, 3, 4, 2).contiguous()
        self.net._source = lambda pixels, generator: lambda first, steps: source[first : first + steps]  # type: ignore[method-assign]
        floats = self.spikes.float()
        self.net.encode = lambda x, generator=None: floats  # type: ignore[method-assign]
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-9, fused=True)
        self.ready = True

    def gradients(self) -> list[Tensor]:
        """Return scores and gradients of one pass."""
        scores = self.net(self.images)
        self.net.zero_grad()
        F.mse_loss(scores, self.targets).backward()
        return [scores.detach(), *(one.grad for one in self.net.parameters() if one.grad is not None)]

    def __call__(self, quick: bool) -> float:
        """Return the milliseconds of one update."""
        if not self.ready:
            self.prepare()

        def update() -> None:
            self.optimizer.zero_grad()
            F.mse_loss(self.net(self.images), self.targets).backward()
            self.optimizer.step()

        return best(update, quick)


class Fused(Training):
    """Our compiled kernels, compared with the plain loop once before they are timed."""

    def prepare(self) -> None:
        """Build both and compare: an unequal answer must not be timed. A sum rounded otherwise may turn a spike."""
        super().prepare()
        plain = Training(self.kind, self.steps, "plain")
        plain.prepare()
        for ours, other in zip(self.gradients(), plain.gradients(), strict=True):
            error = float((ours - other).norm() / other.norm().clamp(min=1e-12))
            if error > 0.02:
                raise SystemExit(f"the fused net is off by {error:.1%} from the plain one")


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


PLAIN = HERE / "peers" / "plain_spiking_loop.py"


def job(kind: str, steps: int, cores: int) -> Job:
    """Return one comparison."""
    return Job(
        name=f"{kind}-T{steps}-{cores}core",
        unit=unit,
        ours=Fused(kind, steps, "fused"),
        floor=Floor(kind, steps),
        peers=[Contestant("plain PyTorch loop", PLAIN, f"{kind} {steps}")],
        threads=cores,
    )


JOBS = [job(kind, steps, 1) for kind in ("mlp", "conv") for steps in (5, 10, 20, 40)]
JOBS += [job("mlp", 100, 1), job("mlp", 10, 2), job("conv", 10, 2), job("conv", 100, 1)]

if __name__ == "__main__":
    main(JOBS, __file__)
