"""A spiking network at work on one image: raster, membrane potentials, the decision as it forms, accuracy against T."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from threegen.errors import ConfigError
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.networks import Record, SpikingNet
from threegen.randomness import make_generator
from threegen.web.lineup import CLASSES, PageModel
from threegen.web.request import Asked
from threegen.web.units import switched_off

MOST_NEURONS = 120  # neurons of a layer that are drawn
MOST_STEPS = 120  # frames of the animation: longer presentations are told in bins of several steps
IMAGES = 300  # test images by which accuracy against T is measured


def record_of(member: PageModel, asked: Asked) -> dict[str, Any]:
    """Return what happens over the time steps.

    `layers`: name, neurons, how many spikes, and `raster`, the neurons (numbers among those shown) that fire at each
    frame. `input`: the pixels that fire at each frame. `potentials` [classes or units][frames] of `speakers`,
    `threshold` where it is one number, `decision` [frames][K] the shares of the classes so far. A frame is `bin` time
    steps. Raises `ConfigError` for a model that does not spike.
    """
    model = member.model
    if not isinstance(model, SpikingNet | DiehlCook):
        raise ConfigError(f"{member.name} sends no spikes")
    with member.lock, switched_off(member, asked.off.get(member.name, {})), torch.no_grad():
        record = model.run(asked.image[None], generator=make_generator(asked.seed, "page"))
        scores = _forming(model, record)
    steps = len(record.inputs)
    size = -(-steps // MOST_STEPS)
    potentials = _last_of_bin(record.potentials[-1][:, 0].flatten(1), size)
    speakers = _speakers(model, record)
    threshold = getattr(model.neurons[-1], "threshold", None) if isinstance(model, SpikingNet) else None
    return {
        "name": member.name,
        "steps": steps,
        "bin": size,
        "input": _fired(_binned(record.inputs[:, 0].flatten(1), size)),
        "layers": [_layer(number, spikes, size) for number, spikes in enumerate(record.spikes)],
        "speakers": [name for name, _ in speakers],
        "potentials": [[round(float(u), 4) for u in potentials[:, unit]] for _, unit in speakers],
        "threshold": float(threshold) if isinstance(threshold, int | float) else None,
        "decision": [[round(share, 4) for share in row] for row in _last_of_bin(member.shares(scores), size).tolist()],
    }


def _layer(number: int, spikes: Tensor, size: int) -> dict[str, Any]:
    flat = _binned(spikes[:, 0].flatten(1), size)
    counts = flat.sum(0)
    busiest = counts.argsort(descending=True, stable=True)[:MOST_NEURONS].sort().values
    return {
        "layer": number + 1,
        "neurons": flat.shape[1],
        "shown": busiest.tolist(),
        "spikes": int(counts.sum()),
        "silent": int((counts == 0).sum()),
        "raster": _fired(flat[:, busiest]),
    }


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
    """Return the scores [T, K] that the network would give if it had to answer after each time step."""
    if isinstance(model, DiehlCook):
        counts = record.spikes[-1][:, 0].cumsum(0)
        return model.votes(counts.to(torch.int32)).float()
    train = record.inputs.transpose(0, 1)
    return torch.cat([model(train[:, : t + 1]).float() for t in range(len(record.inputs))])


def _speakers(model: SpikingNet | DiehlCook, record: Record) -> list[tuple[str, int]]:
    """Return the neurons of the last layer whose potentials are drawn: one a class, or the four that fired most."""
    if isinstance(model, DiehlCook):
        own = model.assignments.tolist()
        most = record.spikes[-1][:, 0].sum(0).argsort(descending=True, stable=True)[:4].tolist()
        return [(str(own[unit]) if own[unit] >= 0 else "-", unit) for unit in most]
    votes = record.potentials[-1][0, 0].numel() // CLASSES
    return [(str(digit), digit * votes) for digit in range(CLASSES)]


def accuracy_by_steps(member: PageModel, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return the share of `images` [B, 1, 28, 28] that are right if the network answers after 1, 2 ... T steps.

    It depends on the weights alone and is measured once. Raises `ConfigError` for a model without such an answer.
    """
    model = member.model
    if not isinstance(model, SpikingNet):
        raise ConfigError(f"{member.name} takes too long for this measurement")
    if "by steps" not in member.known:
        with member.lock, torch.no_grad():
            train = model.encode(images, make_generator("accuracy by steps")).transpose(0, 1)
            scores = [model(train[:, : t + 1]).argmax(1) for t in range(train.shape[1])]
        member.known["by steps"] = [float((one == labels).float().mean()) for one in scores]
    return {"name": member.name, "images": len(labels), "accuracy": member.known["by steps"]}
