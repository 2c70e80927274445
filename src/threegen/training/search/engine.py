"""The search itself: draw, train all trials of a round at once, narrow the ranges around the best, again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError
from threegen.training.progress import ProgressBar
from threegen.training.search.folder import load_search, save_search
from threegen.training.search.halving import give_up_losers
from threegen.training.search.results import SearchResult
from threegen.training.search.space import Range, draw_settings
from threegen.training.search.stacked import Build, Group, group_trials
from threegen.training.search.trials import Trial, ranked, trial_seed

BEST = 20  # the number of trials of a round that are shown; the next round's ranges are drawn around the best 5
AROUND = 5

TrainAlone = Callable[[Sequence[Trial], Callable[[], None]], None]
Split = Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, Any], str, int]]


@dataclass
class Search:
    """The settings of a search; `run` carries it out.

    `build` makes a network from a trial's settings, `split` separates them (see `group_trials`). `train_alone` trains
    trials that cannot be stacked and fills in their curves, in parallel if it can; it calls its second argument after
    each.
    """

    build: Build
    split: Split
    train_alone: TrainAlone
    space: Mapping[str, Range]
    data: Dataset
    validation: Dataset
    trials: int
    epochs: int
    rounds: int = 1
    rungs: tuple[int, ...] = ()
    loss: str = "cross_entropy"
    seed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    on_epoch: Callable[[list[Trial]], None] | None = None

    def run(self, *, resume: bool = False, progress: bool = False) -> SearchResult:
        """Run all rounds and return the result."""
        rounds: list[list[Trial]] = []
        spaces: list[Mapping[str, Range]] = []
        found = load_search(self._folder(), self.facts) if resume else None
        with ProgressBar(progress, "search") as bar:
            for number in range(self.rounds):
                spaces.append(self.space if number == 0 else narrowed(spaces[-1], rounds[-1]))
                if found is not None and number < len(found["rounds"]):
                    kept, epoch = found["rounds"][number], self.epochs
                    if number == len(found["rounds"]) - 1:
                        epoch = found["epoch"]
                else:
                    kept, epoch = None, 0
                rounds.append(kept or self._drawn(spaces[-1], number))
                if epoch < self.epochs:
                    bar.stage(f"round {number + 1}", self.epochs, epoch)
                    self._train(rounds, spaces, epoch, found if kept else None, bar)
        return SearchResult(rounds, [dict(space) for space in spaces], len(self.validation), dict(self.facts))

    def _folder(self) -> Path:
        if self.folder is None:
            raise ConfigError("resume=True needs out=, the folder of the search to continue")
        return self.folder

    def _drawn(self, space: Mapping[str, Range], number: int) -> list[Trial]:
        return [
            Trial(trial, number, draw_settings(space, self.seed, number, trial), trial_seed(self.seed, number, trial))
            for trial in range(self.trials)
        ]

    def _train(
        self,
        rounds: list[list[Trial]],
        spaces: list[Mapping[str, Range]],
        epoch: int,
        found: Mapping[str, Any] | None,
        bar: ProgressBar,
    ) -> None:
        trials = rounds[-1]
        groups, alone = group_trials(trials, self.build, self.split, self.loss)
        if alone and self.rungs:
            raise ConfigError(
                f"trial {alone[0].number} cannot be stacked (its model has no stack(n)), and halving discards networks "
                f"of a stack; leave halving out, or use sampler= and pruner= of Optuna"
            )
        if found is not None and epoch:
            for number, group in enumerate(groups):
                group.keep([place for place, trial in enumerate(group.trials) if trial.state == "running"])
                if group.trials:
                    group.restore(str(number), found["loaded"], found["steps"][number])
        waiting = [trial for trial in alone if trial.state == "running"]
        if waiting and not epoch:
            ended = itertools.count(len(alone) - len(waiting) + 1)

            def keep() -> None:
                number = next(ended)
                bar.advance(number, self.epochs - 1, {})
                self._save(rounds, spaces, groups, 0)

            bar.stage(f"round {len(rounds)}, one by one", len(alone), len(alone) - len(waiting))
            self.train_alone(waiting, keep)
        while epoch < self.epochs:
            for group in groups:
                if group.trials:
                    group.run_epoch(epoch, self.data, self.validation)
            epoch += 1
            if epoch in self.rungs:
                give_up_losers(groups)
            if epoch == self.epochs:
                for trial in trials:
                    trial.state = "finished" if trial.state == "running" else trial.state
            bar.advance(epoch, epoch - 1, {})
            self._save(rounds, spaces, groups, epoch)
            if self.on_epoch is not None:
                self.on_epoch(trials)

    def _save(
        self,
        rounds: list[list[Trial]],
        spaces: list[Mapping[str, Range]],
        groups: list[Group],
        epoch: int,
    ) -> None:
        if self.folder is not None:
            texts = [{name: str(range_) for name, range_ in space.items()} for space in spaces]
            save_search(self.folder, self.facts, rounds, texts, groups, epoch)


def narrowed(space: Mapping[str, Range], trials: list[Trial]) -> dict[str, Range]:
    """Return the ranges around the best trials of a round."""
    best = [trial for trial in ranked(trials)[:AROUND] if trial.state == "finished"]
    if not best:
        raise ConfigError("no trial of the round was trained to its end, so there is nothing to narrow the ranges to")
    return {name: range_.narrowed([trial.settings[name] for trial in best]) for name, range_ in space.items()}
