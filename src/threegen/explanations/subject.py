"""The model being explained: runs it without side effects, before a final softmax, and records layer results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from threegen.checks import did_you_mean, require_finite, require_float, require_whole
from threegen.errors import ConfigError, DataError, ShapeError, ThreegenError
from threegen.explanations.places import last_planes
from threegen.explanations.probe import Probe
from threegen.explanations.scores import Choice, Scores
from threegen.explanations.straight import Step, straight_steps
from threegen.gen3.parts import is_encoder
from threegen.randomness import make_generator
from threegen.tracing.batch_axis import Axes, find_axes
from threegen.tracing.inputs import Inputs, require_inputs
from threegen.tracing.trace import Node, Trace, trace_model
from threegen.tracing.untouched import takes_generator, untouched

Target = int | Sequence[int] | Tensor | None


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in the model: the result of a module, or of calls (name, nth) of functions.

    For a module that is called several times in a time step, the calls `first`, `first + period`, ... belong to the
    place.
    """

    label: str
    module: nn.Module | None = None
    functions: frozenset[tuple[str, int]] = frozenset()
    first: int = 0
    period: int = 1
    clone: bool = False  # whether a later operation works in place


@dataclass(slots=True)
class Pass:
    """One run: scores [B, K], and the results of the spot, one tensor per call."""

    scores: Tensor
    kept: list[Tensor] = field(default_factory=list)
    modified: int = 0


class Subject:
    """A model with the way to call it, the choice of its scores, and its traces.

    In this package the samples of an input are the first axis; a model that takes time first gets it so.
    """

    def __init__(self, model: nn.Module, seed: int = 0, *, scores: Choice = None, time: int | None = None) -> None:
        if not isinstance(model, nn.Module):
            raise ConfigError(f"explain takes a torch.nn.Module, got {type(model).__name__}")
        self.model = model
        self.seed = require_whole("seed", seed, least=0)
        self.as_scores = Scores(type(model).__name__, scores)
        self.time = time
        self.draws = takes_generator(model)
        self.axes: dict[int, Axes] = {}  # by the number of axes of the samples
        self._traces: dict[Any, Trace] = {}
        self.kept: dict[Any, Any] = {}  # cached results for a shape of samples
        self._admitted = False

    def like_this(self, model: nn.Module) -> Subject:
        """Return a subject of another model of the same kind, with the same choices."""
        other = Subject(model, self.seed, scores=self.as_scores.choice, time=self.time)
        other.axes = dict(self.axes)
        return other

    @property
    def name(self) -> str:
        """The class of the model."""
        return type(self.model).__name__

    def samples_first(self, x: Any) -> Tensor:
        """Return a user's input with its samples along the first axis; raises `ConfigError` if it is not known."""
        if not isinstance(x, Tensor):
            require_inputs("explain", self.model, x)
            raise ShapeError(f"explain takes one tensor, got {type(x).__name__}; pass the tensor itself")
        if x.dim() not in self.axes:
            self._admit(x)
            self.axes[x.dim()] = find_axes(self.model, self.samples(x), self.time)
        return x.movedim(1, 0) if self.axes[x.dim()].batch else x

    def like_input(self, values: Tensor) -> Tensor:
        """Return values shaped like the samples [B, ...] as the model takes them."""
        return values.movedim(0, 1) if self.axis(values) else values

    def axis(self, x: Tensor) -> int:
        """Return the axis of the samples in an input of this kind."""
        return self.axes[x.dim()].batch if x.dim() in self.axes else 0

    def _admit(self, x: Tensor) -> None:
        """Raise for inputs that are not a single tensor, and for models of several inputs."""
        if not self._admitted:
            require_inputs("explain", self.model, x)
            self._admitted = True

    def samples(self, x: Tensor) -> Tensor:
        """Return `x` [B, ...] if it is floating-point, finite and not empty; raises `ShapeError`, `DataError`."""
        require_float("explain", x)
        if x.is_meta:
            raise DataError("explain needs data, a tensor on the device meta has none; summary and diagram accept it")
        if x.dim() < 2 or len(x) == 0:
            raise DataError(f"explain takes a batch of samples [B, ...], got {list(x.shape)}; use x[None] for one")
        return require_finite("x", x.detach())

    def trace(self, x: Tensor) -> Trace:
        """Return the trace for samples like those of `x`; raises `ShapeError` if the model cannot take them."""
        key = (tuple(x.shape[1:]), x.dtype, x.device)
        if key not in self._traces:
            self._admit(x)
            axes = self.axes.get(x.dim(), Axes())
            given = self.samples(x)
            self._traces[key] = self._traced(given.movedim(0, axes.batch) if axes.batch else given, axes)
        return self._traces[key]

    def trace_of_inputs(self, x: Inputs) -> Trace:
        """Return the trace for the user's input: one or several tensors of any type, in the form of the model's
        input."""
        if isinstance(x, Tensor) and x.is_floating_point() and not x.is_meta and x.dim() > 1:
            return self.trace(self.samples_first(x))
        require_inputs("explain", self.model, x)
        return self._traced(x, find_axes(self.model, x, self.time))

    def _traced(self, x: Inputs, axes: Axes) -> Trace:
        try:
            return trace_model(self.model, x, seed=self.seed, axes=axes, pick=self._picked)
        except ThreegenError:
            raise
        except RuntimeError as problem:
            reason = str(problem).splitlines()[0]
            raise ShapeError(f"{self.name} cannot take such a batch: {reason}") from problem

    def _picked(self, out: Any) -> Any:
        """Return the scores if it is clear which they are, else everything that the model returned."""
        try:
            return self.as_scores.pick(out)
        except ThreegenError:
            return out

    def straight(self) -> list[Step] | None:
        """Return the layers of a sequential net whose output is the scores; None for any other (see `straight`)."""
        return straight_steps(self.model) if self.as_scores.choice is None else None

    def advice(self, x: Tensor, *methods: str) -> str:
        """Return which of `methods` work for this model and these samples, as the end of a sentence; each is tried."""
        working = [name for name in methods if self.works(name, x)]
        if not working:
            return ""
        names = ", ".join(working[:-1]) + " and " * (len(working) > 1) + working[-1]
        return f"; {names} {'works' if len(working) == 1 else 'work'}"

    def works(self, method: str, x: Tensor) -> bool:
        """Return whether a method ("saliency", "occlusion", "grad_cam", "feature_maps") can explain these samples."""
        if method == "occlusion":
            return x.dim() >= 4
        try:
            if method == "feature_maps":
                return bool(self.trace(x).nodes)
            planes = last_planes(self.trace(x)) if method == "grad_cam" else None
            if method == "grad_cam" and planes is None:
                return False
            with self.quiet(), torch.enable_grad():
                leaf = x[:1].detach().clone().requires_grad_()
                spot = self.encoder(x) if planes is None else self.spot(planes, x)
                return self.run(leaf.clone(), spot=spot).scores.requires_grad
        except (ThreegenError, RuntimeError):
            return False

    # -- places --------------------------------------------------------------------------------------------------------
    def spot(self, layer: str | nn.Module | Node, x: Tensor) -> Spot:
        """Return the place called `layer`: a module, its path, or a label of the trace. Raises `ConfigError`.

        Places are cached for each shape of samples.
        """
        if not isinstance(layer, str | nn.Module | Node):
            raise ConfigError(f"layer must be a module of {self.name}, its path or a label of a trace, got {layer!r}")
        asked = layer.number if isinstance(layer, Node) else layer
        key = (type(layer), asked, tuple(x.shape[1:]), x.dtype, x.device)
        if key not in self.kept:
            self.kept[key] = self._find_spot(layer, self.trace(x))
        found: Spot = self.kept[key]
        return found

    def _find_spot(self, layer: str | nn.Module | Node, trace: Trace) -> Spot:
        if isinstance(layer, Node):
            return self._node_spot(layer, trace)
        paths = {path: module for path, module in self.model.named_modules() if path}
        if isinstance(layer, nn.Module):
            found = [path for path, module in paths.items() if module is layer]
            if not found:
                raise ConfigError(f"the layer {type(layer).__name__} is not a part of {self.name}")
            layer = found[0]
        label = str(layer)
        if label in paths:
            if not trace.calls.get(label):
                raise ConfigError(f"{self.name} does not call its layer {label!r}")
            return Spot(
                label, paths[label], period=_period(trace.calls[label], self._loops(trace)), clone=_overwrites(trace)
            )
        nodes = {node.label: node for node in trace.nodes}
        if label in nodes:
            return self._node_spot(nodes[label], trace)
        known = [*nodes, *paths]
        raise ConfigError(
            f"{self.name} has no layer {label!r}{did_you_mean(label, known)}; it has {', '.join(list(nodes)[:30])}"
        )

    def _node_spot(self, node: Node, trace: Trace) -> Spot:
        clone, loops = _overwrites(trace), self._loops(trace)
        alike = [one for one in trace.nodes if (one.path, one.name, one.whole) == (node.path, node.name, node.whole)]
        names = {one.name for one in trace.nodes if one.path == node.path}
        if node.whole or (node.leaf and len(names) == 1):
            period = _period(trace.calls[node.path], loops)
            return Spot(node.label, node.module, first=node.visit % period, period=period, clone=clone)
        period = _period(len(alike), loops)
        place = alike.index(node) % period
        calls = frozenset((one.name, one.nth) for one in alike[place::period])
        return Spot(node.label, functions=calls, clone=clone)

    def _loops(self, trace: Trace) -> int:
        """Return the number of passes through the whole model for one answer, from the calls of its layers with
        weights."""
        weighted = [path for path, m in self.model.named_modules() if any(True for _ in m.parameters(recurse=False))]
        return min([trace.calls[path] for path in weighted if trace.calls.get(path)] or [1])

    def encoder(self, x: Tensor) -> Spot | None:
        """Return the place of an encoder without parameters that turns the input into spikes, or None."""
        for node in self.trace(x).nodes:
            if node.whole and is_encoder(node.module) and not any(True for _ in node.module.parameters()):
                return Spot(node.label, node.module)
        return None

    def time_axis(self, x: Tensor) -> int | None:
        """Return the axis of time of the samples `x` [B, ...] themselves, or None."""
        if self.encoder(x) is not None or x.dim() not in self.axes:
            return None
        axes = self.axes[x.dim()]
        return 1 if axes.batch else axes.time

    # -- runs ----------------------------------------------------------------------------------------------------------
    def run(
        self,
        x: Tensor,
        *,
        spot: Spot | None = None,
        modifier: str | None = None,
        change: Callable[..., Any] | None = None,
    ) -> Pass:
        """Run the model on `x` and return its `Pass`.

        With gradients enabled, the result of `spot` is recorded such that `torch.autograd.grad(scores, kept)` works.
        `change` may replace the result of `spot` by another tensor. Call it inside `quiet()`.
        """
        softmax = self._ending(self.trace(x))
        result = Pass(x)
        take = self._taker(result, spot, change)
        functions: frozenset[tuple[str, int]] = frozenset() if spot is None else spot.functions
        probe = Probe(modifier, functions, take, softmax) if modifier or functions or softmax else None
        hooks: list[RemovableHandle] = []
        given = {"generator": make_generator(self.seed, "explain")} if self.draws else {}
        try:
            if spot is not None and spot.module is not None:
                hooks.append(spot.module.register_forward_hook(_hook(take, spot)))
            elif functions:  # a hook on a layer makes nets with a fused path use the plain one, as in the trace
                hooks += [child.register_forward_pre_hook(_watch) for child in self.model.children()]
            wanted = x.movedim(0, 1) if self.axes and self.axis(x) else x
            if probe is None:
                out = self.model(wanted, **given)
            else:
                with probe:
                    out = self.model(wanted, **given)
        finally:
            for hook in hooks:
                hook.remove()
        picked = out if isinstance(out, Tensor) and self.as_scores.choice is None else self.as_scores.pick(out)
        result.scores = self.as_scores.shaped(picked if probe is None else probe.before_softmax(picked), len(x))
        result.modified = 0 if probe is None else probe.modified
        return result

    def _ending(self, trace: Trace) -> frozenset[str]:
        """Return the functions before which the scores are taken, if the model ends in one."""
        key = ("softmax", id(trace))
        if key not in self.kept:
            names = self.as_scores.ending
            self.kept[key] = names if trace.final(names) is not None else frozenset()
        found: frozenset[str] = self.kept[key]
        return found

    def quiet(self) -> AbstractContextManager[None]:
        """Return the context in which the model runs: eval mode, frozen weights, everything restored at the end."""
        return untouched(self.model, self.seed, frozen=True)

    def scores(self, x: Tensor) -> Tensor:
        """Return the scores [B, K] before a final softmax, without gradients."""
        with self.quiet(), torch.inference_mode():
            return torch.cat([self.run(part).scores for part in self.parts(x)])

    def parts(self, x: Tensor) -> list[Tensor]:
        """Return the batches to run: all samples at once, or one by one if the model draws random numbers.

        One by one, every sample gets the same draws as when it is alone.
        """
        return list(torch.split(x, 1)) if self.draws else [x]

    def _taker(self, result: Pass, spot: Spot | None, change: Callable[..., Any] | None) -> Callable[[Tensor], Tensor]:
        def take(out: Tensor) -> Tensor:
            if change is not None:
                out = change(out)
            if not torch.is_grad_enabled():
                result.kept.append(out.clone() if spot is not None and spot.clone else out)
                return out
            kept = out if out.requires_grad else out.detach().requires_grad_()
            result.kept.append(kept)
            return kept.clone() if spot is not None and spot.clone else kept

        return take


def _watch(module: nn.Module, args: Any) -> None:
    """Do nothing: only the presence of a hook matters."""


def _overwrites(trace: Trace) -> bool:
    return any(node.in_place for node in trace.nodes)


def _period(calls: int, loops: int) -> int:
    """Return the calls of a place per one of the `loops`; if that is not a whole number, every call is separate."""
    return calls // loops if calls % loops == 0 else 1


def _hook(take: Callable[[Tensor], Tensor], spot: Spot) -> Callable[..., Any]:
    """Return a forward hook that passes the module's first tensor to `take`."""
    calls = [0]

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        number = calls[0]
        calls[0] += 1
        if number % spot.period != spot.first:
            return output
        if isinstance(output, Tensor):
            return take(output)
        if isinstance(output, tuple) and output and isinstance(output[0], Tensor):
            rest = (take(output[0]), *output[1:])
            return type(output)(*rest) if hasattr(output, "_fields") else rest
        raise ShapeError(
            f"the layer {type(module).__name__} returns {type(output).__name__}, not a tensor; choose another"
        )

    return hook


def chosen_targets(target: Target, scores: Tensor) -> Tensor:
    """Return the classes [B] to explain: `target`, one for all or one per sample; None takes the highest score."""
    batch, classes = scores.shape
    if target is None:
        return scores.detach().argmax(1)
    if isinstance(target, bool) or not isinstance(target, int | Sequence | Tensor):
        raise ConfigError(f"target must be a class, one class per sample, or None for the answer, got {target!r}")
    try:
        index = torch.as_tensor(target, device=scores.device)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(
            f"target must be a class, one class per sample, or None for the answer, got {target!r}"
        ) from None
    if index.is_floating_point() or index.dim() > 1 or (index.dim() == 1 and len(index) != batch):
        raise ConfigError(
            f"target must be one class or {batch} classes, got {index.dtype} of shape {list(index.shape)}"
        )
    values = index.reshape(-1).tolist()
    if not 0 <= min(values) <= max(values) < classes:
        raise ConfigError(f"target must be in 0..{classes - 1}, got {index.tolist()}")
    return index.long().expand(batch)


def chosen_scores(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the score [B] of each sample's target."""
    return scores.gather(1, targets[:, None])[:, 0]


def chosen_sum(scores: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Return the sum of the targets' scores, whose gradient is each sample's own, and the targets [B]."""
    if target is None:
        highest, targets = scores.max(1)
    else:
        targets = chosen_targets(target, scores)
        highest = chosen_scores(scores, targets)
    return highest.sum(), targets
