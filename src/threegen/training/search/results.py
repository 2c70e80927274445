"""The result of a search: the table, significant differences, important settings, the curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threegen.errors import MissingExtraError
from threegen.plots import html_table
from threegen.tables import text_table
from threegen.training.evaluate import wilson_interval
from threegen.training.search.importance import optuna_importance, rank_importance
from threegen.training.search.space import Range
from threegen.training.search.trials import Trial, ranked

SHOWN = 20


@dataclass(frozen=True, repr=False)
class SearchResult:
    """The trials of all rounds, judged on `count` validation examples, and the ranges that each round drew from."""

    rounds: Sequence[Sequence[Trial]]
    spaces: Sequence[Mapping[str, Range]]
    count: int
    facts: Mapping[str, Any]

    @property
    def trials(self) -> list[Trial]:
        """All trials, the best first."""
        return ranked([trial for trials in self.rounds for trial in trials])

    @property
    def best(self) -> Trial:
        """The best trial."""
        return self.trials[0]

    def interval(self, trial: Trial) -> tuple[float, float]:
        """Return the 95 % Wilson interval of a trial's validation accuracy."""
        return wilson_interval(round(trial.accuracy * self.count), self.count)

    def table(self) -> list[dict[str, Any]]:
        """Return one row per trial, the best first: settings, accuracy, interval, epochs, state."""
        rows = []
        for place, trial in enumerate(self.trials, 1):
            low, high = self.interval(trial)
            rows.append(
                {
                    "place": place,
                    "round": trial.round + 1,
                    "trial": trial.number,
                    **trial.settings,
                    "accuracy": trial.accuracy,
                    "low": low,
                    "high": high,
                    "epochs": trial.epochs,
                    "state": trial.state,
                }
            )
        return rows

    def notes(self) -> list[str]:
        """Return remarks for the reader: trials that do not differ significantly, best values at an end of their
        range."""
        found = []
        alike = self.indistinguishable()
        if alike > 1:
            low, high = self.interval(self.best)
            found.append(
                f"the best {alike} trials cannot be told apart: {self.count} validation examples give the best "
                f"accuracy, {self.best.accuracy:.3f}, a 95 % interval of {low:.3f} to {high:.3f}, which contains theirs"
            )
        for name, value in self.best.settings.items():
            own = (
                self.spaces[0][name],
                self.spaces[self.best.round][name],
            )  # the given range, and the narrowed one
            range_ = next((one for one in own if one.at_end(value)), None)
            if range_ is not None:
                found.append(
                    f"{name}={shown(value)} of the best trial is at the end of its range {range_}; "
                    "a wider range may hold a better one"
                )
        diverged = sum(trial.state == "diverged" for trial in self.trials)
        if diverged:
            found.append(f"{diverged} trials diverged: their loss was not finite; the others were not affected")
        return found

    def indistinguishable(self) -> int:
        """Return how many of the first trials have an accuracy within the best one's interval."""
        low, _ = self.interval(self.best)
        alike = 0
        for trial in self.trials:
            if trial.accuracy < low or trial.state in ("diverged", "stopped"):
                break
            alike += 1
        return alike

    def importance(self) -> dict[str, float]:
        """Return |rank correlation| (Spearman) of each ordered setting with the accuracy reached, first round only.

        0: it does not matter, or the best value is in the middle; 1: the relation is monotonic. Halving trains trials
        for different numbers of epochs; the accuracies after the first rung are used then.
        """
        return rank_importance(self.rounds[0], self.spaces[0])

    def optuna_importance(self) -> dict[str, float] | None:
        """Return Optuna's fANOVA importance of each setting, first round only; None without Optuna.

        The shares of the accuracy's variance that the settings, including choices, explain; they add up to 1.
        """
        try:
            return optuna_importance(self.rounds[0], self.spaces[0])
        except MissingExtraError:
            return None

    def figure(self, path: str | Path, *, most: int = SHOWN) -> Path:
        """Draw the curves of the best trials, training dashed and validation solid, and return the file."""
        from matplotlib.figure import Figure

        trials = [trial for trial in self.trials if trial.epochs][:most]
        columns = 5 if len(trials) > 4 else max(1, len(trials))
        rows = -(-len(trials) // columns)
        figure = Figure(figsize=(2.4 * columns, 1.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for number, axis in enumerate(axes.flat):
            if number >= len(trials):
                axis.set_axis_off()
                continue
            trial = trials[number]
            epochs = range(1, trial.epochs + 1)
            axis.plot(epochs, trial.validation_accuracy, label="validation")
            if trial.training_accuracy:  # Optuna's trials have none
                axis.plot(epochs, trial.training_accuracy, "--", label="training")
            axis.set_ylim(0, 1)
            axis.set_title(f"best-{number + 1} (trial {trial.number})", fontsize=8)
        axes[0, 0].legend(fontsize=7)
        axes[-1, 0].set_xlabel("epoch")
        axes[0, 0].set_ylabel("accuracy")
        target = Path(path)
        figure.savefig(target, dpi=120)
        return target

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "settings": dict(self.facts),
            "spaces": [{name: str(range_) for name, range_ in space.items()} for space in self.spaces],
            "validation_examples": self.count,
            "table": self.table(),
            "notes": self.notes(),
            "importance": self.importance(),
            "importance_by_optuna": self.optuna_importance(),
        }

    def __str__(self) -> str:
        rows = self.table()[:SHOWN]
        heads = list(rows[0])
        lines = [heads, *[[shown(row[head]) for head in heads] for row in rows]]
        measures = {"|rank correlation|": self.importance(), "Optuna's fANOVA": self.optuna_importance() or {}}
        more = [
            f"importance ({how}): " + ", ".join(f"{name} {value:.2f}" for name, value in found.items())
            for how, found in measures.items()
            if found
        ]
        return "\n".join([text_table(lines, right=range(len(heads)), total=False), *self.notes(), *more])

    def __repr__(self) -> str:
        return f"SearchResult({len(self.trials)} trials, best accuracy {self.best.accuracy:.3f})"

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        return html_table(self.table(), "; ".join(self.notes()))


def shown(value: Any) -> str:
    """Return a value as a short text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
