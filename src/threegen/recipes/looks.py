"""What a trained model looks for, and where it looks: the pictures that the report shows of every model."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.errors import ThreegenError
from threegen.explanations.explain import explain
from threegen.recipes.results import HeatMap, Looks
from threegen.training.evaluate import Evaluation

WINDOW = 5
EACH = 3  # right answers and wrong answers shown


def collect_looks(model: nn.Module, evaluation: Evaluation, dataset: Dataset, *, seed: int) -> Looks | None:
    """Return the input that excites each class most, and occlusion maps of three right and three wrong answers.

    The right answers are the first of the data, the wrong ones those that the model was surest of. Every net is looked
    at in the same way, so that their maps can be compared. None where the examples are not grey images, or where a
    method is not defined for the model.
    """
    if dataset.targets is None or len(dataset.shape) != 3 or dataset.shape[0] != 1:
        return None
    chosen = _chosen(evaluation, dataset.targets)
    images = dataset.inputs[chosen]
    look = explain(model, seed=seed)
    try:
        wanted = look.maximise()
        maps = look.occlusion(images, target=evaluation.predictions[chosen], window=WINDOW)
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
    return Looks(wanted.as_subclass(Tensor)[:, 0].cpu().numpy().astype(np.float32), heats, WINDOW)


def _chosen(evaluation: Evaluation, targets: Tensor) -> Tensor:
    right = (evaluation.predictions == targets).nonzero()[:EACH, 0]
    wrong = (evaluation.predictions != targets).nonzero()[:, 0]
    surest = wrong[evaluation.confidences[wrong].argsort(descending=True, stable=True)[:EACH]]
    return right.new_tensor([*right.tolist(), *surest.tolist()])
