"""Training of the nets of Kheradpisheh and Mozafari as stages for `fit`: layer by layer, on spikes of frozen layers.

    fit(model, deep_reward_stages(model), data)     S1 and S2 by order-based STDP, S3 by reward

Results that do not change are computed once: the spike times of encoded images, those of C1 for S2, and for S3 one bit
for each place of C2 (500 bytes per image), since its rule needs only whether an input has fired.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from threegen.checks import require_whole
from threegen.datasets.dataset import Dataset
from threegen.datasets.distortions import Distortions
from threegen.datasets.spike_times import SpikeCopies, SpikeTimes, keep_rows, row_bytes
from threegen.errors import ConfigError
from threegen.gen3.mozafari import Mozafari2019
from threegen.gen3.ordered_conv import OrderedConv
from threegen.gen3.single_spikes import spikes_fingerprint
from threegen.randomness import make_generator
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.reward_stdp import RewardSTDP
from threegen.rules.rule import Rule
from threegen.training.schedules import EpochSteps, Schedule
from threegen.training.stages import Stage

Array = np.ndarray[Any, Any]
BATCHES = (500, 500, 1000)  # they do not affect the result: images are processed one by one
PASSES = (2, 4, 680)  # of the published script


def script_reward(model: Mozafari2019) -> RewardSTDP:
    """Return the reward rule of the published script, whose first 1,000 images have full rates."""
    return RewardSTDP(model.classes, first_shares=(1.0, 1.0))


# Options of a `Mozafari2019` that learns by `doubtful_reward`: S3 sees all of C2, edge included, from one position.
WHOLE_VIEW: dict[str, Any] = {"whole_pools": True, "whole_view": True, "bounds": (0.0, 1.0)}


def doubtful_reward(classes: int) -> RewardSTDP:
    """Return our best reward rule: S3 learns from wrong answers, tried again up to five times, and from doubtful ones.

    Rates are full; inputs that do not fire change nothing. docs/mozafari.md says what each part contributes.
    """
    return RewardSTDP(classes, reward=(0.004, 0.0), punish=(0.004, 0.0), adaptive=False, tries=5, margin=12.0)


def falling_rates(passes: int) -> EpochSteps:
    """Return the schedule of `doubtful_reward`: rates fall to a half, a quarter and a tenth by the last pass of ten."""
    later = {0.4: 0.5, 0.7: 0.25, 0.9: 0.1}
    return EpochSteps("rate", {0: 1.0} | {max(1, round(share * passes)): factor for share, factor in later.items()})


def deep_reward_stages(
    model: Mozafari2019,
    *,
    passes: tuple[int, int, int] = PASSES,
    reward: Rule | None = None,
    schedule: Schedule | None = None,
    shuffle: bool = False,
    batch_sizes: tuple[int, int, int] = BATCHES,
    images: int | None = None,
    folder: str | Path | None = None,
    distortions: Distortions | None = None,
    copies: int = 4,
) -> list[Stage]:
    """Return the three stages that train `model`: S1, S2 (STDP, no labels), S3 (reward STDP).

    Args:
        model: a `Mozafari2019`.
        passes: through the data, for each layer.
        reward: the rule of S3; None uses that of the published script.
        schedule: of S3's rule, such as `EpochSteps("rate", {0: 4.0, 20: 1.0})`.
        shuffle: a new order in each pass; the script keeps that of the data.
        batch_sizes: for each layer; they determine when checkpoints may be written, not the result.
        images: only this number of first images of the data; None uses all.
        folder: of files for spike times, so that a resumed run finds them; None keeps them in memory.
        distortions: S3 also learns from distorted images: its passes show the images and `copies` distorted versions of
            all of them in turn. None (the script): only the images. S1 and S2 never see them.
        copies: how many distorted versions are made.

    Raises `ConfigError` for another model and for invalid numbers of passes.
    """
    if not isinstance(model, Mozafari2019):
        raise ConfigError(f"deep_reward_stages trains a Mozafari2019, got {type(model).__name__}")
    if len(passes) != 3:
        raise ConfigError(f"passes must be three numbers, for S1, S2 and S3, got {passes!r}")
    for count in passes:
        require_whole("passes", count, least=0)
    cache = SpikeCache(model, None if folder is None else Path(folder), images)
    rules = (OrderBasedSTDP(), OrderBasedSTDP(), reward or script_reward(model))
    require_whole("copies", copies)
    top = cache.features if distortions is None else partial(cache.versions, distortions=distortions, copies=copies)
    below: tuple[Callable[[Dataset], Dataset], ...] = (cache.encoded, cache.pooled, top)
    layers = zip(("S1", "S2", "S3"), (model.s1, model.s2, model.s3), batch_sizes, strict=True)
    return [
        Stage(
            name,
            rule,
            layer,
            transform=transform,
            epochs=epochs,
            batch_size=batch,
            shuffle=shuffle,
            schedule=schedule if name == "S3" else None,
            validate=name == "S3",
        )
        for (name, layer, batch), rule, transform, epochs in zip(layers, rules, below, passes, strict=True)
    ]


class SpikeCache:
    """The spikes of a net's finished layers for a data set, computed once; identified by a fingerprint of weights and
    data.

    The encoded images are kept until S3's bits have been made.
    """

    def __init__(self, model: Mozafari2019, folder: Path | None = None, images: int | None = None) -> None:
        self.model, self.folder = model, folder
        self.images = None if images is None else require_whole("images", images)
        self._encoded: tuple[str, Array] | None = None

    def encoded(self, data: Dataset) -> SpikeTimes:
        """Return the spike times of the encoded images."""
        data = self._part(data)
        key = self._key(data, "encoded")
        if self._encoded is None or self._encoded[0] != key:
            shape = (len(self.model.encoder.filters), *self.model.shape[1:])
            inputs = data.inputs

            def make(part: slice) -> Array:
                found: Array = self.model.encode(inputs[part]).numpy()
                return found

            self._encoded = key, keep_rows(key, len(data), shape, make, self.folder)
        kept = self._encoded[1]
        return self._times(data, kept, kept.shape[1:], "encoded")

    def pooled(self, data: Dataset) -> SpikeTimes:
        """Return C1's spike times."""
        data = self._part(data)
        encoded = self.encoded(data).kept
        key = self._key(data, "c1", self.model.s1)
        shape = self.model.c1_shape

        def make(part: slice) -> Array:
            found: Array = self.model.c1(torch.from_numpy(np.array(encoded[part]))).numpy()
            return found

        return self._times(data, keep_rows(key, len(data), shape, make, self.folder), shape, "c1")

    def features(self, data: Dataset) -> SpikeTimes:
        """Return one bit for each place of C2."""
        model, data = self.model, self._part(data)
        key = self._key(data, "c2", model.s1, model.s2)
        shape = model.c2_shape

        def make(part: slice) -> Array:
            if self._encoded is None:  # a resumed run whose earlier stages are done does not need the times
                encoded = model.encode(data.inputs[part])
            else:
                encoded = torch.from_numpy(np.array(self._encoded[1][part]))
            fired = (model.features(encoded) < model.steps).flatten(1).numpy()
            found: Array = np.packbits(fired, axis=1)
            return found

        if self._encoded is not None and self._encoded[0] != self._key(data, "encoded"):
            self._encoded = None
        kept = keep_rows(key, len(data), (row_bytes(shape),), make, self.folder)
        self._encoded = None
        return self._times(data, kept, shape, "c2", packed=True)

    def versions(self, data: Dataset, distortions: Distortions, copies: int) -> SpikeCopies:
        """Return one bit for each place of C2, for the images and for `copies` distorted versions of them."""
        model, data = self.model, self._part(data)
        shape = model.c2_shape
        found = [self.features(data)]
        for copy in range(copies):

            def make(part: slice, copy: int = copy) -> Array:
                generator = make_generator("distorted versions", copy, part.start)
                images = distortions.draw(data.inputs[part], generator)
                fired = model.features(model.encode(images.clamp(0.0, 1.0))) < model.steps
                packed: Array = np.packbits(fired.flatten(1).numpy(), axis=1)
                return packed

            key = self._key(data, f"c2 {distortions} {copy}", model.s1, model.s2)
            kept = keep_rows(key, len(data), (row_bytes(shape),), make, self.folder)
            found.append(self._times(data, kept, shape, f"c2, version {copy + 1}", packed=True))
        return SpikeCopies(found)

    def _part(self, data: Dataset) -> Dataset:
        return data if self.images is None or self.images >= len(data) else data.take(self.images)

    def _times(self, data: Dataset, kept: Array, shape: tuple[int, ...], name: str, packed: bool = False) -> SpikeTimes:
        full = f"{data.name}, {name}"
        return SpikeTimes(kept, shape, self.model.steps, data.targets, data.classes, full, packed=packed)

    def _key(self, data: Dataset, name: str, *layers: OrderedConv) -> str:
        what = f"{name} {data.fingerprint()} {self.model.whole_pools}"
        return spikes_fingerprint(self.model, self.model.encoder, layers, what)
