"""The published figures of deep spiking nets that learn from reward, reproduced."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from torch import Tensor
from torch.nn import functional

from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import Distortions
from threegen.datasets.load import load_data
from threegen.datasets.spike_times import SpikeTimes
from threegen.errors import DataError
from threegen.figures.reproduce import Made
from threegen.functional.plasticity.decision_bounds import answers
from threegen.gen2.mlp import MLP
from threegen.gen3.mozafari import Mozafari2019
from threegen.gen3.ordered_conv import DecisionConv
from threegen.randomness import make_generator
from threegen.registry.deep_reward import BATCHES, SpikeCache, deep_reward_stages
from threegen.rules.rule import Rule
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.loop import Callback, Training
from threegen.training.persistence.checkpoint import list_checkpoints, write_tensors
from threegen.training.persistence.files import remove_folder
from threegen.training.schedules import Schedule

PAPER = (
    "Mozafari, Ganjtabesh, Nowzari-Dalini, Thorpe and Masquelier, Bio-inspired digit recognition using "
    "reward-modulated spike-timing-dependent plasticity in deep convolutional networks, Pattern Recognition 94:87-95 "
    "(2019)"
)
HELD_OUT = 10_000
LOOK_EVERY = 10  # passes between evaluations on the held-out images


@dataclass(frozen=True)
class Recipe:
    """The recipe of one figure: the net, the passes of each layer, the rule of S3."""

    name: str
    passes: tuple[int, int, int]
    options: Mapping[str, Any] = field(default_factory=dict)  # of the model
    reward: Callable[[Mozafari2019], Rule] | None = None
    schedule: Schedule | None = None  # of S3's rule
    mean_from: int | None = None  # the pass from which the mean of S3's weights is also a candidate
    distortions: Distortions | None = None  # S3 also learns from distorted versions of the images
    copies: int = 4
    batch_sizes: tuple[int, int, int] = BATCHES
    look_every: int = LOOK_EVERY
    all_images: bool = False  # train on all 60,000 images and use the last weights

    def accuracy(self, seed: int, progress: bool = False) -> Made:
        """Train on 50,000 images, choose the weights on 10,000 held-out ones and return the test accuracy in per cent.

        The test split is read here, once. A killed run is resumed from `runs/reproduce/NAME-SEED`. With `all_images` a
        linear softmax is trained on the same bits; both accuracies are appended to `runs/reproduce/NAME.jsonl`.
        """
        data = load_data("mnist")
        split = data.train.holdout(HELD_OUT)
        folder = Path("runs/reproduce") / f"{self.name}-{seed}"
        model = self.model(seed)
        chosen = folder / "chosen.safetensors"
        chooser = None
        if not self.all_images:
            chooser = ChooseWeights(split.validation, chosen, self.look_every, mean_from=self.mean_from)
        rule = None if self.reward is None else self.reward(model)
        log = fit(
            model,
            deep_reward_stages(
                model,
                passes=self.passes,
                reward=rule,
                schedule=self.schedule,
                folder=folder / "spikes",
                distortions=self.distortions,
                copies=self.copies,
                batch_sizes=self.batch_sizes,
            ),
            data.train if chooser is None else split.train,
            seed=seed,
            callbacks=chooser or (),
            out=folder,
            resume=bool(list_checkpoints(folder / "checkpoints")),
            progress=progress,
            title=f"{self.name}, seed {seed}",
        )
        if chooser is not None:
            chooser.put_back(model)
        found = 100 * evaluate(model, data.test, seed=seed).accuracy
        if chooser is None:
            cache = SpikeCache(model, folder / "spikes")
            read_out = linear_read_out(cache.features(data.train), cache.features(data.test), seed, epochs=4)
            with folder.with_name(f"{self.name}.jsonl").open("a") as lines:
                lines.write(json.dumps({"seed": seed, "accuracy": found, "softmax": read_out}) + "\n")
        remove_folder(folder)
        return Made(found, log.seconds)

    def model(self, seed: int) -> Mozafari2019:
        """Return the net with its first weights."""
        return Mozafari2019(generator=make_generator(seed, "weights", "mozafari"), **self.options)


class ChooseWeights(Callback):
    """Evaluate on held-out images every few passes of S3 and store the best weights.

    With `mean_from` the mean of the weights after that pass and all later ones is evaluated too. The best weights are
    stored in a file, so that a resumed run finds them.
    """

    def __init__(self, held_out: Dataset, path: Path, every: int = LOOK_EVERY, mean_from: int | None = None) -> None:
        self.held_out, self.path, self.every, self.mean_from = held_out, path, every, mean_from
        self.best, self.weight, self.best_pass = -1.0, torch.empty(0), 0
        self.total, self.count, self.added = torch.zeros(()), 0, 0  # for the mean; the last pass that is in it
        self._bits: SpikeTimes | None = None

    def on_begin(self, run: Training) -> None:
        """Restore the best weights of an earlier process of this run."""
        if run.progress.batches_done and self.path.is_file():
            kept = load_tensors(self.path.read_bytes())
            self.weight, self.total = kept["weight"], kept["total"]
            self.best, self.best_pass = float(kept["best"]), int(kept["pass"])
            self.count, self.added = int(kept["count"]), int(kept["added"])

    def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
        """Evaluate after every few passes of the last stage."""
        done, model = int(record["epoch"]) + 1, run.model
        if record["stage"] != 2 or not isinstance(model, Mozafari2019):
            return
        weight = model.s3.weight.detach()
        if self.mean_from is not None and done >= max(self.mean_from, self.added + 1):  # a resumed run repeats passes
            self.total, self.count, self.added = self.total + weight.double(), self.count + 1, done
        if done % self.every == 0 or done == run.session.stages[2].epochs:
            found = self._look(model, weight, done)
            line = {"pass": done, **found, "best": self.best, "rewarded": record.get("reward")}
            with (self.path.parent / "held-out.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        elif not self.count:
            return
        self._save()

    def _look(self, model: Mozafari2019, weight: Tensor, done: int) -> dict[str, float]:
        """Return the accuracies of the weights, and of their mean, and store the best."""
        if self._bits is None:
            self._bits = SpikeCache(model).features(self.held_out)
        candidates = {"held_out": weight}
        if self.count > 1:
            candidates["mean"] = (self.total / self.count).to(weight.dtype)
        found = {}
        for name, candidate in candidates.items():
            found[name] = accuracy_on(candidate, model.s3, self._bits)
            if found[name] > self.best:
                self.best, self.weight, self.best_pass = found[name], candidate.clone(), done
        return found

    def _save(self) -> None:
        kept = {
            "weight": self.weight,
            "total": self.total,
            "best": torch.tensor(self.best, dtype=torch.float64),
            "pass": torch.tensor(self.best_pass),
            "count": torch.tensor(self.count),
            "added": torch.tensor(self.added),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(self.path, kept)

    def put_back(self, model: Mozafari2019) -> None:
        """Copy the best weights into the model."""
        if self.weight.numel():
            with torch.no_grad():
                model.s3.weight.copy_(self.weight)


def accuracy_on(weight: Tensor, layer: DecisionConv, bits: SpikeTimes, batch_size: int = 2000) -> float:
    """Return the share of right answers of S3 with `weight` for labelled images. Raises `DataError` without labels."""
    right = 0
    for batch in bits.batches(batch_size):
        if batch.targets is None:
            raise DataError(f"{bits.name} has no labels")
        right += int(torch.eq(classes_of(weight, layer, batch.inputs), batch.targets).sum())
    return right / len(bits)


def classes_of(weight: Tensor, layer: DecisionConv, times: Tensor) -> Tensor:
    """Return the answers [B] for C2's times [B, C, H, W], -1 if no neuron has an active input."""
    winners = answers(weight, (times < layer.steps).to(torch.uint8), layer.padding)
    size, pad = weight.shape[-1], layer.padding
    places = (times.shape[2] + 2 * pad - size + 1) * (times.shape[3] + 2 * pad - size + 1)
    each = len(weight) // layer.classes
    return torch.where(winners < 0, -1, winners // places // each)


def linear_read_out(train: SpikeTimes, test: SpikeTimes, seed: int = 0, epochs: int = 10) -> float:
    """Return the test accuracy in per cent of a softmax trained on C2's bits, a linear read-out.

    Adam at .001, falling linearly, batches of 100. Raises `DataError` without labels.
    """
    if train.targets is None or test.targets is None:
        raise DataError("a linear read-out needs labels")
    net = MLP([int(torch.tensor(train.shape).prod()), 10], generator=make_generator(seed, "weights", "read-out"))
    steps, size = epochs * -(-len(train) // 100), 100
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for epoch in range(epochs):
        for batch in train.batches(size, generator=make_generator(seed, "order", epoch)):
            scores = net((batch.inputs < train.steps).float().flatten(1))
            loss = functional.cross_entropy(scores, train.targets[batch.index])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            falling.step()
    right = 0
    with torch.no_grad():
        for batch in test.batches(2000):
            found = net((batch.inputs < train.steps).float().flatten(1)).argmax(1)
            right += int(torch.eq(found, test.targets[batch.index]).sum())
    return 100 * right / len(test)
