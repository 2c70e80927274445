"""AlexNet on ImageNet: the row of a figure that nobody here has the data for."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from threegen.datasets.augmentation import TenCrops
from threegen.datasets.folders import data_root
from threegen.datasets.load import load_data
from threegen.datasets.picture_dataset import PictureDataset
from threegen.errors import DataError
from threegen.figures.reproduce import Figure
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate


def alexnet_error(seed: int, progress: bool = False) -> float:
    """Train the full net on ImageNet by the paper's plan; return its top-5 error in per cent on the test folder.

    The pictures are expected in `imagenet/train/CLASS/` and `imagenet/test/CLASS/` below the data folder; the published
    validation pictures are the test. Checkpoints are in `runs/alexnet-SEED`, from which an interrupted run continues.
    Raises `DataError` if the folders are absent.
    """
    folder = data_root() / "imagenet"
    if not all((folder / part).is_dir() for part in ("train", "test")):
        raise DataError(
            f"ImageNet is not in {folder}: put the training pictures into {folder}/train/CLASS/ and the validation "
            f"pictures into {folder}/test/CLASS/; threegen may not distribute them (image-net.org)"
        )
    out = Path("runs") / f"alexnet-{seed}"
    data = load_data(folder, size=227, margin=29, on_disk=True)
    resume = (out / "checkpoints").is_dir()
    options = {"width": 1.0}
    run = train_run(
        "alexnet", data, mode="paper", options=options, seed=seed, out=out, resume=resume, progress=progress
    )
    crops = TenCrops(run.model, 227)
    return 100 - 100 * evaluate(crops, cast(PictureDataset, data.test).with_margin(), top_k=(5,)).top_k[5]


FIGURE = Figure(
    name="alexnet",
    paper="Krizhevsky, Sutskever and Hinton, ImageNet classification with deep convolutional neural networks, NIPS 25 "
    "(2012): one net 18.2; 15.3 is the mean of seven nets, two of them trained on more pictures",
    published=18.2,
    unit="per cent top-5 error on ImageNet",
    better="lower",
    make=alexnet_error,
    differs="one net, not seven; crops of 227 pixels from pictures of 256",
    seeds=(0,),
    note="The paper's plan: momentum .9, weight decay .0005, a rate of .01 that is divided by 10 when the validation "
    "error stops falling, at most 90 passes.",
    not_run="ImageNet (1.2 million pictures) is not at hand; 90 passes take about 55 days on two cores",
)
