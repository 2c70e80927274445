"""Drawings of a net as SVG, made here: the graph of its layers, and, for small nets, every neuron and connection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise

from torch import Tensor, nn

from threegen.errors import ConfigError
from threegen.explanations.maps import Picture
from threegen.explanations.subject import Subject
from threegen.plots import ACCENT, INK, LINE, PAPER, SOFT, escape, svg_frame, svg_line, svg_text
from threegen.tracing.trace import INPUT, Node, Trace

_HIDDEN = frozenset({"to", "contiguous", "clone", "detach", "get", "float", "double", "type_as", "getitem"})
_WIDE, _HIGH, _GAP, _ASIDE = 230.0, 44.0, 22.0, 26.0
_MOST_NEURONS = 400
_MOST_LINES = 20_000


@dataclass(frozen=True)
class Drawing(Picture):
    """An SVG drawing; `str(drawing)` is its text."""

    svg: str

    def __str__(self) -> str:
        return self.svg

    def _svg(self) -> str:
        return self.svg


def diagram(subject: Subject, x: Tensor) -> Drawing:
    """Return the graph from input to output: a box a layer or function with its kind, shape and parameters.

    Branches stand side by side. A layer that works over several time steps is one box with "xT".
    """
    trace = subject.trace(x)
    boxes, edges, times = _graph(trace)
    depth = {INPUT: 0}
    for number in boxes:
        depth[number] = 1 + max((depth[source] for source in edges[number]), default=0)
    column: dict[int, int] = {}
    used: Counter[int] = Counter()
    for number in (INPUT, *boxes):
        column[number] = used[depth[number]]
        used[depth[number]] += 1
    columns = max(used.values())
    width = columns * (_WIDE + _ASIDE) + 20

    def corner(number: int) -> tuple[float, float]:
        beside = (columns - used[depth[number]]) * (_WIDE + _ASIDE) / 2
        return 10 + beside + column[number] * (_WIDE + _ASIDE), 10 + depth[number] * (_HIGH + _GAP)

    parts = []
    for number, sources in edges.items():
        x2, y2 = corner(number)
        for source in sources:
            x1, y1 = corner(source)
            skips = depth[number] - depth[source] > 1
            parts.append(_arrow(x1 + _WIDE / 2, y1 + _HIGH, x2 + _WIDE / 2, y2, _WIDE / 2 + 12 if skips else 0.0))
    parts.append(_box(*corner(INPUT), "input", "", _shape(trace.input), ""))
    listed: set[int] = set()
    for number, node in boxes.items():
        own = [one for one in node.module.parameters(recurse=False) if id(one) not in listed] if node.leaf else []
        listed.update(id(one) for one in own)
        count = sum(one.numel() for one in own)
        repeats = f" x{times[number]}" if times[number] > 1 else ""
        kind = type(node.module).__name__ if node.leaf or node.whole else node.name
        note = f"{count:,} parameters" if count else ""
        parts.append(_box(*corner(number), node.label, kind + repeats, _shape(node.shape), note))
    return Drawing(
        svg_frame(width, 20 + (max(depth.values()) + 1) * (_HIGH + _GAP), f"Layers of {subject.name}", parts)
    )


def _graph(trace: Trace) -> tuple[dict[int, Node], dict[int, list[int]], dict[int, int]]:
    """Return the boxes, the boxes each is fed by, and how many time steps each works.

    Where the model is called step by step, the calls of one layer are one box, that of its first call.
    """
    stands: dict[int, int] = {INPUT: INPUT}  # node -> the box that stands for it
    firsts: dict[str, int] = {}
    boxes: dict[int, Node] = {}
    edges: dict[int, list[int]] = {}
    times: dict[int, int] = {}
    for node in trace.nodes:
        sources = list(dict.fromkeys(stands[one] for one in node.inputs))
        if node.name in _HIDDEN and len(sources) == 1:
            stands[node.number] = sources[0]
            continue
        first = firsts.get(node.path) if node.leaf else None
        if first is not None and sources == [first] and boxes[first].visit == node.visit:
            stands[node.number] = first  # a layer of several functions is one box, with the shape of the last
            boxes[first] = replace(boxes[first], shape=node.shape)
            continue
        again = first if node.visit else None
        if again is not None and any(True for _ in node.module.parameters()):
            stands[node.number] = again
            times[again] = max(times[again], node.visit + 1)
            continue
        stands[node.number] = node.number
        firsts.setdefault(node.path, node.number)
        boxes[node.number], edges[node.number], times[node.number] = node, sources, node.steps
    return boxes, edges, times


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _box(x: float, y: float, name: str, kind: str, shape: str, note: str) -> str:
    frame = (
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDE:g}" height="{_HIGH:g}" rx="5" '
        f'style="fill:{PAPER};stroke:{ACCENT if note else LINE}"/>'
    )
    return (
        frame
        + svg_text(x + 9, y + 18, name, fill=INK, weight=600)
        + svg_text(x + _WIDE - 9, y + 18, kind, anchor="end")
        + svg_text(x + 9, y + 35, shape)
        + svg_text(x + _WIDE - 9, y + 35, note, anchor="end")
    )


def _arrow(x1: float, y1: float, x2: float, y2: float, aside: float) -> str:
    """Return an arrow; `aside` lets it pass the boxes between on their right."""
    if aside:
        out = max(x1, x2) + aside
        path = f"M{x1:g} {y1:g}C{out:g} {y1 + 20:g} {out:g} {y2 - 20:g} {x2:g} {y2:g}"
    else:
        path = f"M{x1:g} {y1:g}L{x2:g} {y2:g}"
    head = f"M{x2 - 4:g} {y2 - 7:g}L{x2:g} {y2:g}L{x2 + 4:g} {y2 - 7:g}"
    return f'<path d="{path}{head}" style="fill:none;stroke:{SOFT};stroke-width:1.2"/>'


def neuron_drawing(subject: Subject) -> Drawing:
    """Return every neuron as a dot and every connection as a line: blue negative, orange positive, faint small.

    For nets of linear layers, each as wide as the one before it puts out, with at most 400 neurons.
    Raises `ConfigError` for other nets; `diagram()` draws any.
    """
    layers = [module for module in subject.model.modules() if isinstance(module, nn.Linear)]
    chained = all(a.out_features == b.in_features for a, b in pairwise(layers))
    rest = (module for module in subject.model.modules() if not isinstance(module, nn.Linear))
    others = [module for module in rest if list(module.parameters(recurse=False))]
    if not layers or not chained or others:
        raise ConfigError(f"{subject.name} is no chain of linear layers; diagram() draws any net")
    sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
    lines = sum(layer.weight.numel() for layer in layers)
    if sum(sizes) > _MOST_NEURONS or lines > _MOST_LINES:
        raise ConfigError(
            f"{subject.name} has {sum(sizes):,} neurons and {lines:,} connections, too many to draw one by one "
            f"(at most {_MOST_NEURONS:,} and {_MOST_LINES:,}); diagram() draws any net"
        )
    pitch = max(6.0, min(26.0, 420.0 / max(sizes)))
    height, apart = pitch * max(sizes) + 50, 150.0

    def place(column: int, neuron: int) -> tuple[float, float]:
        return 40 + column * apart, 10 + pitch * (max(sizes) - sizes[column]) / 2 + pitch * (neuron + 0.5)

    parts = []
    for column, layer in enumerate(layers):
        weight = layer.weight.detach().float().cpu()
        largest = float(weight.abs().max()) or 1.0
        order = weight.abs().flatten().argsort().tolist()  # the strongest are drawn last, on top
        for number in order:
            unit, source = divmod(number, weight.shape[1])
            share = float(weight[unit, source]) / largest
            colour = "rgb(210,105,20)" if share > 0 else "rgb(40,100,170)"
            (x1, y1), (x2, y2) = place(column, source), place(column + 1, unit)
            line = svg_line(x1, y1, x2, y2, stroke=colour, width=0.4 + 1.8 * abs(share))
            parts.append(line.replace("/>", f' opacity="{0.08 + 0.9 * abs(share):.2f}"/>'))
    radius = min(7.0, pitch * 0.38)
    for column, size in enumerate(sizes):
        for neuron in range(size):
            x, y = place(column, neuron)
            parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" style="fill:{PAPER};stroke:{INK}"/>')
        parts.append(svg_text(place(column, 0)[0], height - 12, f"{size}", anchor="middle"))
    title = escape(f"Neurons and connections of {subject.name}")
    return Drawing(svg_frame(80 + apart * (len(sizes) - 1), height, title, parts))
