"""A resumed run ends in the bits of the run that never stopped, wherever it was stopped and however often."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError, ConfigError, Interrupted
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP
from threegen.rules.backprop import Backprop
from threegen.rules.perceptron import PerceptronRule
from threegen.rules.rule import Rule, Step
from threegen.training.fit import Callback, Training, fit
from threegen.training.log import TrainingLog, read_lines
from threegen.training.optimizers.build import optimizer
from threegen.training.persistence.checkpoint import list_checkpoints, load_facts
from threegen.training.schedules import EpochSteps, RateSchedule
from threegen.training.stages import Stage
from threegen.training.stopping import EarlyStopping

Build = Callable[[], nn.Module]
Job = Callable[..., tuple[nn.Module, TrainingLog]]


class PulledPlugError(Exception):
    """Stands for any crash."""


class PullPlug(Callback):
    """Raises after a given number of updates."""

    def __init__(self, updates: int) -> None:
        self.updates = updates

    def on_step(self, run: Training, step: Step) -> None:
        if run.progress.updates == self.updates:
            raise PulledPlugError


def seeded(number: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def dense(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    model = MLP([12, 16, 4], dropout=0.3, batch_norm=True, generator=seeded())
    log = fit(model, Backprop(), data, optimizer="adam", epochs=3, batch_size=16, schedule="one-cycle",
              clip_norm=0.5, **settings)  # fmt: skip
    return model, log


def spiking(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    model = SpikingMLP([12, 16, 4], steps=3, generator=seeded())
    return model, fit(model, Backprop("mse"), data, optimizer="momentum", epochs=3, batch_size=16, **settings)


def keras(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    model = MLP([12, 16, 4], dropout=0.3, generator=seeded())
    return model, fit(model, Backprop(), data, optimizer="keras-rmsprop", epochs=3, batch_size=16, **settings)


def perceptron(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    model = Perceptron(12, 4, averaged=True)
    return model, fit(model, PerceptronRule(), data, epochs=3, batch_size=16, **settings)


def loader(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    """Order from torch's own generator, which dropout draws from too."""
    assert data.targets is not None
    source = DataLoader(TensorDataset(data.inputs, data.targets), batch_size=16, shuffle=True)
    model = MLP([12, 16, 4], dropout=0.3, generator=seeded())
    return model, fit(model, Backprop(), source, epochs=3, **settings)


def loader_with_generator(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    """Order from generators that the user made: one of the loader, one of its sampler."""
    assert data.targets is not None
    pairs = TensorDataset(data.inputs, data.targets)
    sampler = RandomSampler(pairs, replacement=True, generator=seeded(7))
    source = DataLoader(pairs, batch_size=16, sampler=sampler, generator=seeded(8))
    model = MLP([12, 16, 4], dropout=0.3, generator=seeded())
    stages = [Stage("one", Backprop(), epochs=1), Stage("two", Backprop(), optimizer="sgd", epochs=2)]
    return model, fit(model, stages, source, **settings)


def stages(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    """Begin and end draw random numbers and freeze a layer; the second stage sees other data."""
    model = MLP([12, 16, 4], dropout=0.3, batch_norm=True, generator=seeded())
    first: nn.Linear = model.layers.linear1  # type: ignore[assignment]

    def shake() -> None:
        with torch.no_grad():
            first.weight += 0.01 * torch.rand_like(first.weight)
        first.requires_grad_(False)

    def noisy(given: Dataset) -> Dataset:
        return Dataset(given.inputs + 0.1 * torch.randn(given.inputs.shape), given.targets)

    return model, fit(
        model,
        [
            Stage("one", Backprop("sse"), optimizer="adagrad", epochs=2, batch_size=16, begin=lambda: None),
            Stage("two", Backprop(), transform=noisy, optimizer=optimizer("adamw", weight_decay=0.1), epochs=1,
                  batch_size=10, begin=shake, end=lambda: first.requires_grad_(True)),
        ],
        data,
        **settings,
    )  # fmt: skip


def stopping(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    """A rate that is too high, so that the best epoch is not the last one."""
    model = MLP([12, 16, 4], dropout=0.3, generator=seeded())
    watch = EarlyStopping(2, "validation_loss")
    log = fit(model, Backprop(), data, optimizer="sgd", lr=3.0, epochs=6, batch_size=16, validation=data,
              stopping=watch, **settings)  # fmt: skip
    return model, log


class Remembers(Rule):
    """A rule with a state of its own and a value that a schedule changes."""

    def __init__(self) -> None:
        self.scale = 1.0
        self._trace = torch.zeros(4, 12)

    def __call__(self, model: nn.Module, batch: Any, generator: torch.Generator) -> Any:
        with torch.no_grad():
            noise = torch.rand(batch.inputs.shape, generator=generator)
            self._trace = 0.9 * self._trace + self.scale * (batch.inputs * noise).mean(0)
        model.weight.grad = self._trace.clone()  # type: ignore[union-attr]
        from threegen.rules.rule import Update

        yield Update(size=self._trace.norm())

    def state_dict(self) -> dict[str, Tensor]:
        return {"trace": self._trace}

    def load_state_dict(self, state: Any) -> None:
        self._trace = state["trace"]


def remembers(data: Dataset, **settings: Any) -> tuple[nn.Module, TrainingLog]:
    model = nn.Linear(12, 4)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    schedule = EpochSteps("scale", {0: 1.0, 1: 2.0, 2: 5.0})
    return model, fit(model, Remembers(), data, lr=0.1, epochs=3, batch_size=16, schedule=schedule, **settings)


JOBS: dict[str, Job] = {
    job.__name__: job
    for job in (dense, spiking, keras, perceptron, loader, loader_with_generator, stages, stopping, remembers)
}


def assert_same(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), f"{name} differs"


def assert_same_log(one: TrainingLog, other: TrainingLog) -> None:
    def timeless(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in record.items() if name != "seconds"} for record in records]

    assert one.steps == other.steps
    assert timeless(one.epochs) == timeless(other.epochs)
    assert one.stopped == other.stopped


@pytest.mark.parametrize("every", [None, 3])
@pytest.mark.parametrize("at", [1, 4, 7, 8, 16])
@pytest.mark.parametrize("name", JOBS)
def test_a_crash_in_mid_epoch(name: str, at: int, every: int | None, data: Dataset, tmp_path: Path) -> None:
    """An epoch has 7 batches (of the perceptron: as many updates as mistakes); the crash comes after update `at`."""
    whole, log = JOBS[name](data)
    out = tmp_path / "run"
    with pytest.raises(PulledPlugError):
        JOBS[name](data, out=out, checkpoint_every=every, callbacks=[PullPlug(at)])
    resumed, resumed_log = JOBS[name](data, out=out, resume=True, checkpoint_every=every)
    assert_same(whole, resumed)
    assert_same_log(log, resumed_log)
    lines = read_lines(out / "steps.jsonl")
    assert lines == resumed_log.steps  # none missing, none doubled
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("name", ["dense", "loader_with_generator", "stages", "stopping"])
def test_crashes_again_and_again(name: str, data: Dataset, tmp_path: Path) -> None:
    whole, log = JOBS[name](data)
    out = tmp_path / "run"
    for at in (2, 3, 5, 8, 9, 13, 20):
        try:
            JOBS[name](data, out=out, resume=out.exists(), checkpoint_every=1, callbacks=[PullPlug(at)])
        except PulledPlugError:
            continue
    resumed, resumed_log = JOBS[name](data, out=out, resume=True, checkpoint_every=1)
    assert_same(whole, resumed)
    assert_same_log(log, resumed_log)


@pytest.mark.parametrize("name", JOBS)
def test_a_finished_run_is_resumed_without_training(name: str, data: Dataset, tmp_path: Path) -> None:
    whole, log = JOBS[name](data, out=tmp_path / "run")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    resumed, resumed_log = JOBS[name](data, out=tmp_path / "run", resume=True, callbacks=[PullPlug(1)])
    assert_same(whole, resumed)
    assert_same_log(log, resumed_log)
    assert log.seconds == resumed_log.seconds
    assert not resumed.training
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_a_finished_run_may_be_given_more_epochs(data: Dataset, tmp_path: Path) -> None:
    def train(epochs: int, **settings: Any) -> tuple[nn.Module, TrainingLog]:
        model = MLP([12, 16, 4], dropout=0.3, batch_norm=True, generator=seeded())
        watch = EarlyStopping(9, "validation_loss")
        log = fit(model, Backprop(), data, epochs=epochs, batch_size=16, validation=data, stopping=watch, **settings)
        return model, log

    whole, log = train(5)
    train(2, out=tmp_path / "run")
    train(3, out=tmp_path / "run", resume=True)
    longer, longer_log = train(5, out=tmp_path / "run", resume=True)
    assert_same(whole, longer)
    assert_same_log(log, longer_log)
    with pytest.raises(CheckpointError, match=r"epochs 5, this run has 4; 5 epochs are done$"):
        train(4, out=tmp_path / "run", resume=True)


def test_a_stage_that_ended_early_is_not_trained_again(data: Dataset, tmp_path: Path) -> None:
    whole, log = stopping(data, out=tmp_path / "run")
    assert log.stopped
    resumed, _ = stopping(data, out=tmp_path / "run", resume=True)
    assert_same(whole, resumed)


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    whole, _ = dense(data)
    resumed, _ = dense(data, out=tmp_path / "run", resume=True)
    assert_same(whole, resumed)


# -- what must be the same, and what may differ ----------------------------------------------------------------------


def crashed(data: Dataset, out: Path, **settings: Any) -> None:
    with pytest.raises(PulledPlugError):
        simple(data, out, callbacks=[PullPlug(5)], checkpoint_every=2, **settings)


def simple(data: Dataset, out: Path, **settings: Any) -> TrainingLog:
    model = settings.pop("model", None) or MLP([12, 4], generator=seeded())
    chosen = {"optimizer": "adam", "epochs": 3, "batch_size": 16, **settings}
    return fit(model, chosen.pop("rule", Backprop()), chosen.pop("data", data), out=out, **chosen)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 1}, "was written with seed 0, this run has 1"),
        ({"batch_size": 8}, "stage 'train' was started with batch_size 16, this run has 8; resume with the same"),
        ({"optimizer": "sgd"}, "stage 'train' was started with optimizer 'adam', this run has 'sgd'"),
        ({"optimizer": optimizer("adam", lr=0.1)}, "with optimizer 'adam', this run has 'adam(lr=0.1)'"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=0.1)}, "with optimizer 'adam', this run has None"),
        ({"lr": 0.5}, "was started with lr None, this run has 0.5"),
        (
            {"rule": Backprop("mse")},
            "rule \"Backprop(loss='cross_entropy', of='scores')\", this run has \"Backprop(loss='mse', of='scores')\"",
        ),
        ({"schedule": RateSchedule(warmup=0.1)}, "schedule None, this run has \"RateSchedule(kind='cosine', w"),
        ({"shuffle": False}, "was started with shuffle True, this run has False"),
        ({"clip_norm": 1.0}, "was started with clip_norm None, this run has 1.0"),
        ({"model": nn.Linear(12, 4)}, "was written with class 'MLP', this run has 'Linear'"),
        ({"model": MLP([12, 5, 4])}, "layers.linear1.weight is [4, 12], the model has [5, 12]; build the model with"),
        ({"model": MLP([12, 4]).double()}, "layers.linear1.weight is torch.float32, the model has torch.float64"),
        ({"model": MLP([12, 4, 4])}, "has no layers.linear2.weight, which the model has; it was saved from another"),
    ],
)  # fmt: skip
def test_other_settings_are_refused_by_name(
    change: dict[str, Any], sentence: str, data: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    crashed(data, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError) as caught:
        simple(data, out, resume=True, **change)
    assert sentence in str(caught.value)
    assert str(out) in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_other_data_are_refused(data: Dataset, tmp_path: Path) -> None:
    crashed(data, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"was written with data\.examples 100, this run has 99"):
        simple(data.take(99), tmp_path / "run", resume=True)


def test_another_number_of_threads_warns(data: Dataset, tmp_path: Path) -> None:
    crashed(data, tmp_path / "run")
    torch.set_num_threads(2)
    with pytest.warns(UserWarning, match="was written with 1 threads, this process has 2; the resumed run is valid"):
        simple(data, tmp_path / "run", resume=True)


def test_another_torch_warns(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashed(data, tmp_path / "run")
    monkeypatch.setattr("threegen.training.session.versions", lambda: {"torch": "9.9", "machine": os.uname().machine})
    with pytest.warns(UserWarning, match=r"was written with torch .*, this process has torch 9\.9; the resumed run"):
        simple(data, tmp_path / "run", resume=True)


def test_a_folder_that_holds_a_run_is_not_overwritten_by_accident(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    crashed(data, out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="already holds a run; resume it"):
        simple(data, out)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    log = simple(data, out, overwrite=True, epochs=1)
    assert read_lines(out / "steps.jsonl") == log.steps
    assert len(log.steps) == 7
    assert len((out / "epochs.csv").read_text().splitlines()) == 2


def test_resume_needs_a_folder_that_is_there(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist; there is nothing to resume"):
        simple(data, tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(ConfigError, match="resume=True needs out="):
        fit(MLP([12, 4]), Backprop(), data, resume=True)


def test_at_most_two_checkpoints_are_kept(data: Dataset, tmp_path: Path) -> None:
    simple(data, tmp_path / "run", checkpoint_every=1)
    kept = list_checkpoints(tmp_path / "run" / "checkpoints")
    assert len(kept) == 2
    assert [load_facts(path)["progress"]["stage"] for path in kept] == [0, 1]


def test_tensorboard_events_of_work_done_anew_are_purged(data: Dataset, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    out = tmp_path / "run"
    crashed(data, out, tensorboard=True)
    time.sleep(1.1)  # event files are named after the second
    log = simple(data, out, resume=True, checkpoint_every=2, tensorboard=True)
    events = reader.EventAccumulator(str(out / "tensorboard")).Reload().Scalars("step/loss")
    assert [event.step for event in events] == list(range(21))
    assert [event.value for event in events] == pytest.approx([step["loss"] for step in log.steps])


# -- signals, in processes of their own ------------------------------------------------------------------------------

PROGRAM = """
import sys, time
from pathlib import Path
import torch
from threegen.datasets.dataset import Dataset
from threegen.errors import Interrupted
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit

torch.set_num_threads(1)
out, mode = Path(sys.argv[1]), sys.argv[2]
class Slow:
    def on_step(self, run, step):
        time.sleep(0.02)
        if run.progress.updates == 3:
            print("learning", flush=True)
x = torch.rand(100, 12, generator=torch.Generator().manual_seed(0))
model = MLP([12, 16, 4], dropout=0.3, batch_norm=True, generator=torch.Generator().manual_seed(1))
try:
    fit(model, Backprop(), Dataset(x, (x.sum(1) * 2).long() % 4, name="toy"), optimizer="adam", epochs=3, batch_size=16,
        schedule="one-cycle", clip_norm=0.5, out=None if mode == "nowhere" else out, callbacks=[Slow()],
        checkpoint_every=2)
except Interrupted as stop:
    print(stop)
    if mode == "leave":
        raise
    raise SystemExit(130)
"""


def start(out: Path, mode: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out), mode],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "learning\n", process.communicate()
    return process


def test_ctrl_c_finishes_the_update_saves_and_can_be_resumed(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "code")
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert told == f"training was interrupted; everything is saved in {out}\n"
    newest = load_facts(list_checkpoints(out / "checkpoints")[-1])["progress"]
    assert newest["updates"] == len(read_lines(out / "steps.jsonl")) >= 3
    assert not list(out.rglob(".*"))
    whole, _ = dense(data)
    resumed, _ = dense(data, out=out, resume=True, checkpoint_every=2)
    assert_same(whole, resumed)


def test_an_uncaught_ctrl_c_ends_like_any_other(tmp_path: Path) -> None:
    """Without a folder nothing can be saved; a script that does not catch it ends with a traceback."""
    process = start(tmp_path / "run", "nowhere")
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told == "training was interrupted\n"
    process = start(tmp_path / "run", "leave")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.splitlines()[-1].startswith("threegen.errors.Interrupted: training was interrupted; everything is")


def test_kill_minus_nine_in_mid_epoch(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, "code")
    process.kill()
    process.communicate(timeout=60)
    whole, log = dense(data)
    resumed, resumed_log = dense(data, out=out, resume=True, checkpoint_every=2)
    assert_same(whole, resumed)
    assert_same_log(log, resumed_log)


def test_ctrl_c_during_the_last_save_is_not_lost(data: Dataset, tmp_path: Path) -> None:
    class Late(Callback):
        def on_epoch(self, run: Training, record: dict[str, Any]) -> None:
            if record["epoch"] == 2:
                os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        dense(data, out=tmp_path / "run", callbacks=[Late()])
    assert caught.value.folder == str(tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    whole, _ = dense(data)
    resumed, _ = dense(data, out=tmp_path / "run", resume=True)
    assert_same(whole, resumed)


def test_resuming_does_not_change_the_threads_or_warn(data: Dataset, tmp_path: Path) -> None:
    crashed(data, tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simple(data, tmp_path / "run", resume=True)


def test_the_log_of_a_checkpoint_is_strict_json(data: Dataset, tmp_path: Path) -> None:
    simple(data, tmp_path / "run")
    for path in (tmp_path / "run").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
