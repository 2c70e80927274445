"""Activation maximisation: the input that excites a class or a unit most.

    x* = argmax_x  a(x) - l2 mean(x^2) - tv mean(|difference of neighbours|)         low <= x <= high

For a class, a(x) is the logarithm of its probability (log-softmax of the scores), so that a picture excites its class
and no other; the reported activation is still the score itself.

Erhan et al. 2009; Simonyan et al. 2014, section 2; jitter and total variation after Mordvintsev et al. 2015 and
Mahendran and Vedaldi 2015. By gradient (Adam), or without one (evolution strategies, Salimans et al. 2017: mirrored
smooth noise, ranks), which needs no surrogate and so fits spiking neurons.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_choice, require_number, require_whole
from threegen.errors import ConfigError
from threegen.explanations.cam import Layer
from threegen.explanations.maps import Maps, make_maps
from threegen.explanations.subject import Spot, Subject
from threegen.randomness import make_generator

STARTS = (0.5, 0.1, 0.2, 0.05, 0.35)  # brightness of the first picture, as a share of low..high
Objective = Callable[[Tensor], Tensor]


def maximise(
    subject: Subject,
    layer: Layer = None,
    unit: int | list[int] | None = None,
    *,
    example: Tensor,
    method: str = "gradient",
    steps: int = 200,
    rate: float = 0.05,
    l2: float = 0.1,
    tv: float = 0.1,
    jitter: int = 1,
    low: float = 0.0,
    high: float = 1.0,
    population: int = 32,
) -> Maps:
    """Return one input per unit, [units, ...] shaped like a sample of `example`; `activations` holds the activations
    reached.

    `layer` None means the scores: `unit` is a class, a list of classes, or None for a sheet of all of them. In a layer
    with planes a unit is a plane, with its mean; time steps are averaged. Class pictures also have `answers`, the class
    that the model gives each of them. `method` is "gradient" or "evolution" (`population` trials per step). Values stay
    in `low`..`high`; `jitter` shifts the picture at random by up to that many pixels in each step. The seed is that of
    `explain`. Raises `ConfigError`.
    """
    require_choice("method", method, ("gradient", "evolution"))
    for name, number in (("steps", steps), ("population", population)):
        require_whole(name, number)
    require_whole("jitter", jitter, least=0)
    require_number("high", high, above=require_number("low", low))
    for name, value in (("rate", rate), ("l2", l2), ("tv", tv)):
        require_number(name, value, least=0.0)
    spot = None if layer is None else subject.spot(layer, example)
    activate, count = _activation(subject, spot, example)
    units = _units(unit, count, layer)
    size = (high - low) * rate

    def objective(values: Tensor, chosen: Tensor) -> Tensor:
        reached = activate(values)
        if spot is None:
            reached = subject.as_scores.normalised(reached)
        reached = reached.gather(1, chosen[:, None])[:, 0]
        if values.requires_grad and torch.is_grad_enabled() and not reached.requires_grad:
            raise ConfigError("this unit has no gradient by the input; use method='evolution'")
        return reached - _penalty(values, l2, tv)

    def search(chosen: Tensor, attempt: int) -> Tensor:
        generator = make_generator(subject.seed, "maximise", *([attempt] if attempt else []))
        # every unit starts from the same picture, so that a single unit gives the same result as in a sheet
        shape = (1, *example.shape[1:])
        start = low + (high - low) * (STARTS[attempt] + 0.05 * torch.randn(shape, generator=generator))
        x = start.to(example).repeat(len(chosen), *[1] * (example.dim() - 1)).clamp(low, high)
        with subject.quiet():
            if method == "gradient":
                return _climb(objective, x, chosen, steps, size, jitter, (low, high), generator)
            return _evolve(objective, x, chosen, steps, size, population, (low, high), generator)

    x = search(units, 0)
    if spot is None:
        x, everything = _answered(subject, x, units, search)
    else:
        with subject.quiet(), torch.no_grad():
            everything = activate(x)
    reached = everything.gather(1, units[:, None])[:, 0]
    facts = {"answers": everything.argmax(1)} if spot is None else {}
    place = "the scores" if spot is None else spot.label
    return make_maps(
        x,
        f"Inputs that excite {place}",
        labels=[f"{number}: {value:.3g}" for number, value in zip(units.tolist(), reached.tolist(), strict=True)],
        signed=low < 0,
        activations=reached,
        units=units,
        **facts,
    )


def _answered(
    subject: Subject, x: Tensor, units: Tensor, search: Callable[[Tensor, int], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the class pictures and their scores; pictures that are classified otherwise are searched again.

    If no neuron is near its threshold at a picture, the gradient is zero: other brightnesses are tried.
    """
    scores = subject.scores(x).clone()  # out of inference mode
    for attempt in range(1, len(STARTS)):
        missed = (scores.argmax(1) != units).nonzero()[:, 0]
        if len(missed) == 0 or scores.shape[1] == 1:
            break
        again = search(units[missed], attempt)
        found = subject.scores(again)
        better = found.argmax(1) == units[missed]
        x[missed[better]], scores[missed[better]] = again[better], found[better]
    return x, scores


def _activation(subject: Subject, spot: Spot | None, example: Tensor) -> tuple[Objective, int]:
    """Return the function from inputs to activations [B, units], and how many units there are."""
    steps = subject.trace(example).steps

    def activate(x: Tensor) -> Tensor:
        if spot is None:
            return subject.run(x).scores
        kept = subject.run(x, spot=spot).kept
        values = []
        for one in kept:
            if steps > 1 and one.shape[:2] == (steps, len(x)):
                one = one.mean(0)
            elif steps > 1 and len(one) == steps * len(x):
                one = one.reshape(steps, *x.shape[:1], *one.shape[1:]).mean(0)
            values.append(one.flatten(2).mean(2) if one.dim() > 2 else one)
        return torch.stack(values).mean(0)

    with subject.quiet(), torch.no_grad():
        return activate, activate(example[:1].clone()).shape[1]


def _units(unit: int | list[int] | None, count: int, layer: Layer) -> Tensor:
    wanted = list(range(count)) if unit is None else list(unit) if isinstance(unit, list | tuple) else [unit]
    wrong = [one for one in wanted if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < count]
    if wrong or not wanted:
        place = "the scores" if layer is None else repr(layer if isinstance(layer, str) else type(layer).__name__)
        raise ConfigError(f"unit {wrong[0] if wrong else wanted!r} is not one of the {count} units of {place}")
    if unit is None and len(wanted) > 64:
        wanted = wanted[:64]
    return torch.tensor(wanted)


def _penalty(x: Tensor, l2: float, tv: float) -> Tensor:
    total = l2 * x.flatten(1).square().mean(1)
    if x.dim() >= 4 and tv:
        rows = (x[..., 1:, :] - x[..., :-1, :]).abs().flatten(1).mean(1)
        columns = (x[..., 1:] - x[..., :-1]).abs().flatten(1).mean(1)
        total = total + tv * (rows + columns)
    return total


def _climb(
    objective: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    units: Tensor,
    steps: int,
    rate: float,
    jitter: int,
    bounds: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    picture = nn.Parameter(x.clone())
    optimizer = torch.optim.Adam([picture], lr=rate)
    with torch.enable_grad():
        for _ in range(steps):
            moved: Tensor = picture + 0
            if jitter and x.dim() >= 4:
                shift = torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist()
                moved = moved.roll(shift, (-2, -1))
            goal = objective(moved, units)
            (picture.grad,) = torch.autograd.grad(-goal.sum(), picture)
            optimizer.step()
            with torch.no_grad():
                picture.clamp_(*bounds)
    return picture.detach()


@torch.no_grad()
def _evolve(
    objective: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    units: Tensor,
    steps: int,
    rate: float,
    population: int,
    bounds: tuple[float, float],
    generator: torch.Generator,
) -> Tensor:
    """Ascend by mirrored trials: noises are weighted by the ranks of the activations that they reach, centred on
    zero."""
    pairs = max(1, population // 2)
    spread = 3.0 * rate
    for _ in range(steps):
        noise = torch.randn(pairs, *x.shape[1:], generator=generator).to(x)
        if x.dim() == 4:  # neighbouring pixels change together: fewer directions to search
            noise = F.avg_pool2d(F.pad(noise, (2, 2, 2, 2), mode="circular"), 5, stride=1) * 5
        noise = torch.cat([noise, -noise])
        for number in range(len(x)):
            trials = (x[number] + spread * noise).clamp(*bounds)
            goals = objective(trials, units[number].expand(len(trials)))
            ranks = goals.argsort().argsort().to(x) / (len(trials) - 1) - 0.5
            step = torch.tensordot(ranks, noise, 1)
            x[number] = (x[number] + rate * step / step.abs().mean().clamp_min(1e-12)).clamp(*bounds)
    return x
