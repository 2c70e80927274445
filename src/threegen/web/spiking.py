"""A spiking network at work on one image: raster, membrane potentials, the decision at each time step, accuracy against
T."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from threegen.errors import ConfigError
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.mozafari import Mozafari2019
from threegen.gen3.networks import Record, SpikingNet
from threegen.randomness import make_generator
from threegen.web.lineup import CLASSES, PageModel
from threegen.web.request import Asked
from threegen.web.single_spikes import frames, scores_by_step, times_of_layers
from threegen.web.units import switched_off

MOST_NEURONS = 120  # neurons of a layer that are drawn
MOST_STEPS = 120  # frames of the animation: longer presentations are shown in bins of several steps
IMAGES = 300  # test images for accuracy against T
FEW = 100  # of them, for a network that takes long
PART = 20  # images at once
Timed = SpikingNet | DiehlCook | Mozafari2019


def record_of(member: PageModel, asked: Asked) -> dict[str, Any]:
    """Return what happens over the time steps.

    `layers`: name, neurons, number of spikes, and `raster`, the neurons (indices among those shown) that fire at each
    frame. `input`: the pixels that fire at each frame. `potentials` [classes or units][frames] of `speakers`,
    `threshold` if it is a single number, `decision` [frames][K] the shares of the classes so far. A frame is `bin` time
    steps. Raises `ConfigError` for a model that does not spike.
    """
    model = member.model
    if not isinstance(model, Timed):
        raise ConfigError(f"{member.name} sends no spikes")
    with member.lock, switched_off(member, asked.off.get(member.name, {})), torch.no_grad():
        played = _play_single(model, asked.image[None]) if isinstance(model, Mozafari2019) else _play(model, asked)
    steps = len(played.inputs)
    size = -(-steps // MOST_STEPS)
    potentials = _last_of_bin(played.potentials, size)
    shares = _last_of_bin(member.shares(played.scores), size)
    return {
        "name": member.name,
        "steps": steps,
        "bin": size,
        "input": _fired(_binned(played.inputs, size)),
        "layers": [_layer(number, spikes, size) for number, spikes in enumerate(played.spikes)],
        "speakers": played.speakers,
        "potentials": [[round(float(u), 4) for u in row] for row in potentials.T],
        "threshold": played.threshold,
        "decision": [[round(share, 4) for share in row] for row in shares.tolist()],
    }


@dataclass(frozen=True)
class _Played:
    """One presentation: inputs [T, pixels], spikes of each layer [T, N], potentials [T, speakers], scores [T, K]."""

    inputs: Tensor
    spikes: list[Tensor]
    potentials: Tensor
    scores: Tensor
    speakers: list[str]
    threshold: float | None


def _play(model: SpikingNet | DiehlCook, asked: Asked) -> _Played:
    record = model.run(asked.image[None], generator=make_generator(asked.seed, "page"))
    speakers = _speakers(model, record)
    threshold = getattr(model.neurons[-1], "threshold", None) if isinstance(model, SpikingNet) else None
    return _Played(
        record.inputs[:, 0].flatten(1),
        [spikes[:, 0].flatten(1) for spikes in record.spikes],
        record.potentials[-1][:, 0].flatten(1)[:, [unit for _, unit in speakers]],
        _forming(model, record)[:, 0],
        [name for name, _ in speakers],
        float(threshold) if isinstance(threshold, int | float) else None,
    )


def _play_single(model: Mozafari2019, image: Tensor) -> _Played:
    """Potentials are the highest of each class, in shares of what could not be exceeded; nobody fires in S3."""
    times = times_of_layers(model, image)
    scores = scores_by_step(model, times["c2"])[:, 0]
    onset = times["input"][0].amin(0)  # a pixel's earliest cell
    return _Played(
        frames(onset, model.steps),
        [frames(times[layer][0], model.steps) for layer in ("s1", "s2")],
        (scores - 1).clamp_min(0),
        scores,
        [str(digit) for digit in range(model.classes)],
        None,
    )


def _layer(number: int, spikes: Tensor, size: int) -> dict[str, Any]:
    flat = _binned(spikes, size)
    counts = flat.sum(0)
    shown = _chosen(counts)
    return {
        "layer": number + 1,
        "neurons": flat.shape[1],
        "shown": shown.tolist(),
        "spikes": int(counts.sum()),
        "silent": int((counts == 0).sum()),
        "raster": _fired(flat[:, shown]),
    }


def _chosen(counts: Tensor) -> Tensor:
    """Return which neurons are drawn: all, or `MOST_NEURONS` spread evenly over those that fire, then silent ones."""
    active, silent = (counts > 0).nonzero().ravel(), (counts == 0).nonzero().ravel()
    drawn = min(MOST_NEURONS, len(counts))
    if len(active) >= drawn:
        return active[torch.linspace(0, len(active) - 1, drawn).round().long()]
    more = drawn - len(active)
    return torch.cat([active, silent[torch.linspace(0, len(silent) - 1, more).round().long()]]).sort().values


def _fired(flat: Tensor) -> list[list[int]]:
    """Return which of the columns fire at each frame."""
    return [row.nonzero().ravel().tolist() for row in flat]


def _binned(flat: Tensor, size: int) -> Tensor:
    """Return [steps, N] as sums over bins of `size` steps, [frames, N]."""
    if size == 1:
        return flat
    missing = -len(flat) % size
    return torch.cat([flat, flat.new_zeros(missing, flat.shape[1])]).reshape(-1, size, flat.shape[1]).sum(1)


def _last_of_bin(values: Tensor, size: int) -> Tensor:
    frames = -(-len(values) // size)
    return values[[min((one + 1) * size, len(values)) - 1 for one in range(frames)]]


def _forming(model: SpikingNet | DiehlCook, record: Record) -> Tensor:
    """Return the scores [T, B, K] that the network would give if it had to answer after each time step."""
    if isinstance(model, DiehlCook):
        counts = record.spikes[-1].cumsum(0).to(torch.int32)
        return torch.stack([model.votes(one).float() for one in counts])
    train = record.inputs.transpose(0, 1)
    return torch.stack([model(train[:, : t + 1]).float() for t in range(len(record.inputs))])


def _speakers(model: SpikingNet | DiehlCook, record: Record) -> list[tuple[str, int]]:
    """Return the neurons of the last layer whose potentials are drawn: one per class, or the four that fired most."""
    if isinstance(model, DiehlCook):
        own = model.assignments.tolist()
        most = record.spikes[-1][:, 0].sum(0).argsort(descending=True, stable=True)[:4].tolist()
        return [(str(own[unit]) if own[unit] >= 0 else "-", unit) for unit in most]
    votes = record.potentials[-1][0, 0].numel() // CLASSES
    return [(str(digit), digit * votes) for digit in range(CLASSES)]


def accuracy_by_steps(member: PageModel, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return the share of `images` [B, 1, 28, 28] that are right if the network answers after 1, 2 ... T steps.

    Long presentations are told in bins, as in `record_of`. A network that takes long gets the first `FEW` of the
    images. It depends on the weights alone and is measured once. Raises `ConfigError` for a model without time steps.
    """
    model = member.model
    if not isinstance(model, Timed):
        raise ConfigError(f"{member.name} sends no spikes")
    count = min(FEW, len(images)) if member.takes_long else len(images)
    if "by steps" not in member.known:
        generator = make_generator("accuracy by steps")
        right = []
        for part, targets in zip(torch.split(images[:count], PART), torch.split(labels[:count], PART), strict=True):
            with member.lock, torch.no_grad():  # released between parts, so that the card continues to answer
                right.append(_answers_by_steps(model, part, generator) == targets)
        shares = torch.cat(right, 1).float().mean(1)
        member.known["by steps"] = _last_of_bin(shares, -(-len(shares) // MOST_STEPS)).tolist()
    return {"name": member.name, "images": count, "accuracy": member.known["by steps"]}


def _answers_by_steps(model: Timed, images: Tensor, generator: torch.Generator) -> Tensor:
    """Return the class [T, B] that the network would name after each time step."""
    if isinstance(model, Mozafari2019):
        return scores_by_step(model, times_of_layers(model, images)["c2"]).argmax(2)
    if isinstance(model, DiehlCook):
        return _forming(model, model.run(images, generator=generator)).argmax(2)
    train = model.encode(images, generator).transpose(0, 1)
    return torch.stack([model(train[:, : t + 1]).argmax(1) for t in range(train.shape[1])])
