"""The answers of a run: on a whole test split, or for one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threegen.datasets.augmentation import TenCrops
from threegen.datasets.dataset import Dataset
from threegen.datasets.events.known import EVENT_SETS
from threegen.datasets.events.recordings import read_frames
from threegen.datasets.load import load_examples, table_scale
from threegen.datasets.picture_dataset import PictureDataset
from threegen.datasets.pictures import read_digit, read_picture
from threegen.errors import ConfigError, DataError
from threegen.randomness import forked_randomness
from threegen.runs.run import Run, open_run
from threegen.training.evaluate import Evaluation, evaluate, evaluation_mode


@dataclass(frozen=True)
class RunEvaluation:
    """The result of a run on a test split; `confusion` as plain lists, rows are the truth."""

    name: str
    data: str
    classes: tuple[str, ...]
    found: Evaluation
    source: str = ""

    @property
    def confusion(self) -> list[list[int]]:
        """Counts by truth (rows) and answer (columns)."""
        return [[int(cell) for cell in row] for row in self.found.confusion.tolist()]

    def error(self, k: int) -> float:
        """Return the top-k error: the share whose label is not among the k highest scores."""
        return 1.0 - self.found.top_k[k]

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as plain data for JSON."""
        return {
            "name": self.name,
            "source": self.source,
            "data": self.data,
            "accuracy": self.found.accuracy,
            "interval": list(self.found.interval),
            "correct": self.found.correct,
            "count": self.found.count,
            "undecided": self.found.undecided,
            "top_k": {str(k): share for k, share in self.found.top_k.items()},
            "classes": list(self.classes),
            "confusion": self.confusion,
        }

    def __str__(self) -> str:
        return f"{self.name} on the test split of {self.data}: {self.found}"


def evaluate_run(
    path: str | Path, *, data: str | None = None, seed: int = 0, module: str | None = None, ten_crop: bool = False
) -> RunEvaluation:
    """Evaluate a run on the test split of its own data, or on `data`; `path` and `module` as for `open_run`.

    `data` is a known name, of which the test split is read, or a path. Of a table or a folder without a test part, all
    examples are read, scaled like the data that the run was trained on. `ten_crop` averages the scores over ten windows
    of each picture on disk (`TenCrops`). Raises `DataError` if the classes differ, `ConfigError` for ten crops of data
    that are not on disk.
    """
    run = open_run(path, model=module)
    part, name = examples_to_test(run, data)
    model = run.model
    if ten_crop:
        if not isinstance(part, PictureDataset) or part.size[0] != part.size[1] or not part.margin:
            raise ConfigError(f"{name}: ten crops need square pictures on disk with a margin; train with --on-disk")
        model, part = TenCrops(model, part.size[0]), part.with_margin()
    found = evaluate(model, part, seed=seed, top_k=(1, 3, 5))
    return RunEvaluation(run.entry.name, name, part.classes, found, run.source)


def examples_to_test(run: Run, data: str | None = None) -> tuple[Dataset, str]:
    """Return the test split of a run's own data, or of `data` as `evaluate_run` reads it, and its name."""
    if data is None:
        loaded = run.load_data()
        part, name = loaded.test, loaded.name
    else:
        part = _examples(run, data)
        name = data if part.name.endswith("-test") else f"{data} (all of it)"
    _require_same_shape(run, part.shape)
    _require_same_classes(run, part.classes)
    return part, name


def _examples(run: Run, data: str) -> Dataset:
    """Return the examples of `data`: the test part of a known name, all of a table; scaled like the run's own data."""
    options = {key: value for key, value in run.facts["data_options"].items() if key not in ("test_share", "seed")}
    if options.get("scale") is None and run.facts["data"]:
        options["scale"] = table_scale(run.facts["data"], options.get("label"))
    return load_examples(data, classes=run.facts["classes"], **options)


def _require_same_classes(run: Run, classes: Sequence[str]) -> None:
    known = list(run.facts["classes"])
    if list(classes)[: len(known)] != known[: len(classes)] or len(classes) > len(known):
        raise DataError(
            f"{run.entry.name} was trained on the classes {known[:12]}, these data have {list(classes)[:12]}"
        )


def predict_run(path: str | Path, image: str, *, seed: int = 0, module: str | None = None) -> dict[str, Any]:
    """Return a run's answer to one picture or recording: a file, or the number of an example of its data's test split.

    `path` is a run's folder, or the name of a model whose weights ship. Returns `source` (which of them was used),
    `answer` (None if all classes have the same score, as from a silent net), `truth` (None for a file) and `scores`,
    one row per class, best first. Raises `ConfigError` for a number out of range, `DataError` for a file that is not a
    picture.
    """
    run = open_run(path, model=module)
    picture, truth = picture_of(run, image)
    names = list(run.facts["classes"])
    with evaluation_mode(run.model), forked_randomness(seed, "predict"):
        scores = run.model(picture[None])[0]
    shares = scores.softmax(0)
    order = scores.argsort(descending=True).tolist()
    return {
        "name": run.entry.name,
        "source": run.source,
        "answer": None if bool((scores == scores[0]).all()) else names[order[0]],
        "truth": truth,
        "scores": [{"class": names[k], "score": float(scores[k]), "softmax": float(shares[k])} for k in order],
    }


def picture_of(run: Run, image: str) -> tuple[Tensor, str | None]:
    """Return a picture for a run and its label: a file (no label), or the number of an image of the test split.

    For a run on event data it is a recording as frames [T, 2, H, W], made like those that the run was trained on.
    """
    shape = tuple(run.facts["shape"])
    if not image.isdigit():
        if not Path(image).is_file():
            raise DataError(f"there is no picture {image}; give a picture's file or the number of a test image")
        if len(shape) == 4:
            return _recording(run, image), None
        if run.facts["data"] == "mnist":  # a digit of any size and place
            return read_digit(image), None
        return read_picture(image, shape, invert=None), None
    test = run.load_data().test
    number = int(image)
    if number >= len(test):
        raise ConfigError(f"image {number} is outside 0..{len(test) - 1} of the test split")
    label = None if test.targets is None else test.classes[int(test.targets[number])]
    return torch.as_tensor(test[number][0]), label


def _recording(run: Run, file: str) -> Tensor:
    """Return the recording in a file as the frames that the run was trained on."""
    name = str(run.facts["data"])
    if name not in EVENT_SETS:
        raise ConfigError(
            f"{run.entry.name} was trained on frames of {name or 'data of your own'}, and how those were made is not "
            "known; in Python give the model its frames: load_run(folder)(frames[None])"
        )
    known = {key: run.facts["data_options"].get(key) for key in ("frames", "milliseconds", "binary")}
    return read_frames(file, name, **{key: value for key, value in known.items() if value is not None})


def _require_same_shape(run: Run, shape: tuple[int, ...]) -> None:
    expected = tuple(run.facts["shape"])
    if tuple(shape) != expected:
        raise ConfigError(f"{run.entry.name} was trained on examples of {list(expected)}, these are {list(shape)}")
