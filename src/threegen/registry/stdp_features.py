"""How Kheradpisheh's net learns: S1 and S2 by order-based STDP as stages for `fit`, the read-out by an outside solver.

    fit(model, kheradpisheh_stages(model), data)        no labels
    fit_svm(model, data)                        a linear support vector machine on what C2 sees

What does not change is computed once: the spike times of encoded images for S1, those of C1 for S2.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_number, require_whole
from threegen.datasets.dataset import Dataset
from threegen.datasets.spike_times import SpikeTimes, keep_rows
from threegen.errors import ConfigError, DataError, MissingExtraError
from threegen.gen3.kheradpisheh import Kheradpisheh2018
from threegen.gen3.ordered_conv import OrderedConv
from threegen.gen3.single_spikes import spikes_fingerprint
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.training.stages import Stage

Array = np.ndarray[Any, Any]
PASSES = (2, 20)  # of the published script
PENALTY = 2.4  # C, of the published script
_AT_ONCE = 500  # images that are computed at a time


def kheradpisheh_stages(
    model: Kheradpisheh2018,
    *,
    passes: tuple[int, int] = PASSES,
    batch_size: int = 500,
    shuffle: bool = False,
    folder: str | Path | None = None,
) -> list[Stage]:
    """Return the two stages that train S1 and S2 of `model` without labels.

    Args:
        model: a `Kheradpisheh2018`.
        passes: through the data, for each layer.
        batch_size: decides when checkpoints may be written; it does not affect the result.
        shuffle: a new order in each pass; the script keeps that of the data.
        folder: where spike times are stored as files, so that a resumed run finds them; None keeps them in memory.

    Raises `ConfigError` for another model and for passes that cannot be made.
    """
    if not isinstance(model, Kheradpisheh2018):
        raise ConfigError(f"kheradpisheh_stages trains a Kheradpisheh2018, got {type(model).__name__}")
    if len(passes) != 2:
        raise ConfigError(f"passes must be two numbers, for S1 and S2, got {passes!r}")
    for count in passes:
        require_whole("passes", count, least=0)
    kept = None if folder is None else Path(folder)

    def encoded(data: Dataset) -> Dataset:
        shape = (len(model.encoder.filters), *model.shape[1:])
        return _times(model, data, shape, "encoded", (), model.encode, kept)

    def pooled(data: Dataset) -> Dataset:
        below = (model.s1,)
        return _times(model, data, model.c1_shape, "c1", below, lambda part: model.c1_alone(model.encode(part)), kept)

    layers = zip(("S1", "S2"), (model.s1, model.s2), (encoded, pooled), passes, strict=True)
    return [
        Stage(
            name,
            OrderBasedSTDP(),
            layer,
            transform=transform,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validate=False,
        )
        for name, layer, transform, epochs in layers
    ]


def _times(
    model: Kheradpisheh2018,
    data: Dataset,
    shape: tuple[int, ...],
    name: str,
    layers: Sequence[OrderedConv],
    send: Callable[[Tensor], Tensor],
    folder: Path | None,
) -> SpikeTimes:
    """Return what `send` answers to the images of `data`; a fingerprint of settings and data names the file."""
    key = spikes_fingerprint(model, model.encoder, layers, f"{name} {data.fingerprint()}")

    def make(part: slice) -> Array:
        found: Array = send(data.inputs[part]).numpy()
        return found

    kept = keep_rows(key, len(data), shape, make, folder)
    return SpikeTimes(kept, shape, model.steps, data.targets, data.classes, f"{data.name}, {name}")


@torch.no_grad()
def fit_svm(
    model: Kheradpisheh2018, data: Dataset, *, penalty: float = PENALTY, seed: int = 0, most_passes: int = 200
) -> None:
    """Give `model.readout` the weights of scikit-learn's `LinearSVC(C=penalty)` on what C2 sees of labelled images.

    One against the rest, squared hinge loss. The solver stops after `most_passes` over the data even where it could
    still come closer to the optimum: for images that it separates all but nothing changes by then.
    Raises `DataError` without labels of all classes and `MissingExtraError` without scikit-learn.
    """
    try:
        from scipy.sparse import csr_matrix, vstack
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC
    except ImportError as problem:
        raise MissingExtraError.of("fit_svm", "scikit-learn", "sklearn") from problem
    require_number("penalty", penalty, above=0.0)
    require_whole("seed", seed, least=0)
    if data.targets is None or int((torch.bincount(data.targets, minlength=model.classes) > 0).sum()) != model.classes:
        raise DataError(f"fit_svm needs labels of all {model.classes} classes; {data.name} does not have them")
    parts = [csr_matrix(model.features(inputs).flatten(1).numpy()) for inputs in torch.split(data.inputs, _AT_ONCE)]
    solver = LinearSVC(C=penalty, max_iter=require_whole("most_passes", most_passes), random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        solver.fit(vstack(parts, format="csr"), data.targets.numpy())
    rows = torch.as_tensor(solver.coef_, dtype=model.readout.weight.dtype)
    shift = torch.as_tensor(solver.intercept_, dtype=model.readout.bias.dtype)
    if model.classes == 2:  # scikit-learn returns one row, for the second class
        rows, shift = torch.cat([-rows, rows]), torch.cat([-shift, shift])
    model.readout.weight.copy_(rows)
    model.readout.bias.copy_(shift)
