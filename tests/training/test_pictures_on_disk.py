"""Training on pictures that stay on disk: killed and resumed bit-equal, runs, ten crops, the rate on a plateau."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from threegen.datasets.augmentation import Augmentation
from threegen.datasets.dataset import Dataset
from threegen.datasets.picture_dataset import PictureDataset
from threegen.datasets.picture_files import find_pictures
from threegen.errors import ConfigError
from threegen.gen2.conv_net import ConvNet
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.runs.answer import evaluate_run
from threegen.runs.run import open_run
from threegen.runs.train import train_run
from threegen.training.fit import Callback, fit
from threegen.training.schedules import Plateau
from threegen.training.stages import Stage

from ..pictures_on_disk import write_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("training") / "colours")


class Stop(Callback):
    """Break off after some updates."""

    def __init__(self, updates: int) -> None:
        self.updates = updates

    def on_step(self, run: object, step: object) -> None:
        if run.progress.updates == self.updates:  # type: ignore[attr-defined]
            raise KeyboardInterrupt


def train(folder: Path, out: Path | None, *, workers: int = 0, resume: bool = False, stop: int = 0) -> torch.Tensor:
    data = PictureDataset(find_pictures(folder)[0], size=12, workers=workers)
    model = ConvNet("4C3-P2-16-3", shape=data.shape, dropout=0.5, generator=make_generator(0))
    stages = [Stage("pictures", Backprop(), transform=Augmentation(colour=0.1), epochs=2, batch_size=8)]
    fit(
        model,
        stages,
        data,
        out=out,
        resume=resume,
        checkpoint_every=None if out is None else 2,
        callbacks=[Stop(stop)] if stop else [],
    )
    return torch.cat([p.detach().ravel() for p in model.parameters()])


def test_a_killed_run_goes_on_bit_equal_whatever_the_workers(folder: Path, tmp_path: Path) -> None:
    whole = train(folder, None)
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "run", workers=2, stop=8)
    assert torch.equal(train(folder, tmp_path / "run", workers=1, resume=True), whole)


def test_a_run_of_the_registry_on_disk(folder: Path, tmp_path: Path) -> None:
    options = {"on_disk": True, "workers": 0}
    run = train_run(
        "resnet-small",
        folder,
        mode="quick",
        batch_size=16,
        options={"width": 0.25},
        data_options=options,
        out=tmp_path / "run",
    )
    assert run.facts["shape"] == [3, 32, 32]
    assert "--on-disk" in run.command
    assert open_run(tmp_path / "run").load_data().shape == (3, 32, 32)
    found = evaluate_run(tmp_path / "run")
    assert found.error(1) == pytest.approx(1 - found.found.accuracy)
    assert found.error(5) == 0.0
    crops = evaluate_run(tmp_path / "run", ten_crop=True)
    assert crops.found.count == found.found.count
    with pytest.raises(ConfigError, match="ten crops need square pictures on disk"):
        evaluate_run(_in_memory(folder, tmp_path), ten_crop=True)


def _in_memory(folder: Path, tmp_path: Path) -> Path:
    train_run("mlp", folder, mode="quick", epochs=1, batch_size=16, data_options={"size": 8}, out=tmp_path / "mlp")
    return tmp_path / "mlp"


def test_the_rate_falls_on_a_plateau_of_the_validation_error() -> None:
    """.5 and .4 are better; .4, .45, .4 are not: 3 epochs without progress divide by 10, three times at most."""
    plateau = Plateau(patience=3)
    assert plateau.factor([]) == 1.0
    assert plateau.factor([0.5, 0.4, 0.4, 0.45]) == 1.0
    assert plateau.factor([0.5, 0.4, 0.4, 0.45, 0.4]) == pytest.approx(0.1)
    assert plateau.factor([0.5, 0.4, 0.4, 0.45, 0.4, 0.4, 0.4]) == pytest.approx(0.1)
    assert plateau.factor([0.4] * 40) == pytest.approx(1e-3)


def test_plateau_sets_the_rate_in_fit_and_asks_for_validation(tmp_path: Path) -> None:
    data = Dataset.from_arrays(torch.rand(20, 4), torch.arange(20) % 2, name="toy")
    rates: list[float] = []

    class Note(Callback):
        def on_epoch(self, run: object, record: dict[str, object]) -> None:
            rates.append(run.optimizer.param_groups[0]["lr"])  # type: ignore[attr-defined]

    options = {"lr": 1e-12, "epochs": 5, "schedule": Plateau(patience=2), "optimizer": "sgd", "batch_size": 10}
    fit(MLP([4, 2]), Backprop(), data, validation=data, callbacks=Note(), **options)  # type: ignore[arg-type]
    assert rates == pytest.approx([1e-12, 1e-12, 1e-12, 1e-13, 1e-13])
    with pytest.raises(ConfigError, match="Plateau watches the validation error"):
        fit(MLP([4, 2]), Backprop(), data, **options)  # type: ignore[arg-type]


def test_pictures_in_memory_are_cut_and_mirrored() -> None:
    """With a border of 1, every pixel of a pass is one of the picture's neighbours, or 0 from the border."""
    images = torch.arange(1.0, 37.0).view(1, 1, 6, 6).repeat(200, 1, 1, 1) / 36
    data = Dataset(images, torch.zeros(200, dtype=torch.int64), ["one"], "toy")
    shown = Augmentation(shift=1)(data).for_pass(0, 0, 0)
    first = shown.batch(torch.arange(200)).inputs
    assert torch.equal(first, shown.batch(torch.arange(200)).inputs)
    assert not torch.equal(first, Augmentation(shift=1)(data).for_pass(0, 0, 1).batch(torch.arange(200)).inputs)
    padded = torch.nn.functional.pad(images[:1], (1, 1, 1, 1))
    cut = [padded[0, 0, y : y + 6, x : x + 6] for y in range(3) for x in range(3)]
    windows = {one.numpy().tobytes() for window in cut for one in (window.contiguous(), window.flip(1))}
    assert {picture[0].numpy().tobytes() for picture in first} <= windows
    assert len({picture.numpy().tobytes() for picture in first}) > 12
