"""Compare a converted net with the network: answers after every number of steps, and what each layer loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from threegen.conversion.build import Scale, spread
from threegen.conversion.currents import batches
from threegen.conversion.graph import INPUT, MAX, Graph
from threegen.conversion.report import StepReport
from threegen.gen3.networks import Record
from threegen.gen3.readouts import RateReadout
from threegen.gen3.spiking_graph import SpikingGraph
from threegen.randomness import make_generator


@dataclass(frozen=True)
class Judged:
    """The curve over steps, the accuracy of the network (None without labels), and the loss of each layer, as
    shares."""

    curve: list[StepReport]
    ann_accuracy: float | None
    lost: list[float | None]


def judge(
    graph: Graph,
    net: SpikingGraph,
    x: Tensor,
    labels: Tensor | None,
    scales: Mapping[int, Scale],
    seed: int,
    *,
    layers: bool = True,
) -> Judged:
    """Return how `net` answers images x [N, ...] compared with `graph`, the network that it was converted from."""
    generator = make_generator(seed, "convert", "judge")
    agree, right = torch.zeros(net.steps), torch.zeros(net.steps)
    spikes, known = torch.zeros(net.steps, dtype=torch.float64), 0
    stages = [0] * (len(graph.rectifiers()) + 1)
    with torch.no_grad():
        for start, stop in batches(len(x)):
            images, scores = x[start:stop], graph.run(x[start:stop])
            truth = None if labels is None else labels[start:stop]
            record = net.run(images, generator=generator)
            answers = _answers(net, record)
            agree += (answers == scores.argmax(1)).sum(1)
            spikes += sum(_per_step(one) for one in record.spikes).cumsum(0)  # type: ignore[union-attr]
            if truth is not None:
                right += (answers == truth).sum(1)
                known += int((scores.argmax(1) == truth).sum())
            if layers:
                reference = scores.argmax(1) if truth is None else truth
                for place, made in enumerate(_layer_by_layer(graph, record, images, scales)):
                    stages[place] += int((made.argmax(1) == reference).sum())
    count = len(x)
    curve = [
        StepReport(
            step + 1,
            float(agree[step]) / count,
            None if labels is None else float(right[step]) / count,
            float(spikes[step]) / count,
        )
        for step in range(net.steps)
    ]
    lost: list[float | None] = [(one - other) / count for one, other in pairwise(stages)] if layers else []
    return Judged(curve, None if labels is None else known / count, lost)


def _per_step(spikes: Tensor) -> Tensor:
    return spikes.flatten(1).sum(1, dtype=torch.float64)


def _answers(net: SpikingGraph, record: Record) -> Tensor:
    """Return the answers after every number of steps, [T, B]."""
    sums = record.potentials[-1]
    if not isinstance(net.readout, RateReadout):
        return sums.argmax(-1)
    currents = sums  # of neurons that fire: their summed input is the potential plus what was subtracted
    counts = record.spikes[-1].cumsum(0)
    before = torch.cat([torch.zeros_like(counts[:1]), counts[:-1]])
    summed = currents + before if net.layers[-1].options.get("reset") == "soft" else currents
    return (counts + 1e-3 * summed.argsort(-1).argsort(-1) / summed.shape[-1]).argmax(-1)


def _layer_by_layer(graph: Graph, record: Record, x: Tensor, scales: Mapping[int, Scale]) -> list[Tensor]:
    """Return the scores with no layer spiking, with the first, with the first two, and so on."""
    rates: dict[int, Tensor] = {}
    amplitudes: dict[int, Tensor] = {}
    order = graph.rectifiers()
    for op, spikes in zip(order, record.spikes, strict=False):
        amplitudes[op.number] = (
            op.run([amplitudes[op.takes[0]][None]])[0]
            if op.kind == MAX
            else spread(scales[op.number].amplitude, op.shape)
        )
        rates[op.number] = spikes.mean(0) * amplitudes[op.number]
    results = []
    for spiking in range(len(order) + 1):
        made: dict[int, Tensor] = {}
        known = {op.number for op in order[:spiking]}
        for op in graph.ops.values():
            if op.kind == INPUT:
                made[op.number] = x
            elif op.number in known:
                made[op.number] = rates[op.number]
            else:
                made[op.number] = op.run([made[one] for one in op.takes])
        results.append(made[graph.output])
    return results
