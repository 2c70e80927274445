"""The activations of layers for an input: feature maps, histograms, and, in spiking nets, spike activation maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_number, require_whole
from threegen.errors import ConfigError
from threegen.explanations.cam import Layer
from threegen.explanations.maps import Maps, Picture, make_maps
from threegen.explanations.subject import Subject
from threegen.gen3.parts import is_neuron
from threegen.plots import ACCENT, INK, SOFT, svg_frame, svg_line, svg_text
from threegen.tracing.trace import MOVES, Node


def feature_maps(subject: Subject, layer: Layer | Node, x: Tensor, *, per_step: bool = False) -> Maps:
    """Return a layer's result for `x`, [B, ...]; the mean over time steps, or with `per_step` [B, T, ...].

    In a spiking net the mean over the steps is the firing rate. Raises `ConfigError` for an unknown layer.
    """
    if layer is None:
        known = ", ".join(node.label for node in subject.trace(x).nodes)
        raise ConfigError(f"feature_maps needs the name of a layer of {subject.name}; it has {known}")
    spot = subject.spot(layer, subject.samples(x))
    steps = subject.trace(x).steps
    parts = []
    for part in subject.parts(x):
        with subject.quiet(), torch.no_grad():
            kept = subject.run(part, spot=spot).kept
        if not kept:
            raise ConfigError(f"{subject.name} does not call {spot.label!r}")
        found = [_in_time(one.detach(), len(part), steps) for one in kept]
        parts.append(torch.cat(found, 1))
    values = torch.cat(parts)
    values = values if per_step else values.mean(1)
    return make_maps(
        values,
        f"Feature maps of {spot.label}",
        images=x,
        signed=bool((values < 0).any()),
        planes=True,
        layer=spot.label,
    )


def _in_time(values: Tensor, batch: int, steps: int) -> Tensor:
    """Return a layer's result as [B, T, ...]."""
    if steps > 1 and values.shape[:2] == (steps, batch):
        return values.movedim(1, 0)
    if steps > 1 and len(values) == steps * batch:
        return values.reshape(steps, batch, *values.shape[1:]).movedim(1, 0)
    return values.unsqueeze(1)


@dataclass(frozen=True)
class Histograms(Picture):
    """By layer: `counts` [bins] and `edges` [bins + 1], the `mean`, the `deviation`, the share of exact `zeros`."""

    layers: tuple[str, ...]
    counts: dict[str, Tensor]
    edges: dict[str, Tensor]
    mean: dict[str, float]
    deviation: dict[str, float]
    zeros: dict[str, float]

    def _svg(self) -> str:
        parts, high, wide = [], 64.0, 240.0
        for row, name in enumerate(self.layers):
            top = 10 + row * (high + 34)
            counts = self.counts[name].double()
            largest = float(counts.max()) or 1.0
            step = wide / len(counts)
            parts.append(svg_text(6, top + 10, name, fill=INK, weight=600))
            note = f"mean {self.mean[name]:.3g}, deviation {self.deviation[name]:.3g}, zero {self.zeros[name]:.0%}"
            parts.append(svg_text(6 + wide + 12, top + 40, note))
            for column, count in enumerate(counts.tolist()):
                tall = (high - 14) * count / largest
                parts.append(
                    f'<rect x="{6 + column * step:.2f}" y="{top + high - tall:.2f}" width="{max(step - 0.5, 0.5):.2f}" '
                    f'height="{tall:.2f}" style="fill:{ACCENT}"/>'
                )
            parts.append(svg_line(6, top + high, 6 + wide, top + high, stroke=SOFT))
            low, most = float(self.edges[name][0]), float(self.edges[name][-1])
            parts.append(svg_text(6, top + high + 12, f"{low:.3g}"))
            parts.append(svg_text(6 + wide, top + high + 12, f"{most:.3g}", anchor="end"))
        return svg_frame(wide + 290, 20 + len(self.layers) * (high + 34), "Activation histograms", parts)


def activation_histograms(subject: Subject, x: Tensor, *, bins: int = 40) -> Histograms:
    """Return the histogram of every layer's output over the batch `x`; layers that only rearrange values are left
    out."""
    require_whole("bins", bins)
    trace = subject.trace(subject.samples(x))
    nodes = [node for node in trace.nodes if node.name not in MOVES]
    counts, edges, mean, deviation, zeros = {}, {}, {}, {}, {}
    for node in nodes:
        values = feature_maps(subject, node, x, per_step=True).as_subclass(Tensor).double().flatten().cpu().numpy()
        found, borders = np.histogram(values, bins=bins)
        counts[node.label], edges[node.label] = torch.from_numpy(found), torch.from_numpy(borders)
        mean[node.label], deviation[node.label] = float(values.mean()), float(values.std())
        zeros[node.label] = float((values == 0).mean())
    return Histograms(tuple(node.label for node in nodes), counts, edges, mean, deviation, zeros)


def spike_activation_maps(
    subject: Subject, x: Tensor, *, layer: Layer = None, gamma: float = 0.5, per_step: bool = False
) -> Maps:
    """Return spike activation maps: forward only, no class (Kim and Panda, "Visual explanations from spiking neural
    networks using inter-spike intervals", Scientific Reports 11, 2021).

    A neuron's score at step t is the sum over its spikes at t' <= t of exp(-gamma (t - t')); the map at t is the sum
    over the channels of score times spike. Returns [B, 1, h, w], summed over the steps, or with `per_step` [B, T, 1, h,
    w]; a layer without planes gives one value per neuron. `layer` None selects the last layer of spiking neurons with
    planes, or the last one. Raises `ConfigError` if nothing spikes.
    """
    require_number("gamma", gamma, least=0.0)
    nodes = [node for node in subject.trace(subject.samples(x)).nodes if is_neuron(node.module) and node.whole]
    if layer is None and not nodes:
        raise ConfigError(
            f"{subject.name} has no spiking neurons" + subject.advice(x, "grad_cam", "saliency", "feature_maps")
        )
    planes = [node for node in nodes if len(node.shape) == 3]
    chosen: Layer | Node = layer if layer is not None else (planes or nodes)[-1]
    spikes = feature_maps(subject, chosen, x, per_step=True).as_subclass(Tensor)
    decay = torch.exp(torch.tensor(-gamma)).item()
    score, steps = torch.zeros_like(spikes[:, 0]), []
    for t in range(spikes.shape[1]):
        score = score * decay + spikes[:, t]
        own = score * spikes[:, t]
        steps.append(own.sum(1, keepdim=True) if own.dim() == 4 else own)
    maps = torch.stack(steps, 1)
    return make_maps(maps if per_step else maps.sum(1), "Spike activation map", images=x, signed=False)
