"""The checks that every learning rule must pass: the contract of `rules/rule.py`, one function per requirement."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError, ThreegenError
from threegen.randomness import make_generator
from threegen.rules.rule import Rule, Step, answer, project
from threegen.testing.tools import Broken, ModelFactory, Snapshot, run_checks, same_bits, walk

Oracle = Callable[[nn.Module, Batch, torch.Generator], Tensor]


@dataclass(frozen=True)
class _Bench:
    """A rule, a model and a batch under test; `begin` starts a fresh run of them, always the same."""

    rule_factory: Callable[[], Rule]
    model_factory: ModelFactory
    batch: Batch
    rate: float
    oracle: Oracle | None
    quiet: Callable[[nn.Module, Batch], Batch] | None
    learnt: Callable[[nn.Module, Batch], bool]
    passes: int
    double: bool = False

    def begin(self, seed: int = 0, rate: float | None = None) -> _Run:
        model = self.model_factory(make_generator("contract model", seed)).train()
        if self.double:
            model.double()
        movable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(movable, lr=self.rate if rate is None else rate)
        return _Run(self.rule_factory(), model, optimizer, make_generator("contract draws", seed))

    def in_float64(self) -> _Bench:
        inputs, targets = self.batch.inputs.double(), self.batch.targets
        if targets is not None and targets.is_floating_point():
            targets = targets.double()
        return replace(self, batch=Batch(inputs, targets, self.batch.index), double=True)


@dataclass
class _Run:
    rule: Rule
    model: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator

    def steps(self, batch: Batch) -> Iterator[Step]:
        return walk(self.rule, self.model, batch, self.generator, self.optimizer)

    def train(self, batch: Batch) -> int:
        return sum(1 for _ in self.steps(batch))

    def parameters(self) -> Snapshot:
        return {name: parameter.detach().clone() for name, parameter in self.model.named_parameters()}

    def everything(self) -> Snapshot:
        state = {f"rule.{name}": value.clone() for name, value in self.rule.state_dict().items()}
        state |= {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        return state | {"the generator": self.generator.get_state()}


def check_rule(
    rule_factory: Callable[[], Rule],
    model_factory: ModelFactory,
    batch: Batch,
    *,
    oracle: Oracle | None = None,
    quiet: Callable[[nn.Module, Batch], Batch] | None = None,
    learnt: Callable[[nn.Module, Batch], bool] | None = None,
    rate: float | None = None,
    passes: int = 100,
) -> tuple[str, ...]:
    """Check that a rule keeps the contract of `rules/rule.py`; return the names of the checks that ran.

    `model_factory(generator)` makes a small model with weights drawn from the generator, such that there are no ties.
    `batch` is a toy problem that `passes` passes with plain SGD (at `rate`, by default the rule's) must learn:
    `learnt(model, batch)` decides whether it has, by default if 95 % of the labels are right. `oracle(model, batch,
    generator)` returns the objective whose autograd the first `.grad` must equal to 1e-6. `quiet(model, batch)` returns
    a batch from which this model learns nothing. The checks of `oracle` and `quiet` run only if these are given. Raises
    `ContractViolation`.
    """
    rule = rule_factory()
    bench = _Bench(
        rule_factory,
        model_factory,
        batch,
        rate or rule.default_rate or 0.1,
        oracle,
        quiet,
        learnt or _mostly_right,
        passes,
    )
    checks = dict(_RULE_CHECKS)
    if oracle is None:
        del checks["oracle"]
    if quiet is None:
        del checks["quiet"]
    if not rule.uses_labels:
        del checks["missing labels"]

    def bound(check: Callable[[_Bench], None]) -> Callable[[], None]:
        return lambda: check(bench)

    return run_checks(type(rule).__name__, [(name, bound(check)) for name, check in checks.items()])


def _parameters_still(bench: _Bench) -> None:
    run = bench.begin()
    before = run.parameters()
    for step in run.rule(run.model, bench.batch, run.generator):
        if step.pending:
            same_bits(before, run.parameters(), "moved before its yield (Update: the optimiser moves, not the rule)")
            run.optimizer.step()
            run.optimizer.zero_grad()
            project(run.model)
        before = run.parameters()
    same_bits(before, run.parameters(), "moved after the last yield")


def _gradients(bench: _Bench) -> None:
    run = bench.begin()
    yields = 0
    for step in run.steps(bench.batch):
        yields += 1
        for name, figure in step.figures.items():
            if not isinstance(figure, Tensor) or figure.dim() != 0 or figure.requires_grad:
                raise Broken(f"the figure {name!r} must be a detached 0-d tensor, got {figure!r}")
        if step.pending:
            _require_gradients(run.model)
    if yields == 0:
        raise Broken("the rule never yields on this batch; give one with something to learn")


def _require_gradients(model: nn.Module) -> None:
    filled = 0
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        filled += 1
        if not parameter.requires_grad:
            raise Broken(f"{name} is frozen (requires_grad=False) but has a gradient")
        if parameter.grad.shape != parameter.shape or parameter.grad.dtype != parameter.dtype:
            raise Broken(f"{name}.grad is {parameter.grad.dtype} {list(parameter.grad.shape)}, unlike the parameter")
        if not bool(torch.isfinite(parameter.grad).all()):
            raise Broken(f"{name}.grad is not finite")
    if filled == 0:
        raise Broken("a yield of Update without any .grad; yield Applied if the rule updates the parameters itself")


def _updates_per_batch(bench: _Bench) -> None:
    run = bench.begin()
    expected, found = run.rule.updates_per_batch, run.train(bench.batch)
    if expected is not None and found != expected:
        raise Broken(
            f"updates_per_batch is {expected}, but one batch yields {found} times; set it to None if it varies"
        )


def _same_generator(bench: _Bench) -> None:
    first, second = bench.begin(), bench.begin()
    torch.manual_seed(1)
    first.train(bench.batch)
    torch.manual_seed(1)
    second.train(bench.batch)
    same_bits(first.everything(), second.everything(), "differs between two runs with the same generator")


def _batch_of_one(bench: _Bench) -> None:
    for place in range(len(bench.batch)):
        run = bench.begin()
        run.train(_part(bench.batch, slice(place, place + 1)))
        for name, value in run.parameters().items():
            if not bool(torch.isfinite(value).all()):
                raise Broken(f"{name} is not finite after example {place} alone")


def _empty(bench: _Bench) -> None:
    _require_refusal(bench, _part(bench.batch, slice(0, 0)), "an empty batch")


def _not_a_number(bench: _Bench) -> None:
    inputs = bench.batch.inputs.clone()
    inputs.view(-1)[inputs.numel() // 2] = float("nan")
    _require_refusal(bench, replace(bench.batch, inputs=inputs), "a batch with a NaN in it")


def _missing_labels(bench: _Bench) -> None:
    _require_refusal(bench, replace(bench.batch, targets=None), "a batch without targets")


def _require_refusal(bench: _Bench, batch: Batch, what: str) -> None:
    run = bench.begin()
    before = run.parameters()
    try:
        run.train(batch)
    except ThreegenError:
        same_bits(before, run.parameters(), f"moved although {what} was refused")
        return
    raise Broken(f"{what} must raise a DataError or NumericError before the first yield; it was accepted")


def _wrong_model(bench: _Bench) -> None:
    try:
        bench.rule_factory().check(nn.Identity())
    except ConfigError:
        return
    raise Broken("check(nn.Identity()) must raise a ConfigError that says what the rule needs; it raised nothing")


def _round_trip(bench: _Bench) -> None:
    backwards = _part(bench.batch, torch.arange(len(bench.batch)).flip(0))
    straight = bench.begin()
    straight.train(bench.batch)
    saved = copy.deepcopy((straight.everything(), straight.model.state_dict(), straight.rule.state_dict()))
    optimizer_state = copy.deepcopy(straight.optimizer.state_dict())
    straight.train(backwards)
    resumed = bench.begin(seed=1)
    resumed.model.load_state_dict(saved[1])
    resumed.rule.load_state_dict(saved[2])
    resumed.optimizer.load_state_dict(optimizer_state)
    resumed.generator.set_state(saved[0]["the generator"])
    same_bits(saved[0], resumed.everything(), "is lost in the state dictionaries")
    resumed.train(backwards)
    same_bits(straight.everything(), resumed.everything(), "differs after a save and a load in mid-run")


def _float64(bench: _Bench) -> None:
    wide = bench.in_float64()
    run = wide.begin()
    for _ in run.steps(wide.batch):
        for name, parameter in run.model.named_parameters():
            if parameter.grad is not None and parameter.grad.dtype != torch.float64:
                raise Broken(f"{name}.grad is {parameter.grad.dtype} in a float64 model")


def _quiet(bench: _Bench) -> None:
    if bench.quiet is None:
        return
    wide = bench.in_float64()
    run = wide.begin(rate=1.0)
    batch = bench.quiet(run.model, wide.batch)
    before = run.parameters()
    run.train(batch)
    for name, value in run.parameters().items():
        moved = float((value - before[name]).abs().max())
        if moved > 1e-9:
            raise Broken(f"{name} changes by {moved:g} on a batch with nothing to learn")


def _modes(bench: _Bench) -> None:
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            run = bench.begin()
            for _ in run.steps(bench.batch):
                _require_modes(run.model, enabled, "at a yield")
            _require_modes(run.model, enabled, "after the last yield")
            walk = run.rule(run.model, bench.batch, run.generator)
            next(walk, None)
            _require_modes(run.model, enabled, "in a run that is then abandoned")
            walk.close()  # type: ignore[attr-defined]  # a generator, as every rule
            _require_modes(run.model, enabled, "after an abandoned run")


def _require_modes(model: nn.Module, enabled: bool, when: str) -> None:
    if torch.is_grad_enabled() != enabled:
        raise Broken(f"grad mode is {torch.is_grad_enabled()} {when}, it was {enabled}; decorate the rule, no `with`")
    if not model.training:
        raise Broken(f"the model is in evaluation mode {when}, it was in training mode")


def _learns(bench: _Bench) -> None:
    run = bench.begin()
    for _ in range(bench.passes):
        run.train(bench.batch)
        with torch.no_grad():
            run.model.eval()
            done = bench.learnt(run.model, bench.batch)
            run.model.train()
        if done:
            return
    raise Broken(f"the toy problem is not learned in {bench.passes} passes at rate {bench.rate:g}")


def _oracle(bench: _Bench) -> None:
    if bench.oracle is None:
        return
    wide = bench.in_float64()
    judged, run = wide.begin(), wide.begin()
    named = [(name, p) for name, p in judged.model.named_parameters() if p.requires_grad]
    with torch.enable_grad():
        objective = bench.oracle(judged.model, wide.batch, judged.generator)
        expected = torch.autograd.grad(objective, [p for _, p in named], allow_unused=True)
    if not any(gradient is not None and bool(gradient.any()) for gradient in expected):
        raise Broken("the oracle's gradient is zero everywhere, so nothing is tested; give another batch")
    if next(run.rule(run.model, wide.batch, run.generator), None) is None:
        raise Broken("the rule never yields on this batch")
    filled = dict(run.model.named_parameters())
    for (name, parameter), gradient in zip(named, expected, strict=True):
        wanted = torch.zeros_like(parameter) if gradient is None else gradient
        got = filled[name].grad
        off = float((wanted - (torch.zeros_like(parameter) if got is None else got)).abs().max())
        if not off <= 1e-6 * max(1.0, float(wanted.abs().max())):
            raise Broken(f"{name}.grad is off by {off:g} from the autograd of the objective")


_RULE_CHECKS: dict[str, Callable[[_Bench], None]] = {
    "parameters still between yields": _parameters_still,
    "finite gradients": _gradients,
    "updates per batch": _updates_per_batch,
    "same generator, same bits": _same_generator,
    "batch of one": _batch_of_one,
    "empty batch": _empty,
    "NaN batch": _not_a_number,
    "missing labels": _missing_labels,
    "wrong model": _wrong_model,
    "state round trip": _round_trip,
    "float64": _float64,
    "quiet": _quiet,
    "grad mode": _modes,
    "toy problem": _learns,
    "oracle": _oracle,
}


def _part(batch: Batch, which: slice | Tensor) -> Batch:
    targets = None if batch.targets is None else batch.targets[which]
    return Batch(batch.inputs[which], targets, None if batch.index is None else batch.index[which])


def _mostly_right(model: nn.Module, batch: Batch) -> bool:
    if batch.targets is None:
        raise Broken("give learnt=, which says when a toy problem without labels is solved")
    predict = getattr(model, "predict", None)
    guesses = predict(batch.inputs) if predict else answer(model, batch.inputs, make_generator("answers")).argmax(1)
    return float((guesses == batch.targets).double().mean()) >= 0.95
