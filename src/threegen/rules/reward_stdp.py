"""R-STDP: the first neuron to fire is the answer; a right answer is learned by STDP, a wrong one by anti-STDP.

                  input fired, not after the winner     any other input
    right             +reward[0] c_r                      -reward[1] c_r          c_r: recent share of wrong answers
    wrong             -punish[0] c_p                      +punish[1] c_p          c_p: recent share of right answers
    no answer         nothing

The rates adapt: if most answers are right, rewards change little and mistakes change more. c_r and c_p are measured
over the last full `window` of examples; before the first one is full they are .9 and .1, as for guessing among ten
classes. (The published script computes these two but applies full rates to the first window: `first_shares=(1, 1)`.)
With a `floor` f the factors are f + (1 - f) c_r and f + (1 - f) c_p (the shallow net of 2018: .2).

With `tries` an example is shown again after a wrong answer, at most that many times, until the answer is right; that is
rewarded in full (c_r = 1), since it was not expected. (Ours: neither script does so.)

With a `margin` m a right answer whose neuron leads by m or more over all neurons of other classes changes nothing. If
it leads by less, it is rewarded and the strongest of those neurons is punished: had it fired first, the answer would
have been wrong. (Ours; as in a perceptron with margin, only doubtful answers teach, but from reward alone.)

Mozafari, Ganjtabesh, Nowzari-Dalini, Thorpe and Masquelier, "Bio-inspired digit recognition using reward-modulated
spike-timing-dependent plasticity in deep convolutional networks", Pattern Recognition 94 (2019) 87-95; constants of the
published script: .004, .003, .004, .0005, a window of 1,000 images, no stabiliser.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from threegen.checks import require_labels, require_number, require_whole
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, ShapeError
from threegen.functional.plasticity.competition import Winner
from threegen.functional.plasticity.decision_bounds import BoundsStore, RewardState, learn_by_reward
from threegen.functional.plasticity.first_spike_fused import learn_by_first_spikes
from threegen.functional.plasticity.rank_order_fused import FiringLayer
from threegen.rules.order_based_stdp import (
    COMPETING_PARTS,
    CompetingLayer,
    KernelLayer,
    kernel_knows,
    learn_order,
)
from threegen.rules.reward import class_of_neurons
from threegen.rules.rule import (
    NO_NEURON_HAS_FIRED,
    Applied,
    PlainSGD,
    Rule,
    Step,
    Update,
    has_own_methods,
    require_batch,
    require_parts,
)


class DecidingLayer(CompetingLayer, Protocol):
    """A competing layer that compares the potentials of all neurons at the last step."""

    threshold: float

    def runner_up(self, times: Tensor, winner: Winner, within: float) -> Winner | None:
        """Return the strongest neuron of the other classes if it is less than `within` behind."""
        ...


class RewardSTDP(Rule):
    """Train a competing layer, whose features represent `classes` in equal groups, by reward: one update per example.

    `reward` and `punish` are the sizes of the changes (see above), at least 0. `adaptive=False` keeps c_r = c_p = 1;
    `first_shares` are c_r and c_p in the first window. `floor`, 0..1, is the least factor; `tries`, how often an
    example is shown again. `rate` multiplies all changes; a schedule may lower it. `stabiliser=True` multiplies by
    (w - low)(high - w). A `DecisionConv(strict=True)` is trained by a compiled kernel with the same answers and
    weights, one yield per batch, if the optimiser is SGD with rate 1, the default; `fused=False` disables it.
    Figures: `reward` (1, -1, or 0 without an answer), `answered`; for the kernel their means, and also `wrong_share`
    (c_r) and, for layers that decide at the last step, `sums`, the number of potentials computed per example.
    Raises `ConfigError`, and `DataError` for labels outside the classes.
    """

    updates_per_batch = None
    default_rate = 1.0
    signs_of_life: ClassVar[Mapping[str, str]] = {"answered": NO_NEURON_HAS_FIRED}

    def __init__(
        self,
        classes: int,
        *,
        reward: tuple[float, float] = (0.004, 0.003),
        punish: tuple[float, float] = (0.004, 0.0005),
        adaptive: bool = True,
        window: int = 1000,
        first_shares: tuple[float, float] = (0.9, 0.1),
        stabiliser: bool = False,
        rate: float = 1.0,
        floor: float = 0.0,
        tries: int = 0,
        margin: float = 0.0,
        fused: bool = True,
    ) -> None:
        self.classes = require_whole("classes", classes, least=2)
        self.reward = tuple(require_number(f"reward[{i}]", rate, least=0.0) for i, rate in enumerate(reward))
        self.punish = tuple(require_number(f"punish[{i}]", rate, least=0.0) for i, rate in enumerate(punish))
        if len(self.reward) != 2 or len(self.punish) != 2:
            raise ConfigError(f"reward and punish must be two rates each, got {reward!r} and {punish!r}")
        self.adaptive, self.stabiliser = bool(adaptive), bool(stabiliser)
        self.rate = require_number("rate", rate, least=0.0)
        self.floor = require_number("floor", floor, least=0.0, most=1.0)
        self.tries = require_whole("tries", tries, least=0)
        self.margin = require_number("margin", margin, least=0.0)
        self.window, self.fused = require_whole("window", window), bool(fused)
        wrong, right = (require_number(f"first_shares[{i}]", one, least=0.0) for i, one in enumerate(first_shares))
        self.wrong_share, self.right_share = (wrong, right) if adaptive else (1.0, 1.0)
        self._right = self._wrong = self._seen = 0
        self._unit, self._store = False, BoundsStore()

    def hand_over(self, sgd: PlainSGD | None) -> None:
        """Take over plain SGD, which the kernel can apply at rate 1 without momentum and decay."""
        self._unit = sgd is not None and sgd.is_unit

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` if `model` is not a competing layer with a feature per class, answers other classes, or
        does not decide at the last step, as a margin requires."""
        require_parts(self, model, *COMPETING_PARTS)
        if self.margin:
            require_parts(self, model, "threshold", "runner_up()")
            threshold = cast(DecidingLayer, model).threshold
            if not math.isinf(threshold):
                raise ConfigError(
                    f"RewardSTDP(margin={self.margin:g}) compares potentials at the last step, but this layer "
                    f"decides at its threshold of {threshold:g}; build it with threshold=inf, or use margin=0"
                )
        class_of_neurons(len(cast(CompetingLayer, model).weight), self.classes)
        answered = getattr(model, "classes", self.classes)
        if answered != self.classes:
            raise ConfigError(
                f"RewardSTDP teaches {self.classes} classes and {type(model).__name__} answers {answered}; "
                "give both the same number"
            )

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Let the layer answer each example of `batch`, reward or punish it, and yield once for it."""
        self.check(model)
        layer = cast(CompetingLayer, model)
        targets = require_batch("RewardSTDP", batch)
        if targets.dim() != 1:
            raise ShapeError(f"RewardSTDP expects labels [B], got {list(targets.shape)}")
        require_labels(targets, self.classes)
        if self.fused and self._unit and kernel_knows(model) and self._margin_known(model):
            yield self._walk(cast(KernelLayer, model), batch.inputs, targets)
            return
        groups = class_of_neurons(len(layer.weight), self.classes)
        bounds = layer.bounds if self.stabiliser else None
        for times, target in zip(layer.spike_times(batch.inputs), targets.tolist(), strict=True):
            for attempt in range(1 + self.tries):
                winners = layer.compete(times)[:1]
                right = bool(winners) and int(groups[winners[0].feature]) == target
                taught = self._taught(layer, times, winners, right)
                for winner, good in taught:
                    learn_order(layer, [winner], *self._rates(good, attempt > 0), bounds)
                if not taught:
                    learn_order(layer, [], 0.0, 0.0, bounds)
                verdict = torch.tensor((1.0 if right else -1.0) if winners else 0.0)
                if attempt == 0:
                    self._count(bool(winners), right)
                    yield Update(reward=verdict, answered=verdict.abs())
                else:
                    yield Update(again=verdict)
                if right or not winners:
                    break

    def _margin_known(self, model: nn.Module) -> bool:
        return not _drops_at_the_end(model) and (not self.margin or has_own_methods(model, ("runner_up",)))

    def _taught(
        self, layer: CompetingLayer, times: Tensor, winners: list[Winner], right: bool
    ) -> list[tuple[Winner, bool]]:
        """Return which neurons learn, and whether each is rewarded (or punished)."""
        if not self.margin or not right:
            return [(winner, right) for winner in winners]
        rival = cast(DecidingLayer, layer).runner_up(times, winners[0], self.margin)
        return [] if rival is None else [(winners[0], True), (rival, False)]

    def _walk(self, layer: KernelLayer, inputs: Tensor, targets: Tensor) -> Step:
        as_bytes = inputs.dtype == torch.uint8 and inputs.dim() == 4 and inputs.shape[1] == layer.weight.shape[1]
        times = inputs if as_bytes else layer.spike_times(inputs)
        state = RewardState(
            *self._sizes(),
            self.right_share,
            self.wrong_share,
            [self._right, self._wrong, self._seen],
            self.window if self.adaptive else 0,
            layer.bounds,
            self.stabiliser,
            self.floor,
            self.tries,
            self.margin,
        )
        figures = {}
        if math.isinf(layer.threshold):
            bits = (times < layer.steps).to(torch.uint8)
            _, verdicts, sums = learn_by_reward(
                layer.weight, bits, targets, layer.padding, self.classes, state, self._store
            )
            figures["sums"] = torch.tensor(sums)
        else:
            known = FiringLayer(layer.steps, layer.padding, layer.threshold, 1, layer.radius, layer.bounds)
            _, verdicts = learn_by_first_spikes(
                layer.weight, times.to(torch.uint8), targets, known, self.classes, state, _dropped(layer)
            )
        self.right_share, self.wrong_share = state.right_share, state.wrong_share
        self._right, self._wrong, self._seen = state.counts
        return Applied(
            reward=verdicts.double().mean(),
            answered=(verdicts != 0).double().mean(),
            wrong_share=torch.tensor(self.wrong_share),
            **figures,
        )

    def _rates(self, right: bool, again: bool) -> tuple[float, float]:
        """Return the changes of inputs that fired in time and of all others."""
        reward, punish = self._sizes()
        factor = self.floor + (1.0 - self.floor) * (self.wrong_share if right else self.right_share)
        if right and again:
            factor = 1.0
        if right:
            return reward[0] * factor, -reward[1] * factor
        return -punish[0] * factor, punish[1] * factor

    def _sizes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        (up, down), (back, forth) = self.reward, self.punish
        return (self.rate * up, self.rate * down), (self.rate * back, self.rate * forth)

    def _count(self, answered: bool, right: bool) -> None:
        if not self.adaptive:
            return
        self._seen += 1
        self._right += answered and right
        self._wrong += answered and not right
        if self._seen == self.window:
            self.right_share, self.wrong_share = self._right / self._seen, self._wrong / self._seen
            self._right = self._wrong = self._seen = 0

    def state_dict(self) -> dict[str, Tensor]:
        """Return the shares and the counts of the current window."""
        shares = torch.tensor([self.right_share, self.wrong_share], dtype=torch.float64)
        return {"shares": shares, "counts": torch.tensor([self._right, self._wrong, self._seen])}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the state returned by `state_dict`. Raises `ConfigError` if a part is missing."""
        if set(state) != {"shares", "counts"}:
            raise ConfigError(f"RewardSTDP needs shares and counts, the checkpoint has {', '.join(state)}")
        self.right_share, self.wrong_share = (float(share) for share in state["shares"])
        self._right, self._wrong, self._seen = (int(count) for count in state["counts"])


def _dropped(layer: object) -> Tensor | None:
    """Return which maps do not take part (bool [F]), None where the layer drops none."""
    dropped = getattr(layer, "dropped", None)
    return dropped if isinstance(dropped, Tensor) and bool(dropped.any()) else None


def _drops_at_the_end(layer: nn.Module) -> bool:
    """Return whether the layer drops maps and decides at the last step, which the kernel does not know."""
    return math.isinf(cast(KernelLayer, layer).threshold) and _dropped(layer) is not None
