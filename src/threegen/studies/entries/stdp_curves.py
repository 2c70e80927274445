"""The effect of two spikes under each spike-timing rule: dw over the time between them, measured with the rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from threegen.rules.exponential_stdp import ExponentialSTDP
from threegen.rules.mstdp import MSTDP
from threegen.rules.mstdpet import MSTDPET
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.pair_stdp import PairSTDP
from threegen.rules.post_pre import PostPre
from threegen.rules.power_law_stdp import PowerLawSTDP
from threegen.rules.reward_stdp import RewardSTDP
from threegen.rules.rule import Rule
from threegen.rules.symmetric_stdp import SymmetricSTDP
from threegen.rules.triplet_stdp import TripletSTDP
from threegen.studies.drawing import lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.two_spikes import order_change_of, weight_change

FARTHEST = 60  # ms between the spikes, either way
LATEST = 7  # steps, for order-based rules
LATER = 20  # ms from the second spike to the reward, for MSTDPET
WEIGHTS = (0.2, 0.5, 0.8)
# Sixty pairs 10 ms apart at five rates: the measurement and its error (Sjostrom, Turrigiano and Nelson 2001).
RATES = (0.1, 10, 20, 40, 50)
MEASURED = {
    "input first": ((-0.04, 0.14, 0.29, 0.53, 0.56), (0.05, 0.1, 0.14, 0.11, 0.26)),
    "neuron first": ((-0.29, -0.41, -0.34, 0.56, 0.75), (0.08, 0.11, 0.1, 0.32, 0.19)),
}


def rewarded(sign: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a critic that gives `sign` after every step."""
    return lambda spikes, target: spikes.new_tensor(sign)


def rewarded_at(step: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a critic that gives 1 after one step only."""
    return lambda spikes, target: spikes.new_tensor(float(len(spikes) == step + 1))


def two_times(lag: int) -> tuple[list[int], list[int]]:
    """Return the spike times of input and neuron, `lag` = t_neuron - t_input steps apart, the first at 0."""
    return [max(0, -lag)], [max(0, lag)]


def timed(rule: Rule, lags: list[int], weight: float = 0.5) -> list[float]:
    """Return dw at each lag."""
    return [weight_change(rule, *two_times(lag), weight=weight) for lag in lags]


def triplets(lags: list[int]) -> list[float]:
    """Return dw of the neuron's second spike and all before: it has fired once 20 ms before both spikes."""
    found = []
    for lag in lags:
        inputs, neuron = two_times(lag)
        shifted = [time + 20 for time in neuron]
        found.append(weight_change(TripletSTDP(backend="plain"), [time + 20 for time in inputs], [0, *shifted]))
    return found


def late(lags: list[int]) -> list[float]:
    """Return dw by MSTDPET with a single reward `LATER` ms after the second spike."""
    found = []
    for lag in lags:
        end = abs(lag) + LATER
        found.append(weight_change(MSTDPET(rewarded_at(end)), *two_times(lag), steps=end + 1))
    return found


def ordered(rule: Callable[[], Rule], lags: list[int], label: int = 0) -> list[float]:
    """Return dw at each lag in steps for an order-based rule; the neuron fires at step `LATEST`."""
    return [order_change_of(rule(), LATEST - lag, LATEST, label=label) for lag in lags]


def pairing(rule: Rule, scale: float) -> dict[str, list[float]]:
    """Return the change after sixty pairs 10 ms apart at each of `RATES`, over `scale`."""
    found = {}
    for name, lag in (("input first", 10), ("neuron first", -10)):
        changes = []
        for rate in RATES:
            pairs = 60 if rate >= 1 else 1  # pairs that are ten seconds apart do not interact
            inputs = [20 + int(n * 1000 / rate) for n in range(pairs)]
            change = weight_change(rule, inputs, [time + lag for time in inputs])
            changes.append(change * 60 / pairs / scale)
        found[name] = changes
    return found


def measure(settings: Settings) -> dict[str, Any]:
    """Run every rule on two spikes at each lag."""
    step = 20 if settings.quick else 6
    lags = [*range(-FARTHEST, 0, step), -1, 0, *range(step, FARTHEST + 1, step)]
    steps = [lag for lag in range(-LATEST, LATEST + 1) if not settings.quick or lag % 3 == 0 or abs(lag) == 1]
    curves: dict[str, dict[str, list[float]]] = {
        "pair": {"all pairs": timed(PairSTDP(backend="plain"), lags)},
        "post-pre": {"nearest": timed(PostPre(0.005, 0.01, backend="plain"), lags)},
        "power law": {f"w = {w}": timed(PowerLawSTDP(mu=1.0), lags, w) for w in WEIGHTS},
        "exponential": {f"w = {w}": timed(ExponentialSTDP(), lags, w) for w in WEIGHTS},
        "symmetric": {f"w = {w}": timed(SymmetricSTDP(0.005, mu=1.0), lags, w) for w in WEIGHTS},
        "triplet": {
            "two spikes": timed(TripletSTDP(backend="plain"), lags),
            "neuron fired before": triplets(lags),
        },
        "mstdp": {"reward": timed(MSTDP(rewarded(1.0)), lags), "blame": timed(MSTDP(rewarded(-1.0)), lags)},
        "mstdpet": {f"reward {LATER} ms later": late(lags)},
    }
    order = {
        "order-based": {"winner": ordered(lambda: OrderBasedSTDP(), steps)},
        "reward-modulated": {
            "right": ordered(lambda: RewardSTDP(2, adaptive=False), steps, 0),
            "wrong": ordered(lambda: RewardSTDP(2, adaptive=False), steps, 1),
        },
    }
    scale = 0.1  # keeps the weight off its bounds
    return {
        "lags in ms": lags,
        "curves": curves,
        "lags in steps": steps,
        "curves of order": order,
        "sixty pairs": {
            "pairs a second": list(RATES),
            "measured": {name: list(found[0]) for name, found in MEASURED.items()},
            "error": {name: list(found[1]) for name, found in MEASURED.items()},
            "triplet": pairing(TripletSTDP.visual_cortex(scale), scale),
            "pair": pairing(PairSTDP(0.0005, 0.0005), scale),
        },
        "largest": {
            name: max(abs(dw) for curve in found.values() for dw in curve)
            for name, found in {**curves, **order}.items()
        },
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw one panel per rule, and the pairing experiment."""
    figure, axes = panels(3, 4, width=3.4, height=2.7)
    kinds = [("curves", "lags in ms", "t_neuron - t_input (ms)"), ("curves of order", "lags in steps", "steps")]
    place = 0
    for key, where, across in kinds:
        for name, curves in figures[key].items():
            axis = axes[place]
            lines(axis, curves, title=name, x=figures[where], across=across, up="dw", marker="." if place > 7 else "")
            axis.axhline(0, color="#c9ccd1", linewidth=0.8, zorder=0)
            axis.axvline(0, color="#c9ccd1", linewidth=0.8, zorder=0)
            place += 1
    pairs = figures["sixty pairs"]
    for axis, name in zip(axes[place:], ("input first", "neuron first"), strict=True):
        rates = pairs["pairs a second"]
        model = {kind: pairs[kind][name] for kind in ("triplet", "pair")}
        lines(axis, model, title=f"60 pairs, {name}", x=rates, across="pairs a second", up="change")
        axis.errorbar(rates, pairs["measured"][name], pairs["error"][name], fmt="k.", capsize=2)
    return save(figure, folder, "curves")


STUDY = Study(
    name="stdp-curves",
    title="The effect of two spikes under each rule",
    about="The change of one weight over the time between two spikes, for every spike-timing rule.",
    source="The papers of the rules; Sjostrom, Turrigiano and Nelson (2001) and Pfister and Gerstner (2006) for pairs",
    measure=measure,
    draw=draw,
)
