"""The stages that train Diehl and Cook's network as a classifier: learning by spike timing, then labelling."""

from __future__ import annotations

from functools import partial

from threegen.datasets.dataset import Dataset
from threegen.gen3.diehl_cook import DiehlCook
from threegen.rules.diehl_cook_stdp import AssignLabels
from threegen.rules.rule import Rule
from threegen.training.schedules import RuleValue
from threegen.training.stages import Stage

PAPER = (
    "Diehl and Cook, Unsupervised learning of digit recognition using spike-timing-dependent plasticity, Frontiers in "
    "Computational Neuroscience 9:99 (2015)"
)
BATCH = 100
LABELLED = 10_000


def stdp_stages(
    model: DiehlCook,
    rule: Rule,
    *,
    epochs: int = 1,
    last_rate: float = 0.1,
    batch_size: int = BATCH,
    labelled: int = LABELLED,
    images: int | None = None,
) -> list[Stage]:
    """Return the stages that train `model` as a classifier: learning by `rule`, then labels by training examples.

    The rule's rate falls linearly from 1 to `last_rate`. The first `images` of the training data are used for learning,
    all by default; the first `labelled` determine the neurons' classes, and no other labels are used.
    """
    learning = Stage(
        "learn by spike timing",
        rule,
        transform=None if images is None else partial(_first, count=images),
        epochs=epochs,
        batch_size=batch_size,
        schedule=RuleValue("rate", 1.0, last_rate),
        validate=False,
    )
    labelling = Stage(
        "label the neurons",
        AssignLabels(),
        transform=partial(_first, count=labelled),
        batch_size=batch_size,
        shuffle=False,
        begin=model.forget_labels,
    )
    return [learning, labelling]


def suited_theta_plus(neurons: int) -> float:
    """Return a suitable step of theta in mV: the paper's 0.05 for 400 neurons, less for fewer, since they fire more."""
    return 0.05 * min(1.0, neurons / 400)


def _first(data: Dataset, count: int) -> Dataset:
    return data.take(count)
