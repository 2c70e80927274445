"""Running and reporting of checks, and a minimal training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from threegen.datasets.batches import Batch
from threegen.errors import ThreegenError
from threegen.rules.rule import Rule, Step, project

ModelFactory = Callable[[torch.Generator], nn.Module]
Snapshot = dict[str, Tensor]


class ContractViolation(ThreegenError):
    """A rule or a model violates the contract; `failures` maps each failed check to its finding."""

    def __init__(self, subject: str, failures: dict[str, str]) -> None:
        self.failures = failures
        found = "".join(f"\n- {name}: {text}" for name, text in failures.items())
        super().__init__(f"{subject} fails {len(failures)} checks of the contract:{found}")


class Broken(Exception):
    """Raised inside a check with a sentence about the finding."""


def run_checks(subject: str, checks: Iterable[tuple[str, Callable[[], None]]]) -> tuple[str, ...]:
    """Run all `checks`; return their names, or raise `ContractViolation` with the sentences of those that failed.

    torch's generators are seeded before each check and restored at the end.
    """
    names, failures = [], {}
    with torch.random.fork_rng():
        for name, check in checks:
            names.append(name)
            torch.manual_seed(0)
            try:
                check()
            except Broken as problem:
                failures[name] = str(problem)
            except Exception as problem:  # any exception of a broken rule is a finding, not a crash of the checks
                failures[name] = f"raised {type(problem).__name__}: {problem}"
    if failures:
        raise ContractViolation(subject, failures)
    return tuple(names)


def run_rule(
    rule: Rule, model: nn.Module, batch: Batch, generator: torch.Generator, optimizer: torch.optim.Optimizer
) -> list[dict[str, float]]:
    """Train `model` on one batch by a minimal loop; return the figures of each step.

    It checks and saves nothing: use `fit` for training. This loop is the reference for its tests.
    """
    return [
        {name: float(value) for name, value in step.figures.items()}
        for step in walk(rule, model, batch, generator, optimizer)
    ]


def walk(
    rule: Rule, model: nn.Module, batch: Batch, generator: torch.Generator, optimizer: torch.optim.Optimizer
) -> Iterator[Step]:
    """Train `model` on one batch as `run_rule` does; yield each step before it is applied."""
    for step in rule(model, batch, generator):
        yield step
        if step.pending:
            optimizer.step()
            optimizer.zero_grad()
            project(model)


def same_bits(before: Snapshot, after: Snapshot, what: str) -> None:
    """Raise `Broken` naming the first tensors of `after` that differ from `before`."""
    if before.keys() != after.keys():
        raise Broken(f"{', '.join(sorted(before.keys() ^ after.keys()))} {what}")
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    if changed:
        raise Broken(f"{', '.join(changed[:3])} {what}")
