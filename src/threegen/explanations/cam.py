"""Class activation maps: the location of the evidence for a class in the last feature maps.

    CAM          sum_k w_ck A_k                      Zhou et al. 2016: global mean pooling, one linear layer
    Grad-CAM     relu(sum_k a_k A_k)                 Selvaraju et al. 2017: a_k = mean over the plane of ds_c/dA_k
    Grad-CAM++   a_k = sum relu(ds_c/dA_k) w_kij     Chattopadhay et al. 2018, equation 19:
                 w_kij = g^2 / (2 g^2 + sum_ab A_kab g^3)

In a net that runs over time steps each step has its own A and its own gradient; the maps are summed before the relu.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_choice
from threegen.errors import ConfigError
from threegen.explanations.maps import Maps, make_maps
from threegen.explanations.places import is_planes
from threegen.explanations.planes import Reshape, default_spot, planes_of, resized
from threegen.explanations.probe import modifier_name
from threegen.explanations.saliency import require_modified, saliency
from threegen.explanations.straight import run_steps, split_at
from threegen.explanations.subject import Spot, Subject, Target, chosen_sum, chosen_targets
from threegen.tracing.trace import MOVES, SOFTMAX, Node, Trace

Layer = str | nn.Module | None


def grad_cam(
    subject: Subject,
    x: Tensor,
    target: Target = None,
    *,
    layer: Layer = None,
    modifier: str | None = None,
    relu: bool = True,
    resize: bool = True,
    per_step: bool = False,
    plus_plus: bool = False,
    reshape: Reshape = None,
) -> Maps:
    """Return Grad-CAM maps [B, 1, H, W] of the size of the input, or with `resize=False` of the layer.

    For a one-dimensional net they are [B, 1, L], for a three-dimensional one [B, 1, D, H, W]. `layer` is a module, its
    path or a label of the diagram; None selects the last convolution with its relu. A layer of tokens [B, N, C] needs
    `reshape`: their rows and columns, such as (14, 14) (leading tokens, such as a class token, are left out), or a
    function from the layer's result to planes [B, C, ...]. `relu=False` keeps evidence against the class. With
    `per_step` the maps are [B, T, 1, H, W]. Raises `ConfigError` for a layer without planes, a modifier without any
    relu, a wrong target.
    """
    kind = modifier_name(modifier)
    subject.samples(x)
    if layer is None and reshape is not None:
        raise ConfigError(
            "reshape turns one layer's tokens into planes; name the layer: grad_cam(x, layer=..., reshape=...)"
        )
    spot = default_spot(subject, x) if layer is None else subject.spot(layer, x)
    straight = None if plus_plus or kind or reshape is not None else _straight_sums(subject, x, target, spot)
    values, space, targets = straight or _sums(subject, x, target, spot, kind, plus_plus, reshape)
    values = values if per_step or values.shape[1] == 1 else values.sum(1, keepdim=True)
    values = values.relu_() if relu else values
    values = resized(values, space, x, subject) if resize else values.reshape(*values.shape[:2], *space)
    title = ("Grad-CAM++" if plus_plus else "Grad-CAM") + f" at {spot.label}" + (f", {kind}" if kind else "")
    values = values.unsqueeze(2) if per_step else values
    return make_maps(values, title, images=x, signed=not relu, targets=targets, layer=spot.label, **_as_volume(space))


_Sums = tuple[Tensor, tuple[int, ...], Tensor]  # weighted sums of planes [B, T, P], spatial shape, targets [B]


def _sums(
    subject: Subject,
    x: Tensor,
    target: Target,
    spot: Spot,
    modifier: str | None,
    plus_plus: bool,
    reshape: Reshape,
) -> _Sums:
    parts = subject.parts(x)
    one_each = len(parts) > 1 and isinstance(target, Tensor | list | tuple) and torch.as_tensor(target).dim() == 1
    done = []
    for place, part in enumerate(parts):  # one sample each, or all
        aim = torch.as_tensor(target)[place : place + 1] if one_each else target
        planes, gradient, space, targets = _slopes(subject, part, aim, spot, modifier, reshape)
        weights = _plus_plus(planes, gradient) if plus_plus else gradient.mean(-1)
        done.append((_combined(weights, planes), space, targets))
    if len(done) == 1:
        return done[0]
    return torch.cat([one[0] for one in done]), done[0][1], torch.cat([one[2] for one in done])


def _slopes(
    subject: Subject, x: Tensor, target: Target, spot: Spot, modifier: str | None, reshape: Reshape
) -> tuple[Tensor, Tensor, tuple[int, ...], Tensor]:
    """Return a layer's planes and the gradient of the score by them, both [B, T, C, P], the space, the targets."""
    with subject.quiet(), torch.enable_grad():
        done = subject.run(x, spot=spot, modifier=modifier)
        require_modified(done.modified, modifier, subject, x)
        chosen, targets = chosen_sum(done.scores, target)
        if not done.kept or not chosen.requires_grad:
            raise ConfigError(f"the scores of {subject.name} do not depend on {spot.label!r}; choose another layer")
        found = torch.autograd.grad(chosen, done.kept, allow_unused=True)
    kept = [one.detach() for one in done.kept]
    slopes = [torch.zeros_like(a) if g is None else g for a, g in zip(kept, found, strict=True)]
    planes, space = planes_of(kept, len(x), spot, subject, x, reshape)
    return planes, planes_of(slopes, len(x), spot, subject, x, reshape)[0], space, targets


def _straight_sums(subject: Subject, x: Tensor, target: Target, spot: Spot) -> _Sums | None:
    """Return the result of `_sums` for a sequential net and plain Grad-CAM; None for any other net or place.

    Max-pooling passes each gradient on to one cell of the plane. So the sum of a plane's gradient, which is all that
    its weight needs, is already known behind the pooling: the backward pass through it is skipped.
    """
    steps = subject.straight()
    parts = None if steps is None else split_at(steps, spot.module)
    if parts is None:
        return None
    behind = parts[1]
    with torch.no_grad():
        planes = leaf = run_steps(parts[0], x)
        if planes.dim() != 4:
            return None
        while behind and type(behind[0][0]) in (nn.MaxPool2d, nn.Dropout, nn.Dropout2d):
            leaf, behind = run_steps(behind[:1], leaf), behind[1:]
    with torch.enable_grad():
        leaf = leaf.detach().requires_grad_()  # detached: the result may be the image itself
        chosen, targets = chosen_sum(subject.as_scores(run_steps(behind, leaf), len(x)), target)
        (slopes,) = torch.autograd.grad(chosen, leaf)
    space = tuple(planes.shape[2:])
    weights = slopes.sum((-2, -1)).div_(math.prod(space))
    return _combined(weights, planes.flatten(2).unsqueeze(1)), space, targets


def _combined(weights: Tensor, planes: Tensor) -> Tensor:
    """Return sum_k a_k A_k [B, T, P]: by a matrix product, without storing the weighted planes."""
    batch, steps, channels, places = planes.shape
    flat = torch.bmm(weights.reshape(-1, 1, channels), planes.reshape(-1, channels, places))
    return flat.view(batch, steps, places)


def guided_grad_cam(
    subject: Subject, x: Tensor, target: Target = None, *, layer: Layer = None, interpolation: str = "bilinear"
) -> Maps:
    """Return guided back-propagation times the enlarged Grad-CAM map, shaped like `x` (Selvaraju et al. 2017).

    `interpolation` is "bilinear" or "nearest". Raises like `grad_cam`.
    """
    require_choice("interpolation", interpolation, ("bilinear", "nearest"))
    subject.samples(x)
    spot = default_spot(subject, x) if layer is None else subject.spot(layer, x)
    sums, space, targets = _sums(subject, x, target, spot, None, False, None)
    heat = sums.sum(1, keepdim=True).relu_()
    guided = saliency(subject, x, targets, modifier="guided")
    mode = "nearest" if interpolation == "nearest" else None
    large = resized(heat, space, x, subject, mode)
    return make_maps(guided * large, "Guided Grad-CAM", images=x, targets=targets, layer=spot.label)


def class_activation_map(subject: Subject, x: Tensor, target: Target = None, *, resize: bool = True) -> Maps:
    """Return the class activation maps [B, 1, H, W] (Zhou et al. 2016); forward only.

    Raises `ConfigError` if the model does not end in global mean pooling and one linear layer.
    """
    planes_node, linear = _cam_head(subject.trace(subject.samples(x)))
    if planes_node is None or linear is None:
        raise ConfigError(
            f"class_activation_map needs global mean pooling and then one linear layer, {subject.name} ends otherwise"
            + subject.advice(x, "grad_cam", "saliency", "occlusion")
        )
    spot = subject.spot(planes_node, x)
    weight = linear.args[1] if len(linear.args) > 1 else linear.kwargs["weight"]
    with subject.quiet(), torch.no_grad():
        done = subject.run(x, spot=spot)
    targets = chosen_targets(target, done.scores)
    planes, space = planes_of(done.kept, len(x), spot, subject, x)
    values = torch.einsum("bk,bkp->bp", weight.detach()[targets], planes.sum(1)).unsqueeze(1)
    values = resized(values, space, x, subject) if resize else values.reshape(*values.shape[:2], *space)
    title = f"Class activation map at {spot.label}"
    return make_maps(values, title, images=x, targets=targets, layer=spot.label, **_as_volume(space))


def _as_volume(space: tuple[int, ...]) -> dict[str, Any]:
    return {"volume": True} if len(space) == 3 else {}


def _plus_plus(planes: Tensor, gradient: Tensor) -> Tensor:
    """Return the weights of Grad-CAM++ [B, T, C]."""
    square = gradient.square()
    share = square / (2 * square + planes.sum(-1, keepdim=True) * gradient * square + 1e-6)
    share = torch.where(gradient != 0, share, 0.0)
    return (gradient.clamp(min=0) * share).sum(-1)


def _cam_head(trace: Trace) -> tuple[Node | None, Node | None]:
    """Return the node that global mean pooling reads and the linear layer behind it, or (None, None)."""
    by_number = {node.number: node for node in trace.nodes}

    def over(node: Node | None, names: frozenset[str]) -> Node | None:
        while node is not None and node.name in names:
            node = by_number.get(node.inputs[0]) if len(node.inputs) == 1 else None
        return node

    linear = over(by_number.get(trace.output), MOVES | SOFTMAX | {"log"})
    if linear is None or linear.name != "linear" or len(linear.inputs) != 1:
        return None, None
    pool = over(by_number.get(linear.inputs[0]), MOVES)
    pools = {"mean", *(f"{kind}avg_pool{n}d" for kind in ("", "adaptive_") for n in (1, 2, 3))}
    if pool is None or pool.name not in pools or len(pool.inputs) != 1:
        return None, None
    source = by_number.get(pool.inputs[0])
    while source is not None and source.name in ("flatten", "view", "reshape") and len(source.inputs) == 1:
        before = by_number.get(source.inputs[0])  # a mean over flattened places
        if before is None or before.shape[:1] != source.shape[:1] or not is_planes(before):
            break
        source = before
    one_place = math.prod(pool.shape[1:]) == 1
    if source is None or not is_planes(source) or not one_place or pool.shape[0] != source.shape[0]:
        return None, None
    return source, linear
