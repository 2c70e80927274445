"""Trials that cannot be stacked: over several processes the results are those of one process, bit for bit."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.errors import ConfigError, ResourceError
from threegen.rules.backprop import Backprop
from threegen.runs import search_workers
from threegen.runs.search import search
from threegen.runs.trial_task import TrialTask
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer as recipe
from threegen.training.search.trials import Trial

SPACE = {"lr": "log:1e-3:1e-1", "decay": "linear:0.2:0.9"}
# a decay that is learnt is one of the things that a stack does not know
OPTIONS: dict[str, Any] = {"hidden": [12], "steps": 3, "learnable_decay": True}


def digits(count: int) -> Dataset:
    return tg.load_data("mnist").train.take(count)


def run(**more: Any) -> Any:
    own: dict[str, Any] = {"trials": 5, "epochs": 2, "batch_size": 20, "seed": 3, "options": OPTIONS}
    return search("spiking-mlp", SPACE, digits(60), **{**own, **more})


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Processes are worth starting at once; the list gets one entry for each that was started."""
    monkeypatch.setattr(search_workers, "WORTH", 0.0)
    started: list[int] = []
    begin = search_workers._start

    def start(folder: Path) -> Any:
        process = begin(folder)
        started.append(process.pid)
        return process

    monkeypatch.setattr(search_workers, "_start", start)
    return started


def test_two_processes_find_what_one_does(at_once: list[int]) -> None:
    shared = run(workers=2)
    assert len(at_once) == 2
    alone = run(workers=1)
    assert len(at_once) == 2
    assert [trial.as_dict() for trial in shared.trials] == [trial.as_dict() for trial in alone.trials]
    assert all(trial.epochs == 2 and trial.state == "finished" for trial in shared.trials)
    for pid in at_once:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_each_is_an_ordinary_run_of_fit(at_once: list[int]) -> None:
    found = run(workers=2, trials=3)
    trial = next(one for one in found.trials if one.number == 2)  # the first one was trained here
    parts = digits(60).holdout(12, seed=0)
    net = TrialTask("spiking-mlp", OPTIONS, {}, parts.train, parts.validation, 2, "mse").build(
        {**OPTIONS, "decay": trial.settings["decay"]}, trial.seed
    )
    log = fit(
        net,
        Backprop(found.facts["loss"]),
        parts.train,
        optimizer=recipe("sgd", lr=trial.settings["lr"]),
        epochs=2,
        batch_size=20,
        seed=trial.seed,
        validation=parts.validation,
    )
    assert trial.validation_loss == [record["validation_loss"] for record in log.epochs]
    assert len(at_once) == 2


def test_what_ended_before_a_kill_is_kept(tmp_path: Path) -> None:
    whole, trained = run(), []

    class Kill(Exception):
        pass

    def make(generator: torch.Generator, decay: float) -> Any:
        trained.append(decay)
        if len(trained) == 5 + 4:  # each network is built once to see whether it can be stacked
            raise Kill
        return tg.SpikingMLP([784, 12, 10], steps=3, learnable_decay=True, decay=decay, generator=generator)

    def go(**more: Any) -> Any:
        return search(
            make, SPACE, digits(60), trials=5, epochs=2, batch_size=20, seed=3, loss="mse", out=tmp_path, **more
        )

    with pytest.raises(Kill):
        go()
    trained.clear()
    resumed = go(resume=True)
    assert len(trained) == 5 + 2  # three had ended
    assert [trial.settings for trial in resumed.rounds[0]] == [trial.settings for trial in whole.rounds[0]]
    assert all(trial.state == "finished" for trial in resumed.trials)
    trained.clear()
    again = go(resume=True)
    assert again.table() == resumed.table()


def test_an_error_in_a_process_is_the_error(at_once: list[int]) -> None:
    """The second and later trials, which go to processes, have an option that the model refuses."""
    data, fixed = digits(40), {"optimizer": "sgd", "batch_size": 20}
    task = TrialTask("spiking-mlp", OPTIONS, fixed, data, data, 1, "mse")
    trials = [Trial(number, 0, {"lr": 0.1, "threshold": 0.5 - number}, number) for number in range(4)]
    ended: list[int] = []
    with pytest.raises(ConfigError, match=r"threshold must be a finite number above 0.0, got -"):
        search_workers.train_over_cores(task, 2, trials, lambda: ended.append(1))
    assert len(at_once) == 2
    assert ended == [1]


def test_a_process_that_dies_is_one_sentence(at_once: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    begin = search_workers._start

    def start(folder: Path) -> Any:
        process = begin(folder)
        process.send_signal(signal.SIGKILL)
        return process

    monkeypatch.setattr(search_workers, "_start", start)
    with pytest.raises(ResourceError, match=r"a process of the search ended.*use fewer workers"):
        run(workers=2)


def test_a_function_of_the_main_script_trains_here(at_once: list[int]) -> None:
    def make(generator: torch.Generator, decay: float) -> Any:  # a local function: no other process has it
        return tg.SpikingMLP([784, 8, 10], steps=2, learnable_decay=True, decay=decay, generator=generator)

    found = search(make, SPACE, digits(60), trials=3, epochs=1, workers=2)
    assert at_once == []
    assert len(found.trials) == 3
    with pytest.raises(ConfigError, match="workers must be"):
        run(workers=0)


MODULE = """
from threegen import SpikingMLP

def make(generator, decay):
    print("this must not come between the answers")
    return SpikingMLP([784, 12, 10], steps=3, learnable_decay=True, decay=decay, generator=generator)
"""


def test_a_function_of_a_module_goes_over_the_cores(
    at_once: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import nets_of_mine  # type: ignore[import-not-found]

    found = [search(nets_of_mine.make, SPACE, digits(60), trials=3, epochs=1, workers=count) for count in (2, 1)]
    assert len(at_once) == 2
    assert found[0].table() == found[1].table()
