"""BindsNET's `DiehlAndCook2015` as its examples train it: Poisson encoding, run, reset; one image or a batch."""

from __future__ import annotations

import os
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))


class Absent(types.ModuleType):
    """Replaces torchvision, which is not measured here: every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        return type(name, (), {})


for module in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.utils"):
    sys.modules[module] = Absent(module)
    parent, _, name = module.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, sys.modules[module])

from bindsnet.encoding import PoissonEncoder
from bindsnet.models import DiehlAndCook2015
from worker import serve

neurons, steps, batch, rest = (int(number) for number in sys.argv[-1].split())
images = np.load(Path(os.environ["THREEGEN_BENCH_DATA"]) / "stdp-images.npy")
network = DiehlAndCook2015(
    n_inpt=784,
    n_neurons=neurons,
    exc=22.5,
    inh=120,
    dt=1.0,
    nu=(1e-4, 1e-2),
    norm=78.4,
    theta_plus=0.05,
    inpt_shape=(1, 28, 28),
    batch_size=batch,
)
network.train(True)
encode = PoissonEncoder(time=steps, dt=1.0)


def work(quick: bool) -> float:
    """Return CPU milliseconds per image; 255 is 127.5 Hz, the intensity of its example."""
    count = batch if batch > 1 else 4 if quick else 20
    begun = time.process_time()
    for first in range(0, count, batch):
        chosen = [torch.from_numpy(images[number]).view(1, 28, 28) * 127.5 for number in range(first, first + batch)]
        shown = torch.stack([encode(image) for image in chosen], 1)
        shown = torch.cat([shown, shown.new_zeros(rest, *shown.shape[1:])])
        network.run(inputs={"X": shown}, time=steps + rest)
        network.reset_state_variables()
    return 1e3 * (time.process_time() - begun) / count


serve(work, ("bindsnet", "torch"))
