"""The input of a layer when the layers before it already spike: the summed input step by step, on the images.

Shapes: T time steps (1 if all steps are the same), N images, B of them at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from threegen.conversion.build import Scale, spread
from threegen.conversion.graph import Graph, SoftRate
from threegen.gen3.graph_neurons import StartedLIF

BATCH = 200  # images at a time: fixed, so that results do not depend on the caller's batch size


@dataclass
class Signal:
    """The output of a source for all images: `values` [T, N, ...] (T = 1: the same at every step) and `amplitude`."""

    values: Tensor
    amplitude: Tensor  # of the shape of one example

    def steps(self, start: int, stop: int, steps: int) -> Tensor:
        """Return the represented values for some images at every step, [T * B, ...], or [B, ...] for `steps` = 1."""
        own = self.values[:, start:stop].to(self.amplitude.dtype) * self.amplitude
        return own.expand(steps, *own.shape[1:]).flatten(0, 1)

    def mean(self, start: int, stop: int) -> Tensor:
        """Return the mean over the steps of the represented values for some images, [B, ...]."""
        own = self.values[:, start:stop]
        return own[0] * self.amplitude if len(own) == 1 else own.to(self.amplitude.dtype).mean(0) * self.amplitude


def batches(count: int, size: int = BATCH) -> Iterator[tuple[int, int]]:
    """Yield the first and the last (not included) of every batch of images."""
    for start in range(0, count, size):
        yield start, min(start + size, count)


def summed_input(graph: Graph, number: int, signals: Mapping[int, Signal], count: int, steps: int) -> Tensor:
    """Return the result of operation `number` at every step, [T, N, ...]; T = 1 if all steps are the same."""
    sources = graph.sources(number)
    many = 1 if all(len(signals[one].values) == 1 for one in sources) else steps
    made = []
    for start, stop in batches(count):
        given = {one: signals[one].steps(start, stop, many) for one in sources}
        own = graph.evaluate(number, given)
        made.append(own.reshape(many, stop - start, *own.shape[1:]))
    return torch.cat(made, 1)


def in_batches(count: int, function: Callable[[int, int], Tensor]) -> Tensor:
    """Return the concatenated results of `function` for every batch of images."""
    return torch.cat([function(start, stop) for start, stop in batches(count)])


def spikes_of(currents: Tensor, scale: Scale, steps: int, reset: str, rate: SoftRate | None = None) -> Tensor:
    """Return the spikes [T, N, C, ...], each 0 or 1 in a byte, of neurons that get `currents` [T or 1, N, C, ...].

    With `rate` they are leaky neurons of those constants.
    """
    if rate is not None:
        leaky = StartedLIF(len(scale.start), **asdict(rate.times))
        leaky.initial = scale.start
        given = currents.expand(steps, *currents.shape[1:])
        return in_batches(
            currents.shape[1], lambda start, stop: leaky(given[:, start:stop])[0].to(torch.uint8).transpose(0, 1)
        ).transpose(0, 1)
    shape = tuple(currents.shape[2:])
    threshold = spread(scale.threshold, shape)
    potential = (spread(scale.start, shape) * threshold).expand_as(currents[0]).clone()
    spikes = torch.empty(steps, *currents.shape[1:], dtype=torch.uint8)
    for step in range(steps):
        potential += currents[step if len(currents) > 1 else 0]
        fired = potential >= threshold
        spikes[step] = fired
        if reset == "soft":
            potential -= fired * threshold
        else:
            potential.masked_fill_(fired, 0.0)
    return spikes


def counts_of(currents: Tensor, threshold: Tensor, start: Tensor, steps: int, reset: str) -> Tensor:
    """Return the number of spikes of neurons over all steps, [N, C, ...], from `currents` [T or 1, N, C, ...].

    For one summed input at every step and reset by subtraction that is floor(v_0 + T I / theta), within 0..T.
    """
    shape = tuple(currents.shape[2:])
    inverse, first = spread(1 / threshold, shape), spread(start, shape)
    if len(currents) == 1 and reset == "soft":
        return (currents[0] * (inverse * steps)).add_(first).floor_().clamp_(0, steps)
    potential = first.expand_as(currents[0]).clone()
    counts, fired = torch.zeros_like(potential), torch.empty_like(potential)
    for step in range(steps):
        potential.addcmul_(currents[step if len(currents) > 1 else 0], inverse)
        torch.ge(potential, 1.0, out=fired)
        counts += fired
        if reset == "soft":
            potential -= fired
        else:
            potential.masked_fill_(fired.bool(), 0.0)
    return counts
