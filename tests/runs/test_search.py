"""`threegen search` and searches that several processes share."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import threegen as tg
from threegen.cli import run
from threegen.errors import ConfigError
from threegen.runs.run import load_run

COMMAND = ["search", "mlp", "--space", "lr=log:1e-3:1e-1", "--trials", "4", "--epochs", "2", "--examples", "100"]


def test_the_command_leaves_table_picture_and_winner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found"
    more = ["--set", "hidden=[8]", "--out", str(out), "--train-best", "--quiet", "--halving"]
    assert run([*COMMAND, *more, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["table"]) == 4
    assert {"lr", "accuracy", "low", "high", "epochs", "state"} <= set(found["table"][0])
    assert (out / "best.png").exists()
    assert json.loads((out / "table.json").read_text())["table"] == found["table"]
    assert load_run(out / "best")(tg.load_data("mnist").test.take(3).inputs).shape == (3, 10)
    assert run([*COMMAND, *more]) == 2
    assert "--resume" in capsys.readouterr().err
    assert run([*COMMAND, *more[:-1], "--out", str(tmp_path / "other")]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_a_bad_space_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["search", "mlp", "--space", "lr"]) == 2
    assert "setting=range" in capsys.readouterr().err


SHARE = """
import sys, threegen as tg
from threegen.runs import search as rooms
data = tg.load_data("mnist").train.take(120)
result = tg.search("mlp", {"lr": "log:1e-3:1e-1", "hidden": "sizes:8,12"}, data, trials=int(sys.argv[2]),
                   epochs=int(sys.argv[3]), batch_size=4, storage="journal:" + sys.argv[1], sampler="random")
print(len(result.trials), len({trial.number for trial in result.trials}), all(t.epochs for t in result.trials))
"""


def start(journal: Path, trials: int, epochs: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SHARE, str(journal), str(trials), str(epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def test_two_processes_share_a_journal_and_a_killed_one_loses_nothing(tmp_path: Path) -> None:
    """The killed process's trial is handed out again; all that had ended are in the second one's table."""
    optuna = pytest.importorskip("optuna")
    from threegen.runs.shared_search import open_storage

    journal = tmp_path / "journal"
    first, second = start(journal, 8, 12), start(journal, 8, 12)
    storage, ended = None, 0
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        time.sleep(0.1)
        if not journal.exists():
            continue
        storage = storage or open_storage(optuna, f"journal:{journal}")
        studies = storage.get_all_studies()
        trials = storage.get_all_trials(studies[0]._study_id) if studies else []
        ended = sum(trial.state.is_finished() for trial in trials)
        own = [t for t in trials if t.state.name == "RUNNING" and t.user_attrs.get("process", [0, 0])[1] == first.pid]
        if ended >= 2 and own:
            break
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=100)  # closes its pipe too
    said, _ = second.communicate(timeout=100)
    count, different, learnt = said.split()
    assert int(count) == int(different) >= 8
    assert learnt == "True"
    trials = storage.get_all_trials(storage.get_all_studies()[0]._study_id)
    assert sum(trial.state.name == "COMPLETE" for trial in trials) == int(count)
    failed = [trial for trial in trials if trial.state.name == "FAIL"]
    assert len(failed) == 1
    assert any(trial.user_attrs.get("again") == failed[0].number for trial in trials)


def test_what_the_stack_alone_offers_is_refused_with_optuna() -> None:
    data = tg.load_data("mnist").train.take(50)
    with pytest.raises(ConfigError, match="Optuna"):
        tg.search("mlp", {"lr": "log:1e-3:1e-1"}, data, trials=2, epochs=3, halving=True, sampler="tpe")
    with pytest.raises(ConfigError, match="journal:PATH"):
        tg.search("mlp", {"lr": "log:1e-3:1e-1"}, data, trials=2, epochs=3, storage="nonsense")
    with pytest.raises(ConfigError, match="sampler"):
        tg.search("mlp", {"lr": "log:1e-3:1e-1"}, data, trials=2, epochs=3, sampler="grid")
