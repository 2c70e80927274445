"""A network trained for one time step: every rectifier has one level, so each neuron spikes once or not at all.

It starts from the network of `converted`, with the ceilings that suit one step best, and learns from the scores of that
network and the labels, with a small penalty for each spike times its number of connections. After the conversion the
spiking net computes exactly the same as the trained network.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.conversion.convert import ConvertedNet, convert
from threegen.conversion.scales import from_activations
from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import DistortedDataset
from threegen.datasets.load import load_data
from threegen.figures.converted import BATCH, FOLDER, LAYERS, MOVED, network
from threegen.figures.reproduce import Made
from threegen.gen2.conv_net import ConvNet
from threegen.gen2.spike_activations import StepReLU
from threegen.rules.distillation import Distillation
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer
from threegen.training.stages import Stage

EPOCHS, RATE = 12, 3e-3
PRICE = 1e-7  # per spike and connection
# The number of connections of a spike: 32 kernels of 5 x 5 (in the middle of the picture), 128 units, 10 units.
FAN_OUT = (800.0, 128.0, 10.0)


class SpikePrice:
    """The penalty for the spikes of one forward pass: their number times their fan-out, averaged over the images."""

    def __init__(self, net: ConvNet, price: float) -> None:
        self.price, self.counted = price, 0.0
        self.total: Tensor = torch.zeros(())
        for layer, fan in zip((one for one in net.modules() if isinstance(one, StepReLU)), FAN_OUT, strict=True):
            layer.register_forward_hook(lambda module, _, output, fan=fan: self._count(module, output, fan))

    def _count(self, module: StepReLU, output: Tensor, fan: float) -> None:
        self.total = self.total + output.sum() / module.ceiling.detach() * (fan / len(output))

    def __call__(self) -> Tensor:
        """Return the penalty and reset the sum."""
        total, self.total = self.total, torch.zeros(())
        return self.price * total


def one_step_network(
    seed: int, train: Dataset, *, price: float = PRICE, folder: Any = FOLDER, progress: bool = False
) -> tuple[ConvNet, float]:
    """Return the network of a seed whose rectifiers have one level, and the seconds of all its training."""
    teacher, seconds = network(seed, train, folder=folder, progress=progress)
    net = ConvNet(LAYERS, activation="one-step")
    net.load_state_dict({**net.state_dict(), **teacher.state_dict()})
    _set_ceilings(net, teacher, train.inputs[:2000])
    hooks = SpikePrice(net, price)
    rule = Distillation(teacher, penalty=hooks)
    stage = Stage(
        "one-step", rule, optimizer=optimizer("adam", lr=RATE), epochs=EPOCHS, batch_size=BATCH, schedule="cosine"
    )
    out = folder / f"one-step-{seed}"
    log = fit(net, [stage], DistortedDataset(train, MOVED), seed=seed, out=out, resume=out.is_dir(), progress=progress)
    return net.eval(), seconds + log.seconds


def _set_ceilings(net: ConvNet, teacher: ConvNet, images: Tensor) -> None:
    """Initialise each ceiling so that one level has the least squared error to the teacher's activations."""
    found: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: found.append(output))
        for layer in teacher.modules()
        if isinstance(layer, nn.ReLU)
    ]
    with torch.no_grad():
        teacher(images)
        for layer, y in zip((one for one in net.modules() if isinstance(one, StepReLU)), found, strict=True):
            best = from_activations("least-squares", y, y[None], share=100.0, per_channel=False, steps=1)[0]
            cast(Any, layer).log_ceiling.copy_(best.log())
    for hook in hooks:
        hook.remove()


def one_step(seed: int, *, progress: bool = False) -> tuple[ConvNet, ConvertedNet, float]:
    """Return the network of one level of a seed, its spiking copy of one step, and the seconds of training."""
    data = load_data("mnist")
    net, seconds = one_step_network(seed, data.train, progress=progress)
    return net, convert(net, data.train, steps=1, seed=seed), seconds


def one_step_accuracy(seed: int, progress: bool) -> Made:
    """Return the test accuracy of the spiking net of a seed in per cent."""
    _, spiking, seconds = one_step(seed, progress=progress)
    return Made(100 * evaluate(spiking, load_data("mnist").test, seed=seed).accuracy, seconds)
