"""Gradients with respect to the input: which pixels would change the score most.

    saliency                s_c'(x)                                       Simonyan, Vedaldi and Zisserman 2014
    gradient x input        x * s_c'(x)
    SmoothGrad              mean over noise n of s_c'(x + n)              Smilkov et al. 2017
    integrated gradients    (x - b) * mean over a of s_c'(b + a (x - b))  Sundararajan et al. 2017, a in 0..1

s_c is the score before a final softmax. Every gradient can be taken with the modifiers "guided" and "deconv" (see
`probe`). In a spiking net behind a random encoder the input is the encoded spikes, one map per time step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from threegen.checks import needs_unit_range, require_finite, require_number, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.explanations.maps import Maps, make_maps
from threegen.explanations.probe import modifier_name
from threegen.explanations.straight import run_steps
from threegen.explanations.subject import Pass, Subject, Target, chosen_sum, chosen_targets
from threegen.randomness import make_generator


def saliency(
    subject: Subject,
    x: Tensor,
    target: Target = None,
    *,
    modifier: str | None = None,
    absolute: bool = False,
    per_step: bool = False,
) -> Maps:
    """Return the gradient of the score, shaped like `x`; `absolute` gives its magnitude, as the paper draws it.

    A time axis of the input is kept in the map. Behind a spike encoder the map is the sum over the steps, or with
    `per_step` one map for each, [B, T, ...]. Raises `ConfigError` for a modifier if the model calls no rectifier, for a
    wrong target, and for `per_step` without time steps.
    """
    kind = modifier_name(modifier)
    values, targets = _each(subject, x, target, lambda part, aim: _gradient(subject, part, aim, kind))
    values = _over_time(subject, x, values, per_step)
    title = {None: "Saliency", "guided": "Guided back-propagation", "deconv": "Deconvolution"}[kind]
    return make_maps(values.abs() if absolute else values, title, images=x, signed=not absolute, targets=targets)


def gradient_x_input(
    subject: Subject, x: Tensor, target: Target = None, *, modifier: str | None = None, per_step: bool = False
) -> Maps:
    """Return gradient times input, shaped like `x` (see `saliency`)."""
    kind = modifier_name(modifier)

    def product(part: Tensor, aim: Target) -> tuple[Tensor, Tensor, Tensor]:
        gradient, targets, source = _gradient(subject, part, aim, kind)
        return gradient * source, targets, source

    values, targets = _each(subject, x, target, product)
    return make_maps(_over_time(subject, x, values, per_step), "Gradient x input", images=x, targets=targets)


def smooth_grad(
    subject: Subject,
    x: Tensor,
    target: Target = None,
    *,
    samples: int = 25,
    noise: float = 0.15,
    modifier: str | None = None,
    per_step: bool = False,
) -> Maps:
    """Return the mean gradient over `samples` noisy copies, shaped like `x`.

    The noise is normal, its deviation `noise` times the range of each sample; each sample gets the same draws in any
    batch. If the model takes only values in 0..1 (a spike encoder, binary units), the noisy pixels are clipped to them.
    """
    kind = modifier_name(modifier)
    require_whole("samples", samples)
    require_number("noise", noise, least=0.0)
    encoded = subject.encoder(x) is not None
    bounded = encoded or needs_unit_range(subject.model)
    flat = x.flatten(1)
    spread = (noise * (flat.amax(1) - flat.amin(1))).reshape(-1, *[1] * (x.dim() - 1))
    generator = make_generator(subject.seed, "smooth-grad")
    total = None
    targets = _answers(subject, x, target)
    for _ in range(samples):
        draw = torch.randn(1, *x.shape[1:], generator=generator, dtype=x.dtype).to(x.device)
        noisy = x + spread * draw
        if bounded:
            noisy = noisy.clamp(0.0, 1.0)
        values, _ = _each(subject, noisy, targets, lambda part, aim: _gradient(subject, part, aim, kind))
        total = values if total is None else total + values
    if total is None:
        raise ConfigError("samples must be at least 1")
    return make_maps(_over_time(subject, x, total / samples, per_step), "SmoothGrad", images=x, targets=targets)


def integrated_gradients(
    subject: Subject,
    x: Tensor,
    target: Target = None,
    *,
    steps: int = 50,
    baseline: float | Tensor = 0.0,
    per_step: bool = False,
) -> Maps:
    """Return integrated gradients shaped like `x`, by Gauss-Legendre quadrature with `steps` points.

    The maps of a sample sum to its score minus that of `baseline`, which broadcasts to `x`. Behind a spike encoder the
    spikes are scaled from 0 to 1, and the baseline must be 0.
    """
    require_whole("steps", steps)
    points, weights = np.polynomial.legendre.leggauss(steps)
    base = _baseline(baseline, x)
    encoded = subject.encoder(x) is not None
    if encoded and bool((base != 0).any()):
        raise ConfigError("behind a spike encoder the baseline is the absence of spikes; leave baseline at 0")
    targets = _answers(subject, x, target)
    total: Tensor | None = None
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        share = float(point)
        way = x if encoded else base + share * (x - base)
        scale = share if encoded else 1.0

        def along(part: Tensor, aim: Target, scale: float = scale) -> tuple[Tensor, Tensor, Tensor]:
            gradient, chosen, source = _gradient(subject, part, aim, None, scale)
            return (gradient * source / scale if encoded else gradient), chosen, source

        values, _ = _each(subject, way, targets, along)
        total = values * float(weight) if total is None else total + values * float(weight)
    if total is None:
        raise ConfigError("steps must be at least 1")
    if not encoded:
        total = total * (x - base)
    return make_maps(_over_time(subject, x, total, per_step), "Integrated gradients", images=x, targets=targets)


def _baseline(baseline: float | Tensor, x: Tensor) -> Tensor:
    if not isinstance(baseline, Tensor):
        return torch.full((), require_number("baseline", baseline), dtype=x.dtype, device=x.device)
    try:
        base = baseline.to(x).broadcast_to(x.shape)
    except RuntimeError:
        raise ShapeError(
            f"baseline must broadcast to the samples {list(x.shape)}, got {list(baseline.shape)}; "
            "give a number or one sample"
        ) from None
    return require_finite("baseline", base)


def _gradient(
    subject: Subject, x: Tensor, target: Target, modifier: str | None, scale: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient, the targets and the source it is taken at: `x`, or the encoded spikes as [B, T, ...]."""
    encoder = subject.encoder(x)
    steps = subject.straight() if modifier is None else None
    with nullcontext() if steps else subject.quiet(), torch.enable_grad():
        if steps:
            sources = [x.detach().clone().requires_grad_()]
            done = Pass(subject.as_scores(run_steps(steps, sources[0]), len(x)))
        elif encoder is None:
            leaf = x.detach().clone().requires_grad_()
            # The first layer may work in place, which a leaf tensor would not allow.
            given = leaf.clone() if any(node.in_place for node in subject.trace(x).nodes[:1]) else leaf
            done, sources = subject.run(given, modifier=modifier), [leaf]
        else:
            done = subject.run(x, spot=encoder, modifier=modifier, change=None if scale == 1.0 else lambda s: s * scale)
            sources = done.kept
        require_modified(done.modified, modifier, subject, x)
        chosen, targets = chosen_sum(done.scores, target)
        if not chosen.requires_grad:
            raise ConfigError(
                f"the scores of {subject.name} do not depend on its input by a gradient"
                + subject.advice(x, "occlusion", "feature_maps")
            )
        (gradient,) = torch.autograd.grad(chosen, sources[:1])
    source = sources[0].detach()
    if encoder is None:
        return gradient, targets, source
    return gradient.movedim(0, 1), targets, source.movedim(0, 1)


def require_modified(modified: int, modifier: str | None, subject: Subject, x: Tensor) -> None:
    """Raise `ConfigError` if a modifier was given and no rectifier was called."""
    if modifier is not None and not modified:
        raise ConfigError(
            f"{subject.name} calls no relu between its input and its scores, so {modifier!r} would change nothing"
            + subject.advice(x, "saliency", "occlusion")
        )


def _each(
    subject: Subject, x: Tensor, target: Target, method: Callable[[Tensor, Target], tuple[Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return a method's values and targets over the parts of a batch."""
    subject.samples(x)
    if not subject.draws:
        values, targets, _ = method(x, target)
        return values, targets
    one_each = isinstance(target, Tensor | list | tuple) and torch.as_tensor(target).dim() == 1
    if one_each and len(torch.as_tensor(target)) != len(x):
        raise ConfigError(f"target must be one class or {len(x)} classes, got {target!r}")
    aims = torch.split(torch.as_tensor(target), 1) if one_each else [target] * len(x)
    done = [method(part, aim) for part, aim in zip(torch.split(x, 1), aims, strict=True)]
    return torch.cat([one[0] for one in done]), torch.cat([one[1] for one in done])


def _answers(subject: Subject, x: Tensor, target: Target) -> Tensor:
    """Return the targets [B], chosen once for all the runs of a method."""
    return chosen_targets(target, subject.scores(subject.samples(x)))


def _over_time(subject: Subject, x: Tensor, values: Tensor, per_step: bool) -> Tensor:
    """Return values shaped like the input: encoded pixels take the shape of the image, summed over the steps or not.

    An input that has an axis of time itself keeps it.
    """
    if subject.encoder(x) is not None:
        if values[0, 0].numel() == x[0].numel():
            values = values.reshape(*values.shape[:2], *x.shape[1:])
        return values if per_step else values.sum(1)
    if per_step and subject.time_axis(x) is None:
        raise ShapeError(f"{subject.name} has no time axis in its input; leave out per_step")
    return values
