"""A search that trains all networks of a round at once: `fit` is the oracle of each of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import threegen as tg
from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError, ConfigError, DataError
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.runs.search import search
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer as recipe
from threegen.training.search.halving import give_up_losers
from threegen.training.search.optimizers import StackedOptimizer
from threegen.training.search.results import SearchResult
from threegen.training.search.space import Choice, Numbers, draw_settings, read_range
from threegen.training.search.stacked import Group, group_trials
from threegen.training.search.trials import Trial, ranked

SPACE = {"lr": "log:1e-3:1e-1", "weight_decay": "log:1e-8:1e-2"}


def digits(count: int) -> Dataset:
    return tg.load_data("mnist").train.take(count)


def build(settings: Any, seed: int) -> MLP:
    return MLP(generator=torch.Generator().manual_seed(seed), **settings)


def trials_with(settings: list[dict[str, Any]]) -> list[Trial]:
    return [Trial(number, 0, own, seed=100 + number) for number, own in enumerate(settings)]


RATES = ("lr", "weight_decay", "momentum")


@pytest.mark.parametrize("kind", ["sgd", "momentum", "rmsprop", "adam"])
@pytest.mark.parametrize("way", ["plain", "widths", "dropout", "normalised"])
def test_each_network_of_a_stack_is_the_one_that_fit_trains_alone(kind: str, way: str) -> None:
    """Weights after three epochs agree to what float32 sums in another order leave."""
    data, judge = digits(130), tg.load_data("mnist").train.take(200)
    sizes = [[784, 20, 12, 10], [784, 30, 8, 10]] if way == "widths" else [[784, 20, 12, 10]] * 2
    more: dict[str, Any] = {"dropout": 0.3} if way == "dropout" else {"batch_norm": way == "normalised"}
    if way == "widths":
        more["activation"] = "sigmoid"
    rates = [{"lr": 0.003, "weight_decay": 0.01}, {"lr": 0.001, "weight_decay": 0.0}]
    if kind == "momentum":
        rates[1]["momentum"] = 0.5
    trials = trials_with([{"sizes": own, **more, **rate} for own, rate in zip(sizes, rates, strict=True)])

    def split(settings: Any) -> Any:
        own = {name: value for name, value in settings.items() if name not in RATES}
        return own, {name: settings[name] for name in RATES if name in settings}, kind, 50

    groups, alone = group_trials(trials, build, split, "cross_entropy")
    assert (len(groups), alone) == (1, [])
    for epoch in range(3):
        groups[0].run_epoch(epoch, data, judge)
    for place, trial in enumerate(trials):
        own, rate, _, _ = split(trial.settings)
        net = build(own, trial.seed)
        log = fit(
            net,
            Backprop(),
            data,
            optimizer=recipe(kind, **rate),
            epochs=3,
            batch_size=50,
            seed=trial.seed,
            validation=judge,
        )
        stacked = groups[0].stack.take(place)
        for name, value in net.state_dict().items():
            assert stacked[name].shape == value.shape
            if way == "normalised" and kind in ("rmsprop", "adam") and name.endswith(("bias", "running_mean")):
                continue  # a bias before a normalisation has the gradient 0: these optimisers scale up its rounding
            torch.testing.assert_close(stacked[name], value, rtol=2e-3, atol=2e-4)
        net.load_state_dict(stacked)
        for record, loss, accuracy in zip(log.epochs, trial.validation_loss, trial.validation_accuracy, strict=True):
            assert loss == pytest.approx(record["validation_loss"], rel=5e-3)
            # Two of 200 images; four where Adam scales up the rounding that a normalisation leaves of a zero gradient.
            allowed = 0.02 if way == "normalised" and kind == "adam" else 0.01
            assert abs(accuracy - record["validation_accuracy"]) <= allowed + 1e-9


@pytest.mark.parametrize("readout", ["rate", "potential"])
def test_spiking_nets_share_a_stack(readout: str) -> None:
    """Neurons with other constants in one stack; the spikes are those that `fit` draws with the same seed."""
    data, judge = digits(60), tg.load_data("mnist").train.take(90)
    trials = trials_with([{"decay": 0.3, "threshold": 0.4}, {"decay": 0.8, "threshold": 0.9}])

    def make(own: Any, seed: int) -> tg.SpikingMLP:
        drawn = torch.Generator().manual_seed(seed)
        return tg.SpikingMLP([784, 20, 10], steps=4, readout=readout, generator=drawn, **own)

    groups, alone = group_trials(trials, make, lambda own: (dict(own), {"lr": 0.1}, "sgd", 30), "cross_entropy")
    assert (len(groups), alone) == (1, [])
    for epoch in range(2):
        groups[0].run_epoch(epoch, data, judge)
    for place, trial in enumerate(trials):
        net = make(trial.settings, trial.seed)
        log = fit(
            net,
            Backprop(),
            data,
            optimizer=recipe("sgd", lr=0.1),
            epochs=2,
            batch_size=30,
            seed=trial.seed,
            validation=judge,
        )
        stacked = groups[0].stack.take(place)
        for name, value in net.state_dict().items():
            torch.testing.assert_close(stacked[name], value, rtol=1e-3, atol=1e-4)
        assert trial.validation_loss == pytest.approx([record["validation_loss"] for record in log.epochs], rel=1e-3)
    recurrent = trials_with([{"recurrent": True}])
    assert group_trials(recurrent, make, lambda own: (dict(own), {}, "sgd", 30), "mse")[1] == recurrent


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_plain_descent_is_autograd_and_an_optimiser(activation: str, loss: str) -> None:
    data = digits(40)
    rates = [{"lr": 0.1, "weight_decay": 0.02}, {"lr": 0.01}]
    groups = []
    for plain in (True, False):
        sizes = [[784, 9, 7, 10], [784, 12, 5, 10]]
        trials = trials_with([{"sizes": own, "activation": activation} for own in sizes])
        stacks, _ = group_trials(
            trials, build, lambda own, t=trials: (dict(own), rates[own["sizes"][1] == 12], "sgd", 20), loss
        )
        if not plain:
            stacks[0].optimizer.is_plain_descent = lambda: False  # type: ignore[method-assign]
        for epoch in range(3):
            stacks[0].run_epoch(epoch, data, data)
        groups.append(stacks[0])
    for place in (0, 1):
        fast, slow = (group.stack.take(place) for group in groups)
        for name, value in slow.items():
            torch.testing.assert_close(fast[name], value, rtol=1e-4, atol=1e-6)
        curves = [group.trials[place].training_loss for group in groups]
        assert curves[0] == pytest.approx(curves[1], rel=1e-5)


def test_convolutional_nets_share_a_stack() -> None:
    data = digits(60)
    trials = trials_with([{"lr": 0.05}, {"lr": 0.01}])
    make = lambda own, seed: LeNet5Modern(generator=torch.Generator().manual_seed(seed))  # noqa: E731
    groups, _ = group_trials(trials, make, lambda own: ({}, dict(own), "sgd", 30), "cross_entropy")
    for epoch in range(2):
        groups[0].run_epoch(epoch, data, data)
    for place, trial in enumerate(trials):
        net = make({}, trial.seed)
        fit(net, Backprop(), data, optimizer=recipe("sgd", **trial.settings), epochs=2, batch_size=30, seed=trial.seed)
        stacked = groups[0].stack.take(place)
        for name, value in net.state_dict().items():
            torch.testing.assert_close(stacked[name], value, rtol=1e-3, atol=1e-5)


def run(**more: Any) -> SearchResult:
    given: dict[str, Any] = {"trials": 12, "epochs": 5, "batch_size": 50, "seed": 3, "options": {"hidden": [20]}}
    return search("mlp", SPACE, digits(250), **{**given, **more})


def test_a_search_is_repeated_by_its_seed_and_narrows() -> None:
    one, again = run(rounds=2), run(rounds=2)
    assert one.table() == again.table()
    assert len(one.trials) == 24
    wide, narrow = (space["lr"] for space in one.spaces)
    assert isinstance(wide, Numbers)
    assert isinstance(narrow, Numbers)
    assert wide.low <= narrow.low < narrow.high <= wide.high
    best = sorted(one.rounds[0], key=lambda trial: (-trial.accuracy, trial.validation_loss[-1]))[:5]
    assert all(narrow.low <= trial.settings["lr"] <= narrow.high for trial in best)
    assert run(seed=4).table() != one.table()


@pytest.mark.parametrize("more", [{}, {"halving": True, "rungs": [1, 2]}, {"rounds": 2}])
def test_a_killed_search_ends_with_the_same_table(tmp_path: Path, more: dict[str, Any]) -> None:
    whole = run(options={"hidden": [20], "dropout": 0.2}, optimizer="adam", **more)

    class Kill(Exception):
        pass

    epochs = []

    def stop(trials: list[Trial]) -> None:
        epochs.append(1)
        if len(epochs) in (2, 6):
            raise Kill

    for resume in (False, True):
        with pytest.raises(Kill) if len(epochs) < 6 and (not resume or "rounds" in more) else _nothing():
            result = run(
                options={"hidden": [20], "dropout": 0.2},
                optimizer="adam",
                out=tmp_path,
                resume=resume,
                on_epoch=stop if not resume or "rounds" in more else None,
                **more,
            )
    if "rounds" in more:
        result = run(options={"hidden": [20], "dropout": 0.2}, optimizer="adam", out=tmp_path, resume=True, **more)
    assert result.table() == whole.table()
    assert [t.as_dict() for t in result.trials] == [t.as_dict() for t in whole.trials]
    again = run(options={"hidden": [20], "dropout": 0.2}, optimizer="adam", out=tmp_path, resume=True, **more)
    assert again.table() == whole.table()
    with pytest.raises(CheckpointError, match="started with seed=3"):
        run(options={"hidden": [20], "dropout": 0.2}, optimizer="adam", out=tmp_path, resume=True, seed=5, **more)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_halving_gives_up_the_worse_half() -> None:
    result = run(halving=True, rungs=[1, 2, 4])
    assert sorted(trial.epochs for trial in result.trials) == [1] * 6 + [2] * 3 + [4] * 1 + [5] * 2
    last = {trial.number for trial in result.trials if trial.state == "finished"}
    first = sorted(result.rounds[0], key=lambda t: (-t.validation_accuracy[0], t.validation_loss[0]))[:6]
    assert last <= {trial.number for trial in first}
    full = {trial.number: trial for trial in run().trials}
    for trial in result.trials:  # a network does not feel who shares its stack
        own = full[trial.number]
        assert trial.validation_accuracy == pytest.approx(own.validation_accuracy[: trial.epochs], abs=0.021)


def test_a_trial_that_diverges_says_so_and_the_others_go_on() -> None:
    space = {"lr": Choice((1e-2, 1e30))}
    result = search("mlp", space, digits(120), trials=8, epochs=3, batch_size=40, options={"hidden": [8]}, seed=1)
    states = {trial.settings["lr"]: trial.state for trial in result.trials}
    assert states == {1e-2: "finished", 1e30: "diverged"}
    assert result.trials[-1].state == "diverged"
    assert any("diverged" in note for note in result.notes())


def test_models_that_cannot_be_stacked_run_alone() -> None:
    def make(generator: torch.Generator, **own: Any) -> torch.nn.Module:
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
        torch.nn.init.normal_(net[1].weight, 0, 0.01, generator=generator)
        return net

    result = search(make, {"lr": "log:1e-3:1e-1"}, digits(120), trials=3, epochs=2, batch_size=40)
    assert [trial.state for trial in result.trials] == ["finished"] * 3
    assert all(trial.epochs == 2 for trial in result.trials)
    with pytest.raises(ConfigError, match="cannot be stacked"):
        search(make, {"lr": "log:1e-3:1e-1"}, digits(120), trials=3, epochs=2, halving=True)


def test_the_result_says_what_cannot_be_told_apart(tmp_path: Path) -> None:
    settings = [{"lr": 0.0099}, {"lr": 0.002}, {"lr": 1e-6}]
    trials = trials_with(settings)
    for trial, accuracy in zip(trials, (0.83, 0.76, 0.5), strict=True):
        trial.state = "finished"
        trial.validation_accuracy, trial.validation_loss = [0.1, accuracy], [2.0, 1 - accuracy]
        trial.training_accuracy = trial.training_loss = [0.1, 0.9]
    result = SearchResult([trials], [{"lr": read_range("lr", "log:1e-6:1e-2")}], 100, {})
    low, high = result.interval(result.best)
    assert (round(low, 2), round(high, 2)) == (0.74, 0.89)  # Wilson's interval of 83 in 100, by hand
    assert result.indistinguishable() == 2
    notes = " ".join(result.notes())
    assert "cannot be told apart" in notes
    assert "end of its range" in notes
    assert result.importance() == pytest.approx({"lr": 1.0})
    assert "0.0099" in str(result)
    assert result.figure(tmp_path / "best.png").stat().st_size > 1000
    json.dumps(result.as_dict())


def test_ranges_are_read_and_drawn() -> None:
    drawn = [draw_settings({"lr": read_range("lr", "log:1e-6:1e-2")}, 0, 0, n)["lr"] for n in range(400)]
    logs = torch.tensor(drawn).log10()
    assert -6 <= float(logs.min()) < -5.9
    assert -2.1 < float(logs.max()) <= -2
    assert abs(float(logs.mean()) + 4) < 0.2  # the mean of U(-6, -2); its standard error is .06
    whole = {read_range("n", "int:2:4").draw(torch.Generator().manual_seed(n)) for n in range(50)}
    assert whole == {2, 3, 4}
    assert read_range("hidden", "sizes:100x3,50") == Choice(([100, 100, 100], [50]))
    assert read_range("a", "choice:relu,0.5,true") == Choice(("relu", 0.5, True))


@pytest.mark.parametrize(
    ("space", "more", "sentence"),
    [
        ({"lr": "log:0:1"}, {}, "above 0"),
        ({"lr": "log:1"}, {}, "two numbers"),
        ({"lr": "1e-3"}, {}, "is not a range"),
        ({"lr": 1e-3}, {}, "is not a range"),
        ({"lr": "choice:a,b"}, {}, "lr of the space must be a finite number above 0.0, got 'a'"),
        ({"lr": "linear:-1:1"}, {}, "lr of the space must be .* above 0.0, got -1.0"),
        ({"weight_decay": "linear:-1:1"}, {}, "weight_decay of the space must be .* at least 0.0"),
        ({"momentum": "linear:0:1"}, {}, "momentum of the space must be .* below 1.0, got 1.0"),
        ({"batch_size": "linear:1:5"}, {}, "batch_size of the space must be a whole number"),
        ({"n": "int:1.5:3"}, {}, "two whole numbers"),
        ({"hidden": "sizes:10xa"}, {}, "layer sizes of at least 1"),
        ({"hidden": "sizes:0"}, {}, "layer sizes of at least 1"),
        ({"lr": "log:1e-3:1e-1"}, {"options": 3}, "options must be a dictionary"),
        ({"lr": "log:1e-3:1e-1"}, {"epochs": 1, "halving": True}, "needs at least 2"),
        ({"lr": "linear:2:1"}, {}, "lower and a higher"),
        ({}, {}, "at least one setting"),
        ({"droput": "linear:0:0.5"}, {}, "has no option 'droput'"),
        ({"momentum": "linear:0:0.9"}, {"optimizer": "adam"}, "no momentum"),
        ({"lr": "log:1e-3:1e-1"}, {"optimizer": "adm"}, "adam"),
        ({"lr": "log:1e-3:1e-1"}, {"resume": True}, "needs out="),
        ({"lr": "log:1e-3:1e-1"}, {"rungs": [9]}, "before the last"),
    ],
)
def test_what_cannot_work_is_one_sentence(space: dict[str, str], more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        search("mlp", space, digits(50), **{"trials": 2, "epochs": 3, **more})


def test_no_validation_data_is_one_sentence() -> None:
    with pytest.raises(DataError, match="validation"):
        search("mlp", {"lr": "log:1e-3:1e-1"}, digits(50), trials=2, epochs=1, holdout=0)
    for wrong in (Dataset(torch.rand(3, 1, 28, 28)), "mnist"):
        with pytest.raises(DataError, match="no labelled examples to judge by"):
            search("mlp", {"lr": "log:1e-3:1e-1"}, digits(50), trials=2, epochs=1, validation=wrong)  # type: ignore[arg-type]


def test_the_end_of_the_first_range_is_an_end_in_later_rounds_too() -> None:
    """.0095 is .3 % below the end of log:1e-6:1e-2, and not within a twentieth of the narrowed range."""
    first, second = trials_with([{"lr": 0.006}]), trials_with([{"lr": 0.0095}])
    for trials, accuracy in ((first, 0.7), (second, 0.8)):
        trials[0].state, trials[0].validation_accuracy, trials[0].validation_loss = "finished", [accuracy], [1.0]
    second[0].round = 1
    spaces = [{"lr": read_range("lr", text)} for text in ("log:1e-6:1e-2", "log:0.0042:0.01")]
    notes = SearchResult([first, second], spaces, 100, {}).notes()
    assert any("lr=0.0095 of the best trial is at the end of its range log:1e-06:0.01" in note for note in notes)


def test_importance_by_rank_and_by_optuna() -> None:
    """Accuracy is a peak in one setting and does not depend on the other: rank correlation sees neither, fANOVA one."""
    pytest.importorskip("optuna")
    settings = [
        {"lr": 0.1 * (number + 1), "width": [[10], [20]][number % 2], "decay": 0.01 * ((7 * number) % 20)}
        for number in range(20)
    ]
    trials = trials_with(settings)
    for trial in trials:
        trial.state = "finished"
        trial.validation_accuracy = [0.1, round(1 - abs(trial.settings["lr"] - 1.05), 6)]
    space = {"lr": Numbers(0.1, 2.0), "decay": Numbers(0.0, 0.2), "width": Choice(([10], [20]))}
    result = SearchResult([trials], [space], 100, {})
    ranks, shares = result.importance(), result.optuna_importance()
    assert set(ranks) == {"lr", "decay"}
    assert ranks["lr"] == pytest.approx(0.0, abs=1e-9)  # the tent is symmetrical
    assert shares is not None
    assert set(shares) == set(space)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["lr"] > 0.8
    assert "Optuna's fANOVA" in str(result)
    assert result.as_dict()["importance_by_optuna"] == result.optuna_importance()  # the forest is seeded


def test_importance_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    trials = trials_with([{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}, {"lr": 0.4}])
    for trial in trials:
        trial.state, trial.validation_accuracy, trial.validation_loss = "finished", [trial.settings["lr"]], [1.0]
    result = SearchResult([trials], [{"lr": Numbers(0.1, 0.4)}], 100, {})
    assert result.optuna_importance() is None
    assert result.importance() == {"lr": pytest.approx(1.0)}
    assert "fANOVA" not in str(result)


def test_ranking_and_optimisers_know_their_order() -> None:
    trials = trials_with([{}, {}, {}])
    trials[0].state, trials[1].state, trials[2].state = "diverged", "stopped", "finished"
    assert [trial.number for trial in ranked(trials)] == [2, 1, 0]
    with pytest.raises(ConfigError, match="optimizer"):
        StackedOptimizer("lbfgs", [{}], [])
    assert give_up_losers([]) == []
    assert issubclass(Group, object)
