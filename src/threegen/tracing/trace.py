"""The trace of a model: a graph of the calls that lead from its input to its output, with the shapes of their results.

    trace = trace_model(model, x)
    for node in trace.nodes: node.name, node.path, node.shape, node.inputs

A node is one call of a torch function, or one whole module if its inside is not visible (spiking neurons, encoders, a
detour through numpy). Checks, new tensors and the preparation of weights are not nodes: calls that do not depend on the
input or do not lead to the output are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from threegen.gen3.parts import is_whole
from threegen.randomness import make_generator
from threegen.tracing.batch_axis import Axes
from threegen.tracing.inputs import Inputs, answered, each, on_device_of, require_inputs, samples_in, tensors_of
from threegen.tracing.untouched import untouched
from threegen.tracing.walk import Visit, Walker, tensors_in

INPUT = -1
SOFTMAX = frozenset({"softmax", "log_softmax"})
RECTIFIERS = frozenset({"relu", "relu6", "threshold", "clamp", "clip", "clamp_min", "hardtanh"})
_MOVES = """
view reshape flatten unflatten permute transpose movedim swapaxes t contiguous clone detach to float double squeeze
unsqueeze expand expand_as repeat getitem get select narrow chunk split unbind view_as reshape_as type_as pad dropout
dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout cat stack index_select
"""
# They rearrange values and change none.
MOVES = frozenset(_MOVES.split())
BATCH = 2  # samples in a traced batch: two distinguish the batch axis from an axis of length one


@dataclass(slots=True)
class Node:
    """One call: function `name` within the module at `path`, in that module's call number `visit` (0 first).

    `inputs` are the numbers of the nodes whose results it takes, `INPUT` the model's own input. `output` is the shape
    of its first result, for the traced batch; `shape` that of one sample and one time step; `steps` the time steps that
    it processes at once; `label` names the node: "conv1", "relu", "relu:2". `whole` says that the node is a whole
    module; `weights` are the names of the parameters and buffers that it uses.
    """

    number: int
    name: str
    path: str
    module: nn.Module
    visit: int
    inputs: tuple[int, ...]
    output: tuple[int, ...]
    in_place: bool = False
    whole: bool = False
    func: Any = field(default=None, repr=False)
    args: Sequence[Any] = field(default=(), repr=False)
    kwargs: Mapping[str, Any] = field(default_factory=dict, repr=False)
    slot: int | None = None  # index of the positional argument with the data, if there is exactly one such tensor
    steps: int = 1
    shape: tuple[int, ...] = ()
    weights: tuple[str, ...] = ()
    nth: int = 0  # number of earlier calls of the same function, anywhere in the model
    label: str = ""

    @property
    def leaf(self) -> bool:
        """Whether the calling module has no sub-modules: a layer rather than a net."""
        return bool(self.path) and not any(True for _ in self.module.children())


@dataclass(slots=True)
class Trace:
    """The graph: its nodes in the order of the calls, the number of the node that is the output, time steps.

    `input` is the shape of one sample (of the first input); `calls` counts the calls of every module by path; `steps`
    is T of a spiking net, or 1; `unseen` names the modules that computed outside torch, `foreign` the tensors that the
    model holds outside its parameters and buffers; `outputs` are the shapes of everything that the model returned.
    """

    nodes: list[Node]
    output: int
    steps: int
    input: tuple[int, ...]
    calls: dict[str, int]
    unseen: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    outputs: tuple[tuple[int, ...], ...] = ()

    @property
    def chain(self) -> list[Node] | None:
        """The nodes from input to output if each takes only the previous one; None if the graph branches."""
        before = INPUT
        for node in self.nodes:
            if node.inputs != (before,):
                return None
            before = node.number
        return self.nodes if self.nodes and self.output == before else None

    def final(self, names: frozenset[str] = SOFTMAX) -> Node | None:
        """Return the softmax (or another of `names`) at the end of the model; reshapes and a logarithm may follow."""
        number = self.output
        while number != INPUT:
            node = self._by_number(number)
            if node.name in names:
                return node
            if node.name not in MOVES | {"log"} or len(node.inputs) != 1:
                return None
            number = node.inputs[0]
        return None

    def last_spatial(self) -> Node | None:
        """Return the last node whose result is planes [B, C, H, W] (or [T, B, C, H, W]) larger than one pixel."""
        for node in reversed(self.nodes):
            if len(node.shape) == 3 and node.shape[-1] * node.shape[-2] > 1:
                return node
        return None

    def find(self, *names: str) -> list[Node]:
        """Return the nodes of the functions called `names`."""
        return [node for node in self.nodes if node.name in names]

    def _by_number(self, number: int) -> Node:
        return next(node for node in self.nodes if node.number == number)


def trace_model(
    model: nn.Module,
    x: Inputs,
    *,
    seed: int = 0,
    axes: Axes | None = None,
    pick: Callable[[Any], Any] | None = None,
) -> Trace:
    """Return the `Trace` of `model` for samples like those of `x` [N, ...]; its first sample is run, in eval mode.

    `x` is a tensor, a tuple of tensors or a dictionary of them, of any type. `axes` gives the sample axis, if it is not
    the first axis. `pick` selects among the model's outputs: the trace ends there. The model's modes, hooks, `.grad`
    and torch's generators are restored, also after an exception. Raises `DataError` for no sample, `ShapeError`,
    `ConfigError` for another number of inputs than the model takes, and what the model raises.
    """
    require_inputs("trace_model", model, x)
    axis = 0 if axes is None else axes.batch
    samples_in("trace_model", x, axis)
    batch = each(on_device_of(model, x), lambda one: torch.cat([one.detach().narrow(axis, 0, 1)] * BATCH, axis))
    tracer = Tracer(model, batch, axis)
    with untouched(model, seed), torch.no_grad(), tracer.watching():
        result = answered("trace_model", model, batch, make_generator(seed, "trace"))
    return tracer.finish(result, pick)


class Tracer(Walker):
    """Records a trace."""

    def __init__(self, model: nn.Module, batch: Inputs, axis: int = 0) -> None:
        super().__init__(model, opaque=is_whole)
        self.nodes: list[Node] = []
        self.makers: Any = WeakIdKeyDictionary()  # tensor -> the number of the node that returned it
        self.kept: list[Any] = [batch]  # results stay alive until the end, so that no address is reused
        for one in tensors_of(batch):
            self.makers[one] = INPUT
        self.steps = 1
        self.batch, self.axis = tensors_of(batch)[0], axis
        self.unseen: dict[str, None] = {}

    def depends(self, tensor: Tensor) -> bool:
        """Return whether a tensor is known to depend on the model's input."""
        return tensor in self.makers

    def called(self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Make a node of a call from tensors that depend on the input to new ones."""
        known = [one for one in tensors_in(args, kwargs) if one in self.makers]
        made = [args[0]] if name == "setitem" else tensors_in(out)
        if not known or not made or name in ("aminmax", "zeros_like", "ones_like", "empty_like", "new_zeros"):
            return
        positions = [place for place, one in enumerate(args) if isinstance(one, Tensor) and one in self.makers]
        node = self._node(name, known, made)
        given = tensors_in(args, kwargs)
        node.weights = self.weights_of(given)
        self.note_foreign(name, given)
        node.nth = self.functions[name] - 1
        node.func, node.args, node.kwargs = func, args, kwargs
        node.in_place = any(one is args[0] for one in made) if args else False
        if len(positions) == 1 and len(known) == 1 and len(made) == 1:
            node.slot = positions[0]

    def left(self, visit: Visit, inputs: Sequence[Any], output: Any) -> None:
        """Make a node of a whole module: an opaque one, or one whose result no visible call returned."""
        made = tensors_in(output)
        unknown = [one for one in made if one not in self.makers]
        known = [one for one in tensors_in(inputs) if one in self.makers]
        if not known or not unknown:
            return
        if not self.opaque(visit.module):
            self.unseen[type(visit.module).__name__] = None
        elif unknown[0].dim() > 1:
            self.steps = max(self.steps, len(unknown[0]))
        node = self._node(type(visit.module).__name__, known, unknown)
        node.whole, node.weights = True, self.weights_within(visit.module)

    def _node(self, name: str, known: list[Tensor], made: list[Tensor]) -> Node:
        visit = self.visits[-1]
        sources = tuple(dict.fromkeys(self.makers[one] for one in known))
        node = Node(len(self.nodes), name, visit.path, visit.module, visit.number, sources, tuple(made[0].shape))
        self.nodes.append(node)
        self.kept.append(made)
        for one in made:
            self.makers[one] = node.number
        return node

    def finish(self, result: Any, pick: Callable[[Any], Any] | None = None) -> Trace:
        """Return the trace: only calls that lead to the output, with shapes of one sample and step.

        If nothing is picked, calls that lead to any of several outputs belong to it, and the first is the output.
        """
        returned = tensors_in(result)
        ends = [one for one in tensors_in(result if pick is None else pick(result)) if one in self.makers]
        output = self.makers[ends[0]] if ends else INPUT
        wanted = {self.makers[one] for one in ends}
        for node in reversed(self.nodes):
            if node.number in wanted:
                wanted.update(node.inputs)
        nodes = [node for node in self.nodes if node.number in wanted]
        for node in nodes:
            node.steps, node.shape = self._sample(node.output)
        _name(nodes)
        return Trace(
            nodes,
            output,
            self.steps,
            self._without(tuple(self.batch.shape), self.axis),
            dict(self.seen),
            tuple(self.unseen),
            tuple(self.foreign),
            tuple(tuple(one.shape) for one in returned),
        )

    def _sample(self, output: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Return how many time steps a result holds, and its shape for one sample and one of them."""
        batch = BATCH
        if self.steps > 1 and output[:2] == (self.steps, batch):
            return self.steps, output[2:]
        if self.steps > 1 and output[:2] == (batch, self.steps):
            return self.steps, output[2:]
        if self.steps > 1 and output[:1] == (self.steps * batch,):
            return self.steps, output[1:]
        return 1, self._without(output, 1 if self.axis and len(output) > 2 and output[1] == batch else 0)

    @staticmethod
    def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
        return shape[:axis] + shape[axis + 1 :]


def _name(nodes: list[Node]) -> None:
    """Give every node a unique label: a layer's path, or its net's path with the function and a running number."""
    taken: Counter[str] = Counter()
    for node in nodes:
        stem = node.path if node.leaf or node.whole else ".".join(part for part in (node.path, node.name) if part)
        taken[stem] += 1
        node.label = stem if taken[stem] == 1 else f"{stem}:{taken[stem]}"
