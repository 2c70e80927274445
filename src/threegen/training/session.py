"""What a run is at any moment, and how it is saved and taken back: everything that a bit-equal resume needs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_whole
from threegen.errors import CheckpointError, ConfigError
from threegen.randomness import make_generator
from threegen.training.checkpoint import (
    Checkpoint,
    clean_checkpoints,
    list_checkpoints,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from threegen.training.log import TrainingLog
from threegen.training.schedules import Progress
from threegen.training.stages import Stage
from threegen.training.state import pack_optimizer, prefixed, unpack_optimizer, with_prefix
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
    ) -> None:
        self.model, self.stages, self.log, self.stopping = model, stages, log, stopping
        self.folder = None if log.folder is None else log.folder / "checkpoints"
        self.seed = require_whole("seed", seed, least=0)
        self.generator = make_generator(seed, "rule")
        self.progress = Progress()
        self.optimizer: torch.optim.Optimizer | None = None
        self.begun = False  # whether the present stage's begin() has been called
        self.epoch_start = torch.get_rng_state()  # torch's generator when the present epoch began
        self.last_saved: Path | None = None
        self.data_facts = data_facts
        self._resumed: Checkpoint | None = None

    # -- opening ------------------------------------------------------------------------------------------------

    def open(self, resume: bool, overwrite: bool) -> None:
        """Prepare the folder: start anew in an empty one, or go on from the newest checkpoint."""
        if self.folder is None:
            if resume:
                raise ConfigError("resume=True needs out=, the folder of the run to go on with")
            return
        run_folder = self.folder.parent
        if resume and not run_folder.is_dir():
            raise CheckpointError(f"{run_folder} does not exist; there is nothing to resume; start without resume")
        clean_checkpoints(self.folder)
        saved = list_checkpoints(self.folder)
        if saved and not resume:
            if not overwrite:
                raise ConfigError(
                    f"{run_folder} already holds a run; resume it (resume=True), choose another out=, "
                    "or give it up with overwrite=True"
                )
            _remove(saved)
            saved = []
        if saved:
            self._take_back(saved[-1])
        else:
            self.log.start()

    def _take_back(self, path: Path) -> None:
        checkpoint = load_checkpoint(path)
        facts = checkpoint.facts
        _compare_settings(facts["settings"], self.settings(), path)
        if facts["threads"] != torch.get_num_threads():
            warnings.warn(
                f"{path} was written with {facts['threads']} threads, this process has {torch.get_num_threads()}; "
                "the resumed run is right, but its bits may differ",
                stacklevel=2,
            )
        load_weights(self.model, checkpoint.weights, str(path))
        self.progress = Progress(**facts["progress"])
        self.begun = facts["begun"]
        self.generator.set_state(checkpoint.state["generator/rule"])
        self.epoch_start = checkpoint.state["generator/epoch"]
        if self.stopping is not None:
            vars(self.stopping).update(facts["stopping"])
            self.stopping.best_weights = with_prefix("best", checkpoint.state)
        if self.progress.stage < len(self.stages):
            self.stages[self.progress.stage].rule.load_state_dict(with_prefix("rule", checkpoint.state))
        self.log.restore(facts["log"])
        self.last_saved = path
        self._resumed = checkpoint

    def take_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Adopt a stage's fresh optimiser; in a resumed stage its state comes from the checkpoint."""
        self.optimizer = optimizer
        if self._resumed is not None:
            facts = self._resumed.facts["optimizer"]
            if facts is not None:
                unpack_optimizer(optimizer, with_prefix("optimizer", self._resumed.state), facts)

    def restore_torch_generator(self) -> None:
        """Set torch's own generator to where the checkpoint found it; call when skipped batches have been drawn."""
        if self._resumed is not None:
            torch.set_rng_state(self._resumed.state["generator/torch"])
            self._resumed = None

    @property
    def resuming(self) -> bool:
        """Whether a checkpoint was taken back and its first batch has not been drawn yet."""
        return self._resumed is not None

    # -- saving -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint of this moment, which must lie between batches."""
        if self.folder is None:
            return
        state: dict[str, Tensor] = {
            "generator/rule": self.generator.get_state(),
            "generator/torch": torch.get_rng_state(),
            "generator/epoch": self.epoch_start,
        }
        optimizer_facts = None
        if self.optimizer is not None:
            tensors, optimizer_facts = pack_optimizer(self.optimizer)
            state |= prefixed("optimizer", tensors)
        if self.progress.stage < len(self.stages):
            state |= prefixed("rule", self.stages[self.progress.stage].rule.state_dict())
        stopping: dict[str, Any] = {}
        if self.stopping is not None:
            state |= prefixed("best", self.stopping.best_weights)
            stopping = {name: getattr(self.stopping, name) for name in ("best", "best_epoch", "waited")}
        progress = {name: getattr(self.progress, name) for name in Progress.__slots__}
        facts = {
            "settings": self.settings(),
            "progress": progress,
            "begun": self.begun,
            "optimizer": optimizer_facts,
            "stopping": stopping,
            "log": self.log.state(),
        }
        number = self._number()
        self.last_saved = save_checkpoint(self.folder, number, Checkpoint(self.model.state_dict(), state, facts))

    def _number(self) -> int:
        newest = list_checkpoints(self.folder) if self.folder is not None else []
        return int(newest[-1].name) + 1 if newest else 0

    def settings(self) -> dict[str, Any]:
        """Return what a resumed run must share with the run that wrote the checkpoint."""
        return {
            "model": type(self.model).__name__,
            "seed": self.seed,
            "data": self.data_facts,
            "stages": [{**stage.describe(), "epochs": stage.epochs} for stage in self.stages],
        }

    def saved_sentence(self) -> str:
        """Return the end of an error message that names the last good checkpoint, or an empty text."""
        return "" if self.last_saved is None else f"; last good checkpoint: {self.last_saved}"


def _remove(checkpoints: Sequence[Path]) -> None:
    for path in checkpoints:
        for part in path.iterdir():
            part.unlink()
        path.rmdir()


def _compare_settings(saved: dict[str, Any], own: dict[str, Any], path: Path) -> None:
    """Raise `CheckpointError` naming the first setting that differs; more epochs are fine without a schedule."""
    for name in ("model", "seed", "data"):
        if saved[name] != own[name]:
            raise CheckpointError(f"{path} was written with {name} {saved[name]!r}, this run has {own[name]!r}")
    if len(saved["stages"]) != len(own["stages"]):
        raise CheckpointError(
            f"{path} was written by a run of {len(saved['stages'])} stages, this one has {len(own['stages'])}"
        )
    for before, now in zip(saved["stages"], own["stages"], strict=True):
        for key, value in now.items():
            if key == "epochs" and now["schedule"] == "None":
                continue
            if before.get(key) != value:
                raise CheckpointError(
                    f"{path}: stage {now['name']!r} was started with {key} {before.get(key)!r}, "
                    f"this run has {value!r}; resume with the same settings"
                )
