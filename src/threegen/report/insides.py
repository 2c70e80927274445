"""Look inside a trained model for the report: its worst mistakes, its first weights, one picture as spikes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.checks import require_whole
from threegen.datasets.dataset import Dataset
from threegen.errors import DataError, ThreegenError
from threegen.explanations.explain import explain
from threegen.gen1.neocognitron_cells import SCells
from threegen.gen1.perceptron import Perceptron
from threegen.gen3.diehl_cook import DiehlCook
from threegen.randomness import make_generator
from threegen.report.results import (
    Explanations,
    Filters,
    HeatMap,
    Insides,
    LayerSpikes,
    Membrane,
    Mistake,
    Picture,
    Raster,
)
from threegen.training.evaluate import Evaluation, evaluation_mode

OCCLUSION_WINDOW = 5
LOOKED_AT = 3  # right answers, and as many wrong ones


class SpikeRecord(Protocol):
    """The part of a spiking net's `run` result that a raster needs; all but `scores [B, K]` are [T, B, ...]."""

    inputs: Tensor
    spikes: list[Tensor]
    potentials: list[Tensor]
    scores: Tensor


def collect_insides(
    model: nn.Module,
    evaluation: Evaluation,
    dataset: Dataset,
    *,
    seed: int,
    curves: Iterable[Mapping[str, Any]] = (),
    mistakes_of: int = 0,
    bill_rows: Iterable[Mapping[str, Any]] = (),
    counting_rule: str = "",
    explanations: Explanations | None = None,
) -> Insides:
    """Return what the report shows of `model`, evaluated on `dataset` (in its order).

    `curves` are the epochs of a training log (`mistakes_of`: see `epoch_curves`); `bill_rows` and `counting_rule` come
    from the model's bill. `seed` draws the spikes of the raster's picture. The model's mode is left as it was.
    Raises `DataError` if the data have no labels or another length than the evaluation.
    """
    return Insides(
        curves=epoch_curves(curves, mistakes_of),
        confusion=evaluation.confusion.cpu().numpy().astype(np.int64),
        mistakes=worst_mistakes(evaluation, dataset),
        filters=first_weights(model, dataset.shape, dataset.classes),
        raster=spike_raster(model, dataset, seed=seed),
        explanations=explanations,
        bill_rows=tuple(dict(row) for row in bill_rows),
        counting_rule=counting_rule,
    )


def epoch_curves(epochs: Iterable[Mapping[str, Any]], mistakes_of: int = 0) -> tuple[Mapping[str, Any], ...]:
    """Return a training log's epochs with the names of the report, epochs counted across stages.

    The log's `seconds` are cumulative, here they are those of the epoch; `loss` becomes `train_loss`. `mistakes_of` is
    for a rule that updates once per mistake: it is the number of examples, which turns the updates of an epoch into the
    share `mistakes`. That says more than the mean loss of the misclassified examples alone.
    """
    curves = []
    before: Mapping[str, Any] = {"seconds": 0.0, "updates": 0}
    for number, record in enumerate(epochs, start=1):
        figures = {name: value for name, value in record.items() if isinstance(value, int | float) and isfinite(value)}
        loss = figures.pop("loss", None)
        if mistakes_of:
            figures["mistakes"] = (record["updates"] - before["updates"]) / mistakes_of
        elif loss is not None:
            figures.setdefault("train_loss", loss)
        if "seconds" in figures:
            figures["seconds"] -= before["seconds"]
        before = {**before, **record}
        curves.append({**figures, "epoch": number})
    return tuple(curves)


def worst_mistakes(evaluation: Evaluation, dataset: Dataset, most: int = 20) -> tuple[Mistake, ...]:
    """Return the wrong answers that the model was surest of, at most `most`; none if the data are not images."""
    if dataset.targets is None or len(dataset) != len(evaluation.predictions):
        raise DataError(
            f"the evaluation has {len(evaluation.predictions):,} answers, {dataset.name} has "
            f"{0 if dataset.targets is None else len(dataset):,} labels; pass the data set that was evaluated"
        )
    require_whole("most", most, least=0)
    if not _is_image(dataset.shape):
        return ()
    wrong = (evaluation.predictions != dataset.targets).nonzero().squeeze(1)
    surest = evaluation.confidences[wrong].argsort(descending=True, stable=True)[:most]
    return tuple(
        Mistake(
            image=_picture(dataset.inputs[index]),
            truth=int(dataset.targets[index]),
            answer=int(evaluation.predictions[index]),
            confidence=float(evaluation.confidences[index]),
            index=index,
        )
        for index in (int(number) for number in wrong[surest])
    )


def first_weights(
    model: nn.Module, shape: Sequence[int], classes: Sequence[str] = (), most: int = 40
) -> Filters | None:
    """Return the weights into the first layer's units as pictures, at most `most`, evenly spaced over the layer.

    The first linear layer's rows take the `shape` of the input image; kernels of a convolution are averaged over
    their input channels; a model may say itself what its first units look for (`receptive_fields()` [units, pixels]).
    None if there is no such layer or its weights do not form pictures.
    """
    own_fields = getattr(model, "receptive_fields", None)
    found = (pair for pair in model.named_modules() if isinstance(pair[1], nn.Linear | nn.Conv2d | SCells))
    if callable(own_fields):
        layer, weight = "first layer", own_fields().detach().float().cpu()
    else:
        name, module = next(found, ("", None))
        if not isinstance(module, nn.Linear | nn.Conv2d | SCells):
            return None
        layer, weight = name or type(module).__name__.lower(), _answering_weight(module).detach().float().cpu()
    if weight.dim() == 4:
        pictures = weight.mean(1)
    elif _is_image(shape) and shape[0] == 1 and weight.shape[1] == shape[-1] * shape[-2]:
        pictures = weight.reshape(len(weight), *shape[-2:])
    else:
        return None
    total = len(pictures)
    chosen = torch.linspace(0, total - 1, min(total, most)).round().long()
    labelled = len(classes) == total
    own = _classes_of_units(model, total, classes)
    names = tuple(classes[unit] if labelled else f"unit {unit + 1}{own[unit]}" for unit in chosen.tolist())
    return Filters(layer, pictures[chosen].numpy(), names, total)


def _classes_of_units(model: nn.Module, total: int, classes: Sequence[str]) -> list[str]:
    """Return the suffix of each unit's name: the class assigned to it, if the model assigns classes."""
    if not isinstance(model, DiehlCook) or total != model.neurons:
        return [""] * total
    return [f", {classes[k]}" if 0 <= k < len(classes) else "" for k in model.assignments.tolist()]


def spike_raster(model: nn.Module, dataset: Dataset, *, seed: int, index: int = 0) -> Raster | None:
    """Return the activity of a spiking net for one example; None for a model without `run`.

    The example is the first of the data unless `index` says otherwise: it is not selected by its result.
    """
    run = getattr(model, "run", None)
    if not callable(run) or dataset.targets is None or not _is_image(dataset.shape):
        return None
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    x = dataset.inputs[index : index + 1].to(device)
    with evaluation_mode(model):
        record = cast(SpikeRecord, run(x, generator=make_generator(seed, "raster")))
    if not record.spikes:
        return None
    scores = record.scores[0].float().cpu()
    truth, answer = int(dataset.targets[index]), int(scores.argmax())
    fired = [_one(layer) > 0 for layer in record.spikes]
    last = len(fired) - 1
    layers = tuple(
        LayerSpikes(
            f"hidden layer {number + 1}" if number < last else "output layer",
            layer.numpy(),
            dataset.classes if number == last and layer.shape[1] == len(dataset.classes) else (),
        )
        for number, layer in enumerate(fired)
    )
    encoded = _one(record.inputs)
    frames = encoded.shape[1] == dataset.shape[-1] * dataset.shape[-2] and bool(((encoded == 0) | (encoded == 1)).all())
    return Raster(
        image=_picture(dataset.inputs[index]),
        truth=truth,
        answer=answer,
        layers=layers,
        membranes=_membranes(record, fired[last], scores, truth, answer, dataset.classes),
        threshold=_threshold(model),
        encoded=(encoded > 0).reshape(len(encoded), *dataset.shape[-2:]).numpy() if frames else None,
    )


def _membranes(
    record: SpikeRecord, fired: Tensor, scores: Tensor, truth: int, answer: int, classes: Sequence[str]
) -> tuple[Membrane, ...]:
    """Return the potentials of three output neurons: the answer, the truth, then the next best ones."""
    if not record.potentials or fired.shape[1] != len(scores):
        return ()
    potentials = _one(record.potentials[-1])
    wanted = list(dict.fromkeys([answer, truth, *scores.argsort(descending=True, stable=True).tolist()]))[:3]
    return tuple(
        Membrane(
            classes[neuron] if len(classes) == len(scores) else str(neuron),
            potentials[:, neuron].numpy().astype(np.float32),
            fired[:, neuron].numpy(),
        )
        for neuron in wanted
    )


def _threshold(model: nn.Module) -> float | None:
    """Return the threshold of the last layer of spiking neurons, if it has one."""
    found = None
    for module in model.modules():
        threshold = getattr(getattr(module, "constants", module), "threshold", None)
        if isinstance(threshold, int | float):
            found = float(threshold)
    return found


def _answering_weight(layer: nn.Linear | nn.Conv2d | SCells) -> Tensor:
    """Return the weights that the layer answers with when evaluated: an averaged perceptron's are the average."""
    if isinstance(layer, Perceptron):
        with evaluation_mode(layer):
            return layer.answering()[0]
    if isinstance(layer, SCells) and layer.inputs == 2:  # on- and off-cells
        return layer.weight[:, :1] - layer.weight[:, 1:]
    return layer.weight


def _one(layer: Tensor) -> Tensor:
    """Return the only example of `[T, 1, ...]` as `[T, N]` on the CPU."""
    return layer[:, 0].flatten(1).float().cpu()


def _is_image(shape: Sequence[int]) -> bool:
    return len(shape) == 3 and shape[0] in (1, 3)


def _picture(image: Tensor) -> Picture:
    """Return `[C, H, W]` as grey levels `[H, W]`."""
    return np.asarray(image.float().mean(0).cpu().numpy(), dtype=np.float32)


def collect_explanations(
    model: nn.Module, evaluation: Evaluation, dataset: Dataset, *, seed: int
) -> Explanations | None:
    """Return the input that excites each class most, and occlusion maps of three right and three wrong answers.

    The right answers are the first of the data, the wrong ones those that the model was surest of. Every net is
    examined in the same way, so that their maps can be compared. None if the examples are not grey images, or if a
    method is not defined for the model.
    """
    if dataset.targets is None or len(dataset.shape) != 3 or dataset.shape[0] != 1:
        return None
    chosen = _examples_to_look_at(evaluation, dataset.targets)
    images = dataset.inputs[chosen]
    look = explain(model, seed=seed)
    try:
        wanted = look.maximise()
        maps = look.occlusion(images, target=evaluation.predictions[chosen], window=OCCLUSION_WINDOW)
    except ThreegenError:
        return None
    heats = tuple(
        HeatMap(
            image=image[0].numpy().astype(np.float32),
            heat=heat[0].numpy().astype(np.float32),
            truth=int(dataset.targets[index]),
            answer=int(evaluation.predictions[index]),
        )
        for image, heat, index in zip(images, maps.as_subclass(Tensor).cpu(), chosen.tolist(), strict=True)
    )
    return Explanations(wanted.as_subclass(Tensor)[:, 0].cpu().numpy().astype(np.float32), heats, OCCLUSION_WINDOW)


def _examples_to_look_at(evaluation: Evaluation, targets: Tensor) -> Tensor:
    right = (evaluation.predictions == targets).nonzero()[:LOOKED_AT, 0]
    wrong = (evaluation.predictions != targets).nonzero()[:, 0]
    surest = wrong[evaluation.confidences[wrong].argsort(descending=True, stable=True)[:LOOKED_AT]]
    return right.new_tensor([*right.tolist(), *surest.tolist()])
