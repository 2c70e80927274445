"""Shared by the figures of converted nets: the network of one seed, trained once and stored in `runs/converted`.

The network is 16C5-BN-AP2-32C5-BN-AP2-128-10, trained on all 60,000 images, each slightly moved, sheared and scaled,
differently in each pass (`Distortions`). Epochs, rate and distortions were chosen on a holdout of 10,000.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from threegen.conversion.convert import ConvertedNet, convert
from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import DistortedDataset, Distortions
from threegen.datasets.load import load_data
from threegen.figures.reproduce import Made
from threegen.gen2.conv_net import ConvNet
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer
from threegen.training.stages import Stage

FOLDER = Path("runs/converted")
LAYERS = "16C5-P2-32C5-P2-128-10"
EPOCHS, RATE, BATCH = 8, 3e-3, 100
MOVED = Distortions(shift=2.0, scale=0.08, shear=0.08, elastic=0.0)


def network(seed: int, train: Dataset, *, folder: Path = FOLDER, progress: bool = False) -> tuple[ConvNet, float]:
    """Return the trained network of a seed and the seconds that it took; an interrupted run continues."""
    net = ConvNet(LAYERS, generator=make_generator(seed, "converted"))
    return net, taught(net, DistortedDataset(train, MOVED), seed, folder / f"network-{seed}", progress=progress)


def taught(
    net: nn.Module,
    train: Dataset,
    seed: int,
    out: Path,
    *,
    epochs: int = EPOCHS,
    rate: float = RATE,
    progress: bool = False,
) -> float:
    """Train `net` like the networks of these figures; return the seconds. An interrupted run continues."""
    stage = Stage(
        "network",
        Backprop("cross_entropy"),
        optimizer=optimizer("adam", lr=rate),
        epochs=epochs,
        batch_size=BATCH,
        schedule="one-cycle",
    )
    log = fit(net, [stage], train, seed=seed, out=out, resume=out.is_dir(), progress=progress)
    net.eval()
    return log.seconds


def converted(seed: int, steps: int, *, progress: bool = False) -> tuple[ConvNet, ConvertedNet, float]:
    """Return the network of a seed, its spiking copy by the default method, and the seconds of training."""
    data = load_data("mnist")
    net, seconds = network(seed, data.train, progress=progress)
    return net, convert(net, data.train, steps=steps, seed=seed), seconds


def accuracy_after(steps: int, seed: int, progress: bool) -> Made:
    """Return the test accuracy of the converted net of a seed in per cent."""
    _, spiking, seconds = converted(seed, steps, progress=progress)
    return Made(100 * evaluate(spiking, load_data("mnist").test, seed=seed).accuracy, seconds)
