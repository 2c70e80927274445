"""Drawings of a net as SVG: the graph of its layers, and, for small nets, every neuron and connection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from torch import nn

from threegen.checks import require_whole
from threegen.errors import ConfigError
from threegen.explanations.maps import Picture
from threegen.explanations.subject import Subject
from threegen.plots import ACCENT, INK, LINE, PAPER, SOFT, escape, svg_frame, svg_line, svg_text
from threegen.tracing.inputs import Inputs
from threegen.tracing.trace import INPUT, Node, Trace

_HIDDEN = frozenset({"to", "contiguous", "clone", "detach", "get", "float", "double", "type_as", "getitem"})
_SHAPES = """
view reshape flatten unflatten permute transpose movedim swapaxes t squeeze unsqueeze expand expand_as view_as
reshape_as pad unbind select chunk split narrow
"""
_RESHAPES = frozenset(_SHAPES.split())
_NARROW, _HIGH, _GAP, _ASIDE = 150.0, 44.0, 22.0, 26.0
_LETTER = 6.3  # width of a letter of 11 pixels, an upper estimate
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


@dataclass(slots=True)
class _Box:
    """One box: its node (or the last one of its block), its inputs, and its text."""

    name: str
    kind: str
    shape: tuple[int, ...]
    sources: list[int]
    times: int = 1
    weights: dict[str, None] = field(default_factory=dict)

    def lines(self, sizes: dict[str, int]) -> tuple[str, str, str, str]:
        """Return the name, the kind, the shape and the parameters as text."""
        count = sum(sizes.get(name, 0) for name in self.weights)
        repeats = f" x{self.times}" if self.times > 1 else ""
        return self.name, self.kind + repeats, _shape(self.shape), f"{count:,} parameters" if count else ""


def diagram(subject: Subject, x: Inputs, *, depth: int | None = None, reshapes: bool = False) -> Drawing:
    """Return the graph from input to output: one box per layer or function with its kind, shape and parameters.

    Branches are drawn next to each other. A layer that works over several time steps is one box with "xT". `depth`
    folds blocks at that level of nested names into one box: with 1, everything inside "layer4". `reshapes` also shows
    the calls that only change the shape. Raises `ConfigError`.
    """
    if depth is not None:
        require_whole("depth", depth)
    trace = subject.trace_of_inputs(x)
    boxes = _graph(trace, subject.model, depth, reshapes)
    sizes = {name: weight.numel() for name, weight in subject.model.named_parameters()}
    listed: set[str] = set()
    for box in boxes.values():  # a shared weight is listed once
        box.weights = {name: None for name in box.weights if name not in listed}
        listed.update(box.weights)
    texts = {INPUT: ("input", "", _shape(trace.input), "")}
    texts |= {number: box.lines(sizes) for number, box in boxes.items()}
    widths = {number: _width(text) for number, text in texts.items()}
    deep = {INPUT: 0}
    for number, box in boxes.items():
        deep[number] = 1 + max((deep[source] for source in box.sources), default=0)
    column: dict[int, int] = {}
    used: Counter[int] = Counter()
    for number in texts:
        column[number] = used[deep[number]]
        used[deep[number]] += 1
    columns, pitch = max(used.values()), max(widths.values()) + _ASIDE

    def middle(number: int) -> tuple[float, float]:
        beside = (columns - used[deep[number]]) * pitch / 2
        return 10 + beside + column[number] * pitch + pitch / 2, 10 + deep[number] * (_HIGH + _GAP)

    parts = []
    for number, box in boxes.items():
        x2, y2 = middle(number)
        for source in box.sources:
            x1, y1 = middle(source)
            skips = deep[number] - deep[source] > 1
            parts.append(_arrow(x1, y1 + _HIGH, x2, y2, pitch / 2 if skips else 0.0))
    for number, text in texts.items():
        x0, y0 = middle(number)
        parts.append(_box(x0 - widths[number] / 2, y0, widths[number], *text))
    height = 20 + (max(deep.values()) + 1) * (_HIGH + _GAP)
    return Drawing(svg_frame(columns * pitch + 20, height, f"Layers of {subject.name}", parts))


def _width(text: tuple[str, str, str, str]) -> float:
    """Return the width of a box: its two lines, each with a word on the left and one on the right."""
    name, kind, shape, note = text
    upper = _LETTER * (1.1 * len(name) + len(kind))
    return max(_NARROW, 18 + upper + 14, 18 + _LETTER * (len(shape) + len(note)) + 14)


def _graph(trace: Trace, model: nn.Module, depth: int | None, reshapes: bool) -> dict[int, _Box]:
    """Return the boxes by the number of their node, in the order of the calls.

    If the model is called step by step, the calls of one layer are one box, that of its first call.
    """
    stands: dict[int, int] = {INPUT: INPUT}  # node -> its box
    firsts: dict[str, int] = {}
    blocks: dict[str, int] = {}
    visits: dict[int, int] = {}
    boxes: dict[int, _Box] = {}
    hidden = _HIDDEN if reshapes else _HIDDEN | _RESHAPES
    for node in trace.nodes:
        sources = list(dict.fromkeys(stands[one] for one in node.inputs))
        names = node.path.split(".")
        if depth is not None and len(names) > depth:
            _add_to_block(".".join(names[:depth]), node, sources, model, blocks, boxes)
            stands[node.number] = blocks[".".join(names[:depth])]
            continue
        if node.name in hidden and len(sources) == 1 and not node.weights:
            stands[node.number] = sources[0]
            continue
        first = firsts.get(node.path) if node.leaf else None
        if first is not None and sources == [first] and visits[first] == node.visit:
            stands[node.number] = first  # a layer of several functions is one box, with the shape of the last
            boxes[first].shape = node.shape
            boxes[first].weights |= dict.fromkeys(node.weights)
            continue
        again = first if node.visit else None
        if again is not None and node.weights:
            stands[node.number] = again
            boxes[again].times = max(boxes[again].times, node.visit + 1)
            continue
        stands[node.number] = node.number
        firsts.setdefault(node.path, node.number)
        visits[node.number] = node.visit
        kind = type(node.module).__name__ if node.leaf or node.whole else node.name
        boxes[node.number] = _Box(node.label, kind, node.shape, sources, node.steps, dict.fromkeys(node.weights))
    return boxes


def _add_to_block(
    block: str, node: Node, sources: list[int], model: nn.Module, blocks: dict[str, int], boxes: dict[int, _Box]
) -> None:
    """Add a node to the box of its block, or start one; a block that is called again stays one box."""
    if block not in blocks:
        blocks[block] = node.number
        boxes[node.number] = _Box(block, type(model.get_submodule(block)).__name__, node.shape, [])
    number = blocks[block]
    box = boxes[number]
    box.shape = node.shape
    box.weights |= dict.fromkeys(node.weights)
    box.times = max(box.times, node.steps)
    box.sources += [one for one in sources if one < number and one not in box.sources]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "1"


def _box(x: float, y: float, wide: float, name: str, kind: str, shape: str, note: str) -> str:
    frame = (
        f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{_HIGH:g}" rx="5" '
        f'style="fill:{PAPER};stroke:{ACCENT if note else LINE}"/>'
    )
    return (
        frame
        + svg_text(x + 9, y + 18, name, fill=INK, weight=600)
        + svg_text(x + wide - 9, y + 18, kind, anchor="end")
        + svg_text(x + 9, y + 35, shape)
        + svg_text(x + wide - 9, y + 35, note, anchor="end")
    )


def _arrow(x1: float, y1: float, x2: float, y2: float, aside: float) -> str:
    """Return an arrow; with `aside` it passes the boxes in between on their right."""
    if aside:
        out = max(x1, x2) + aside
        path = f"M{x1:g} {y1:g}C{out:g} {y1 + 20:g} {out:g} {y2 - 20:g} {x2:g} {y2:g}"
    else:
        path = f"M{x1:g} {y1:g}L{x2:g} {y2:g}"
    head = f"M{x2 - 4:g} {y2 - 7:g}L{x2:g} {y2:g}L{x2 + 4:g} {y2 - 7:g}"
    return f'<path d="{path}{head}" style="fill:none;stroke:{SOFT};stroke-width:1.2"/>'


def neuron_drawing(subject: Subject) -> Drawing:
    """Return every neuron as a dot and every connection as a line: blue negative, orange positive, faint small.

    For nets of linear layers, each with as many inputs as the previous one has outputs, with at most 400 neurons.
    Raises `ConfigError` for other nets; `diagram()` draws any.
    """
    layers = [module for module in subject.model.modules() if isinstance(module, nn.Linear)]
    chained = all(a.out_features == b.in_features for a, b in pairwise(layers))
    rest = (module for module in subject.model.modules() if not isinstance(module, nn.Linear))
    others = [module for module in rest if list(module.parameters(recurse=False))]
    if not layers or not chained or others:
        raise ConfigError(f"{subject.name} is not a chain of linear layers; diagram() draws any net")
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
