"""Class activation maps: where in the last feature maps the evidence for a class lies.

    CAM          sum_k w_ck A_k                      Zhou et al. 2016: global mean pooling, one linear layer
    Grad-CAM     relu(sum_k a_k A_k)                 Selvaraju et al. 2017: a_k = mean over the plane of ds_c/dA_k
    Grad-CAM++   a_k = sum relu(ds_c/dA_k) w_kij     Chattopadhay et al. 2018, equation 19:
                 w_kij = g^2 / (2 g^2 + sum_ab A_kab g^3)

In a net that runs over time steps each step has its own A and its own gradient; the maps are added up before the relu.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice
from threegen.errors import ConfigError
from threegen.explanations.maps import Maps, make_maps
from threegen.explanations.probe import modifier_name
from threegen.explanations.saliency import require_modified, saliency
from threegen.explanations.straight import run_steps, split_at, straight_steps
from threegen.explanations.subject import Spot, Subject, Target, chosen_sum, chosen_targets
from threegen.tracing.trace import INPUT, MOVES, RECTIFIERS, SOFTMAX, Node, Trace

Layer = str | nn.Module | None
_CONVOLUTIONS = ("conv2d", "conv_transpose2d")
_FOLLOW = RECTIFIERS | {"batch_norm", "LIF"}


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
) -> Maps:
    """Return Grad-CAM maps [B, 1, H, W] of the size of the input, or with `resize=False` of the layer.

    `layer` is a module, its path or a label of `summary()`; None takes the last convolution with its relu.
    `relu=False` keeps evidence against the class. With `per_step` the maps are [B, T, 1, H, W].
    Raises `ConfigError` for a layer without planes, a modifier that meets no relu, a wrong target.
    """
    kind = modifier_name(modifier)
    subject.samples(x)
    spot = _default_spot(subject, x) if layer is None else subject.spot(layer, x)
    straight = None if plus_plus or kind else _straight_sums(subject, x, target, spot)
    values, targets = straight or _sums(subject, x, target, spot, kind, plus_plus)
    values = values if per_step or values.shape[1] == 1 else values.sum(1, keepdim=True)
    values = values.relu_() if relu else values
    values = _resized(values, x) if resize else values
    title = ("Grad-CAM++" if plus_plus else "Grad-CAM") + f" at {spot.label}" + (f", {kind}" if kind else "")
    values = values.unsqueeze(2) if per_step else values
    return make_maps(values, title, images=x, signed=not relu, targets=targets, layer=spot.label)


def _sums(
    subject: Subject, x: Tensor, target: Target, spot: Spot, modifier: str | None, plus_plus: bool
) -> tuple[Tensor, Tensor]:
    """Return the weighted sums of the planes [B, T, H, W] and the targets [B]."""
    parts = subject.parts(x)
    if len(parts) == 1:
        planes, gradient, targets = _slopes(subject, x, target, spot, modifier)
        return _weighted(planes, gradient, plus_plus), targets
    one_each = isinstance(target, Tensor | list | tuple) and torch.as_tensor(target).dim() == 1
    sums, aims = [], []
    for place, part in enumerate(parts):  # one sample each
        aim = torch.as_tensor(target)[place : place + 1] if one_each else target
        planes, gradient, targets = _slopes(subject, part, aim, spot, modifier)
        sums.append(_weighted(planes, gradient, plus_plus))
        aims.append(targets)
    return torch.cat(sums), torch.cat(aims)


def _slopes(
    subject: Subject, x: Tensor, target: Target, spot: Spot, modifier: str | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a layer makes of `x` and the gradient of the score by it, both [B, T, C, H, W], and the targets."""
    with subject.quiet(), torch.enable_grad():
        done = subject.run(x, spot=spot, modifier=modifier)
        require_modified(done.modified, modifier, subject)
        chosen, targets = chosen_sum(done.scores, target)
        if not done.kept or not chosen.requires_grad:
            raise ConfigError(f"the scores of {subject.name} do not depend on {spot.label!r}; choose another layer")
        found = torch.autograd.grad(chosen, done.kept, allow_unused=True)
    kept = [one.detach() for one in done.kept]
    slopes = [torch.zeros_like(a) if g is None else g for a, g in zip(kept, found, strict=True)]
    return _planes(kept, len(x), spot, subject, x), _planes(slopes, len(x), spot, subject, x), targets


def _straight_sums(subject: Subject, x: Tensor, target: Target, spot: Spot) -> tuple[Tensor, Tensor] | None:
    """Return what `_sums` would, of a straight net and plain Grad-CAM; None of any other net or place.

    A largest-value pooling hands each gradient on to one cell of the plane. So the sum of a plane's gradient, which is
    all that its weight asks for, is known behind the pooling already: the way back through it is spared.
    """
    steps = straight_steps(subject.model)
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
        leaf = leaf.detach().requires_grad_()  # detached: an image may come through as it is
        chosen, targets = chosen_sum(subject.as_scores(run_steps(behind, leaf)), target)
        (slopes,) = torch.autograd.grad(chosen, leaf)
    weights = slopes.sum((-2, -1)).div_(planes.shape[-2] * planes.shape[-1])
    return _combined(weights, planes.unsqueeze(1)), targets


def _weighted(planes: Tensor, gradient: Tensor, plus_plus: bool) -> Tensor:
    """Return the sum of the planes, each times its weight, [B, T, H, W]."""
    weights = _plus_plus(planes, gradient) if plus_plus else gradient.mean((-2, -1))
    return _combined(weights, planes)


def _combined(weights: Tensor, planes: Tensor) -> Tensor:
    """Return sum_k a_k A_k [B, T, H, W]: a product of matrices, the weighted planes are never written down."""
    batch, steps, channels, height, width = planes.shape
    flat = torch.bmm(weights.reshape(-1, 1, channels), planes.reshape(-1, channels, height * width))
    return flat.view(batch, steps, height, width)


def guided_grad_cam(
    subject: Subject, x: Tensor, target: Target = None, *, layer: Layer = None, interpolation: str = "bilinear"
) -> Maps:
    """Return guided back-propagation times the enlarged Grad-CAM map, shaped like `x` (Selvaraju et al. 2017).

    `interpolation` is "bilinear" or "nearest". Raises like `grad_cam`.
    """
    require_choice("interpolation", interpolation, ("bilinear", "nearest"))
    heat = grad_cam(subject, x, target, layer=layer, resize=False)
    guided = saliency(subject, x, heat.targets, modifier="guided")
    large = _resized(heat.as_subclass(Tensor), x, interpolation)
    return make_maps(guided * large, "Guided Grad-CAM", images=x, targets=heat.targets, layer=heat.layer)


def class_activation_map(subject: Subject, x: Tensor, target: Target = None, *, resize: bool = True) -> Maps:
    """Return the class activation maps [B, 1, H, W] (Zhou et al. 2016); forward only.

    Raises `ConfigError` where the model does not end in global mean pooling and one linear layer.
    """
    planes_node, linear = _cam_head(subject.trace(subject.samples(x)))
    if planes_node is None or linear is None:
        raise ConfigError(
            f"class_activation_map needs global mean pooling and then one linear layer, {subject.name} ends otherwise; "
            "grad_cam works"
        )
    spot = subject.spot(planes_node, x)
    weight = linear.args[1] if len(linear.args) > 1 else linear.kwargs["weight"]
    with subject.quiet(), torch.no_grad():
        done = subject.run(x, spot=spot)
    targets = chosen_targets(target, done.scores)
    planes = _planes(done.kept, len(x), spot, subject, x).sum(1)
    values = torch.einsum("bk,bkhw->bhw", weight.detach()[targets], planes).unsqueeze(1)
    values = _resized(values, x) if resize else values
    return make_maps(values, f"Class activation map at {spot.label}", images=x, targets=targets, layer=spot.label)


def _default_spot(subject: Subject, x: Tensor) -> Spot:
    """Return the place that Grad-CAM looks at where none is named; it is looked up once for each shape of samples."""
    key = ("planes", tuple(x.shape[1:]), x.dtype, x.device)
    if key not in subject.kept:
        subject.kept[key] = subject.spot(_last_planes(subject, x), x)
    found: Spot = subject.kept[key]
    return found


def _last_planes(subject: Subject, x: Tensor) -> Node:
    """Return the node of the last convolution, or of the normalisation, relu or neurons right behind it."""
    trace = subject.trace(subject.samples(x))
    makers = [node for node in trace.nodes if node.name in _CONVOLUTIONS and _is_planes(node)]
    if not makers:
        last = trace.last_spatial()
        if last is None or last.number == INPUT or last.name in MOVES:
            raise ConfigError(
                f"grad_cam needs a layer that makes planes, and {subject.name} has none; saliency and occlusion work"
            )
        return last
    found = node = makers[-1]
    while True:
        users = [one for one in trace.nodes if node.number in one.inputs]
        if len(users) != 1 or users[0].name not in _FOLLOW | MOVES or not _is_planes(users[0]):
            return found
        node = users[0]
        found = found if node.name in MOVES else node


def _is_planes(node: Node) -> bool:
    return len(node.shape) == 3 and node.shape[-1] * node.shape[-2] > 1


def _planes(kept: list[Tensor], batch: int, spot: Spot, subject: Subject, x: Tensor) -> Tensor:
    """Return what a layer made as [B, T, C, H, W]; T counts its uses, or the steps that it handles at once."""
    if len(kept) == 1 and kept[0].dim() == 4 and len(kept[0]) == batch:
        return kept[0].unsqueeze(1)
    steps = subject.trace(x).steps
    found = []
    for one in kept:
        if one.dim() == 5 and one.shape[1] == batch:
            found.append(one.movedim(1, 0))
        elif one.dim() == 4 and len(one) == batch:
            found.append(one.unsqueeze(1))
        elif one.dim() == 4 and len(one) == steps * batch:
            found.append(one.reshape(steps, batch, *one.shape[1:]).movedim(1, 0))
        else:
            raise ConfigError(
                f"the layer {spot.label!r} makes {list(one.shape)}, not planes [B, C, H, W]; "
                f"layers with planes: {', '.join(n.label for n in subject.trace(x).nodes if _is_planes(n)) or 'none'}"
            )
    return torch.cat(found, 1) if len(found) > 1 else found[0]


def _plus_plus(planes: Tensor, gradient: Tensor) -> Tensor:
    """Return the weights of Grad-CAM++ [B, T, C, 1, 1]."""
    square = gradient.square()
    share = square / (2 * square + planes.sum((-2, -1), keepdim=True) * gradient * square + 1e-6)
    share = torch.where(gradient != 0, share, 0.0)
    return (gradient.clamp(min=0) * share).sum((-2, -1), keepdim=True)


def _resized(values: Tensor, x: Tensor, mode: str = "bilinear") -> Tensor:
    """Return maps [B, T, h, w] at the size of the images `x`; as they are where `x` holds no images."""
    if x.dim() < 4:
        return values
    return F.interpolate(
        values, size=tuple(x.shape[-2:]), mode=mode, align_corners=False if mode == "bilinear" else None
    )


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
    if pool is None or pool.name not in ("mean", "adaptive_avg_pool2d", "avg_pool2d") or len(pool.inputs) != 1:
        return None, None
    source = by_number.get(pool.inputs[0])
    one_pixel = len(pool.shape) == 1 or pool.shape[-2:] == (1, 1)
    if source is None or not _is_planes(source) or not one_pixel or pool.shape[0] != source.shape[0]:
        return None, None
    return source, linear
