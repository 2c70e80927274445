"""A network converted to spikes: milliseconds per image and wrong answers, compared with SpikingJelly's converter and
sinabs.

One network, 16C5-BN-AP2-32C5-BN-AP2-128-10, trained here for two epochs, is given to all; each calibrates with the same
1,000 training images (ours with 3,000 would be a little better) and answers the same test images. The floor is the
network's own forward pass in PyTorch, same batch and threads; for wrong answers it is the network's own share.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from converted_case import SHARED, measure, network, shared
from harness import HERE, Contestant, Job, main
from torch import nn

import threegen as tg

TIMES = ("conversion-t4-b1", "conversion-t4-b100", "conversion-t1-b100", "conversion-t16-b100")
ERRORS = tuple(f"conversion-errors-t{steps}" for steps in (1, 2, 4, 8, 32))
CALIBRATE, TEST = 1_000, 2_000


def prepare() -> dict[str, str]:
    """Train the network, once per process, and write what all contestants share."""
    path = Path(tempfile.gettempdir()) / "threegen-bench-conversion.pt"
    if not path.is_file():
        torch.manual_seed(0)
        data, net = tg.load_data("mnist"), tg.models.ConvNet()
        tg.fit(
            net, tg.Backprop(), data.train, optimizer="adam", lr=3e-3, schedule="one-cycle", epochs=2, batch_size=100
        )
        plain = dict(zip(_names(), net.state_dict().values(), strict=True))
        test = data.test.take(TEST)
        content = {"weights": plain, "calibrate": data.train.inputs[:CALIBRATE].clone()}
        torch.save({**content, "images": test.inputs.clone(), "labels": test.targets}, path)
    return {SHARED: str(path)}


def _names() -> list[str]:
    """Return the names of the weights in the plain network, in order."""
    parts = {"0": nn.Conv2d, "1": nn.BatchNorm2d, "4": nn.Conv2d, "5": nn.BatchNorm2d, "9": nn.Linear, "11": nn.Linear}
    normal = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [
        f"{number}.{name}"
        for number, kind in parts.items()
        for name in (normal if kind is nn.BatchNorm2d else ("weight", "bias"))
    ]


class Ours:
    """The default of `tg.convert`."""

    def __init__(self, job: str) -> None:
        self.job = job

    def __call__(self, quick: bool) -> float:
        """Return milliseconds per image, or wrong answers in per cent."""

        def converted(steps: int) -> nn.Module:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return tg.convert(network(), shared()["calibrate"], steps=steps)

        return measure(self.job, converted, quick)


class Floor:
    """The network itself."""

    def __init__(self, job: str) -> None:
        self.job = job

    def __call__(self, quick: bool) -> float:
        """Return milliseconds per image, or wrong answers in per cent."""
        return measure(self.job, lambda steps: network(), quick)


def peers(job: str) -> list[Contestant]:
    """Return the other converters."""
    script = HERE / "peers" / "spikingjelly_converted.py"
    return [
        Contestant("spikingjelly", script, f"max:{job}", "spikingjelly"),
        Contestant("spikingjelly at its best", script, f"balanced:{job}", "spikingjelly"),
        Contestant("sinabs", HERE / "peers" / "sinabs_converted.py", job, "sinabs"),
    ]


JOBS = [
    Job(
        name=name,
        unit=lambda quick, name=name: "per cent wrong" if "errors" in name else "milliseconds per image",  # type: ignore[misc]
        ours=Ours(name),
        floor=Floor(name),
        peers=peers(name),
        threads=1,
        rounds=1 if name in ERRORS else 3,
        packages=("threegen", "torch", "numba"),
        prepare=prepare,
    )
    for name in (*TIMES, *ERRORS)
]

if __name__ == "__main__":
    main(JOBS, __file__)
