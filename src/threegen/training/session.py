"""The state of a run, and how it is saved and restored: everything that a bit-equal resume needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_whole
from threegen.errors import CheckpointError, ConfigError, warn_user
from threegen.randomness import make_generator
from threegen.training.described import describe_groups, describe_model, first_difference
from threegen.training.log import TrainingLog
from threegen.training.persistence.checkpoint import (
    Checkpoint,
    check_weights,
    clean_checkpoints,
    list_checkpoints,
    load_checkpoint,
    load_facts,
    load_weights,
    save_checkpoint,
    versions,
)
from threegen.training.persistence.files import remove_folder
from threegen.training.persistence.generators import (
    Generator,
    generator_state,
    process_generators,
    set_generator_state,
    set_process_generators,
)
from threegen.training.persistence.state import (
    pack_optimizer,
    prefixed,
    unpack_optimizer,
    with_prefix,
)
from threegen.training.schedules import Progress
from threegen.training.stages import Stage
from threegen.training.stopping import EarlyStopping


class Session:
    """A run in progress: the model, its stages, the position, the generators, the log and the folder of checkpoints."""

    def __init__(
        self,
        model: nn.Module,
        stages: Sequence[Stage],
        seed: int,
        log: TrainingLog,
        stopping: EarlyStopping | None,
        data_facts: dict[str, Any],
        precision: str = "fp32",
    ) -> None:
        self.model, self.stages, self.log, self.stopping = model, stages, log, stopping
        self.folder = None if log.folder is None else log.folder / "checkpoints"
        self.seed = require_whole("seed", seed, least=0)
        self.generator = make_generator(seed, "rule")
        self.progress = Progress()
        self.optimizer: torch.optim.Optimizer | None = None
        self.begun = False  # whether the current stage's begin() has been called
        self.last_saved: Path | None = None
        # Recorded once: schedules may change values of a rule while it runs.
        settings: dict[str, Any] = {
            "class": type(model).__name__,
            "model": describe_model(model),
            "precision": precision,
            "seed": self.seed,
            "data": data_facts,
            "stages": [{**stage.describe(), "epochs": stage.epochs} for stage in stages],
        }
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))  # in the form of a checkpoint
        self._built: list[dict[str, Any]] | None = None  # the current stage's optimiser, as it was built
        self._warned = False
        self._epoch_start: dict[str, Tensor] = {}  # the generators at the start of the current epoch
        self._resumed: Checkpoint | None = None

    # -- opening ------------------------------------------------------------------------------------------------

    def open(self, resume: bool, overwrite: bool) -> None:
        """Prepare the folder: start in an empty one, or continue from the newest checkpoint."""
        if self.folder is None:
            return
        run_folder = self.folder.parent
        clean_checkpoints(run_folder)
        saved = list_checkpoints(self.folder)
        if saved and not resume:
            if not overwrite:
                raise ConfigError(
                    f"{run_folder} already holds a run; resume it (resume=True), choose another out=, "
                    "or discard it with overwrite=True"
                )
            for path in saved:
                remove_folder(path)
            saved = []
        if not saved:
            self.log.start()
            return
        try:
            self.take_back(self._choose(saved))
        except CheckpointError as problem:
            if len(saved) > 1 and "use an older checkpoint" in str(problem):
                raise CheckpointError(f"{problem}: delete {saved[-1]} to resume from {saved[-2].name}") from problem
            raise

    def _choose(self, saved: Sequence[Path]) -> Path:
        """Return the newest checkpoint; for a finished run that gets more epochs, the newest one before its end."""
        facts = load_facts(saved[-1])
        if len(saved) < 2 or not self._is_extended(facts):
            return saved[-1]
        before = load_facts(saved[-2])
        return saved[-2] if before["progress"]["stage"] == len(self.stages) - 1 else saved[-1]

    def _is_extended(self, facts: Mapping[str, Any]) -> bool:
        try:
            finished = facts["progress"]["stage"] == len(self.stages) and not facts["log"]["stopped"]
            return bool(finished and facts["settings"]["stages"][-1]["epochs"] < self.stages[-1].epochs)
        except (KeyError, TypeError, IndexError):
            return False  # restoring it will say what is wrong

    def take_back(self, path: Path) -> None:
        """Continue from the checkpoint at `path`; raises `CheckpointError` if it does not fit."""
        checkpoint = load_checkpoint(path)
        facts = checkpoint.facts
        try:
            _compare_settings(facts["settings"], self.settings, facts["progress"], path)
            check_weights(self.model, checkpoint.weights, str(path))
            _compare(facts["settings"], self.settings, "model", path)  # differences that equal sizes do not show
            _warn_of_other_bits(facts, path)
            load_weights(self.model, checkpoint.weights, str(path))
            self._restore(checkpoint)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError) as problem:
            if isinstance(problem, ConfigError):
                raise
            raise CheckpointError(f"{path} is no threegen checkpoint: {type(problem).__name__} {problem}") from problem
        self.last_saved = path
        self._resumed = checkpoint

    def _restore(self, checkpoint: Checkpoint) -> None:
        facts, state = checkpoint.facts, checkpoint.state
        self.progress = Progress(**facts["progress"])
        self.begun = bool(facts["begun"])
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name not in facts["frozen"])
        self.generator.set_state(state["generator/rule"])
        self._epoch_start = with_prefix("epoch", state)
        if self.stopping is not None:
            self.stopping.restore_state(facts["stopping"], with_prefix("best", state))
        if self.progress.stage < len(self.stages):
            self.stages[self.progress.stage].rule.load_state_dict(with_prefix("rule", state))
        self.log.restore(facts["log"], self.progress.updates)

    def take_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Adopt a stage's fresh optimiser; in a resumed stage its state comes from the checkpoint."""
        self.optimizer = optimizer
        self._built = describe_groups(optimizer)
        if self._resumed is not None:
            facts = self._resumed.facts["optimizer"]
            if facts is not None:
                self._compare_optimizer(facts)
                unpack_optimizer(optimizer, with_prefix("optimizer", self._resumed.state), facts)

    def _compare_optimizer(self, facts: Mapping[str, Any]) -> None:
        """Raise `CheckpointError` if the optimiser was built with other settings than the checkpoint's."""
        for before, now in zip(facts["built"] or (), self._built or (), strict=False):
            found = first_difference(before, json.loads(json.dumps(now)))
            if found is not None and facts["kind"] == type(self.optimizer).__name__:
                name, was, own = found
                raise CheckpointError(
                    f"{self.last_saved}: the run was started with {name} {was!r} of its optimizer, this run has "
                    f"{own!r}; "
                    "resume with the same settings"
                )

    def warn_once(self, doubt: str) -> None:
        """Warn, once per run with a folder, that a resumed run may not be bit-equal, and why."""
        if doubt and not self._warned and self.folder is not None:
            self._warned = True
            warn_user(f"a run resumed from here is valid, but may not be bit-equal: {doubt}")

    # -- generators ---------------------------------------------------------------------------------------------

    @property
    def resuming(self) -> bool:
        """Whether a checkpoint was restored and its first batch has not been drawn yet."""
        return self._resumed is not None

    def mark_epoch(self, own: Sequence[Generator]) -> None:
        """Record the states of all generators at the start of an epoch; `own` are those of the user's DataLoader."""
        self._epoch_start = prefixed("torch", process_generators())
        self._epoch_start |= {f"own/{number}": generator_state(generator) for number, generator in enumerate(own)}

    def rewind_epoch(self, own: Sequence[Generator]) -> None:
        """Set all generators to their states at the start of the checkpoint's epoch, so that its batches can be
        redrawn."""
        if self._epoch_start:
            set_process_generators(with_prefix("torch", self._epoch_start))
        for number, generator in enumerate(own):
            if f"own/{number}" in self._epoch_start:
                set_generator_state(generator, self._epoch_start[f"own/{number}"])

    def restore_torch_generators(self) -> None:
        """Set torch's generators to their states in the checkpoint; call it when skipped batches have been drawn."""
        if self._resumed is not None:
            set_process_generators(with_prefix("torch", self._resumed.state))
            self._resumed = None

    # -- saving -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint of the current state; call it between batches only."""
        if self.folder is None:
            return
        state = {
            "generator/rule": self.generator.get_state(),
            **prefixed("torch", process_generators()),
            **prefixed("epoch", self._epoch_start),
        }
        optimizer_facts = None
        if self.optimizer is not None:
            tensors, optimizer_facts = pack_optimizer(self.optimizer)
            optimizer_facts["built"] = self._built
            state |= prefixed("optimizer", tensors)
        if self.progress.stage < len(self.stages):
            state |= prefixed("rule", self.stages[self.progress.stage].rule.state_dict())
        if self.stopping is not None:
            state |= prefixed("best", self.stopping.best_weights)
        facts = {
            "settings": self.settings,
            "progress": {name: getattr(self.progress, name) for name in Progress.__slots__},
            "begun": self.begun,
            "frozen": [name for name, p in self.model.named_parameters() if not p.requires_grad],
            "optimizer": optimizer_facts,
            "stopping": {} if self.stopping is None else self.stopping.state(),
            "log": self.log.state(),
        }
        number = self._number()
        self.last_saved = save_checkpoint(self.folder, number, Checkpoint(self.model.state_dict(), state, facts))

    def _number(self) -> int:
        newest = list_checkpoints(self.folder) if self.folder is not None else []
        return int(newest[-1].name) + 1 if newest else 0

    def saved_sentence(self) -> str:
        """Return the end of an error message that names the last good checkpoint, or an empty text."""
        return "" if self.last_saved is None else f"; last good checkpoint: {self.last_saved}"


def _compare_settings(saved: dict[str, Any], own: dict[str, Any], position: dict[str, int], path: Path) -> None:
    """Raise `CheckpointError` naming the first setting that differs; the last stage may get more epochs."""
    for name in ("class", "seed", "data", "precision"):
        _compare(saved, own, name, path)
    if len(saved["stages"]) != len(own["stages"]):
        raise CheckpointError(
            f"{path} was written by a run of {len(saved['stages'])} stages, this one has {len(own['stages'])}"
        )
    last = len(own["stages"]) - 1
    done = {last: position["epoch"], last + 1: saved["stages"][last]["epochs"]}.get(position["stage"], 0)
    for number, (before, now) in enumerate(zip(saved["stages"], own["stages"], strict=True)):
        for key, value in now.items():
            if before[key] == value:
                continue
            free = key == "epochs" and number == last and now["schedule"] is None
            if free and value >= done:
                continue
            advice = f"; {done} epochs are done" if free else "; resume with the same settings"
            raise CheckpointError(
                f"{path}: stage {now['name']!r} was started with {key} {before[key]!r}, this run has {value!r}{advice}"
            )


def _compare(saved: Mapping[str, Any], own: Mapping[str, Any], name: str, path: Path) -> None:
    """Raise `CheckpointError` naming the first setting that differs from the checkpoint's."""
    found = first_difference(saved[name], own[name], f"{name}.")
    if found is not None:
        where, before, now = found
        raise CheckpointError(f"{path} was written with {where} {before!r}, this run has {now!r}")


def _warn_of_other_bits(facts: Mapping[str, Any], path: Path) -> None:
    """Warn if the checkpoint was written under conditions that may round differently."""
    here = {"threads": torch.get_num_threads(), **versions()}
    there = {"threads": facts["threads"], **facts["versions"]}
    for name in ("threads", "torch", "machine"):
        if there[name] != here[name]:
            kind = f"{there[name]} threads" if name == "threads" else f"{name} {there[name]}"
            own = here[name] if name == "threads" else f"{name} {here[name]}"
            warn_user(
                f"{path} was written with {kind}, this process has {own}; "
                "the resumed run is valid, but may not be bit-equal",
            )
