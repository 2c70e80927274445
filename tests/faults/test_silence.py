"""What teaches nothing is said: labels without a neuron, rewards that come too late, silent layers and critics.

Where the call itself cannot be meant it is refused; where only the data show it, `fit` warns once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import threegen as tg
from threegen.cli import run as command
from threegen.errors import ConfigError, DataError
from threegen.randomness import make_generator
from threegen.rules.rule import NO_NEURON_HAS_FIRED
from threegen.runs.answer import evaluate_run, predict_run
from threegen.runs.run import open_run
from threegen.runs.train import train_run

EXAMPLES = 12
X = torch.rand(EXAMPLES, 8, generator=make_generator("inputs"))
BINARY = X.round()
FRAMES = (torch.rand(EXAMPLES, 6, 8, generator=make_generator("frames")) < 0.5).float()
MAPS = torch.rand(EXAMPLES, 2, 5, 5, generator=make_generator("maps")).mul(14).round()
LABELS = torch.arange(EXAMPLES) % 3


def layer(**settings: Any) -> nn.Module:
    return tg.models.PlasticLayer(8, 3, threshold=0.2, generator=make_generator(0), **settings)


def decision() -> nn.Module:
    return tg.models.DecisionConv(2, 6, 3, classes=3, generator=make_generator(0))


def competing(neurons: int = 6, **settings: Any) -> tg.DiehlCook:
    return tg.DiehlCook(neurons, inputs=8, classes=3, variant="faster", generator=make_generator(0), **settings)


def critic() -> Any:
    return tg.rules.SpikeCritic(3)


# Every rule that uses labels, with a net of three classes: (net, rule, inputs).
TAUGHT: dict[str, Callable[[], tuple[nn.Module, Any, Tensor]]] = {
    "Backprop": lambda: (tg.MLP([8, 3]), tg.Backprop(), X),
    "Backprop, mean squares": lambda: (tg.MLP([8, 3]), tg.Backprop("mse"), X),
    "Backprop, spiking": lambda: (tg.SpikingMLP([8, 4, 3], steps=2), tg.Backprop(), X),
    "PerceptronRule": lambda: (tg.Perceptron(8, 3), tg.PerceptronRule(), X),
    "DeltaRule": lambda: (tg.models.Perceptron(8, 3), tg.rules.DeltaRule(), X),
    "ContrastiveDivergence": lambda: (tg.models.ClassificationRBM(8, 3, 4), tg.ContrastiveDivergence(), BINARY),
    "HybridLearning": lambda: (tg.models.ClassificationRBM(8, 3, 4), tg.rules.HybridLearning(), BINARY),
    "WakeSleep": lambda: (tg.DBN([8, 5, 4, 6], classes=3), tg.WakeSleep(), BINARY),
    "pretraining": lambda: (net := tg.DBN([8, 5, 4, 6], classes=3), tg.pretraining(net, epochs=1), BINARY),
    "MSTDP": lambda: (layer(), tg.rules.MSTDP(critic()), FRAMES),
    "MSTDPET": lambda: (layer(), tg.rules.MSTDPET(critic()), FRAMES),
    "MSTDP, one verdict": lambda: (layer(), tg.rules.MSTDP(tg.rules.AnswerCritic(3, 4)), FRAMES),
    "RewardSTDP": lambda: (decision(), tg.RewardSTDP(3), MAPS),
    "AssignLabels": lambda: (competing(), tg.rules.AssignLabels(), X),
    "stages of Diehl and Cook": lambda: (
        net := competing(), tg.registry.stdp_stages(net, tg.DiehlCookSTDP(), batch_size=4), X,
    ),
    "self-organisation": lambda: (
        net := tg.Neocognitron2003(3, shape=(1, 12, 12), planes=(8, 8, 8)),
        tg.registry.self_organisation(net, digits=EXAMPLES),
        torch.rand(EXAMPLES, 1, 12, 12, generator=make_generator("pictures")),
    ),
    "self-organisation without labels": lambda: (
        net := tg.models.Neocognitron1980(3, shape=(1, 16, 16), planes=4),
        tg.registry.self_organisation(net, digits=EXAMPLES),
        torch.rand(EXAMPLES, 1, 16, 16, generator=make_generator("pictures")),
    ),
}  # fmt: skip


def learn(net: nn.Module, rule: Any, x: Tensor, labels: Tensor | None = LABELS) -> None:
    settings: dict[str, Any] = {"epochs": 1, "batch_size": 4} if isinstance(rule, tg.Rule) else {}
    tg.fit(net, rule, tg.Dataset(x, labels), progress=False, **settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("name", TAUGHT)
def test_a_label_without_a_class_is_refused(name: str, label: int) -> None:
    net, rule, x = TAUGHT[name]()
    labels = LABELS.clone()
    labels[-1] = label
    with pytest.raises(DataError, match=rf"label.* {label} "):
        learn(net, rule, x, labels)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TAUGHT)
def test_the_labels_that_exist_are_taken(name: str) -> None:
    learn(*TAUGHT[name]())


@pytest.mark.parametrize("judge", [tg.rules.SpikeCritic(3), tg.rules.AnswerCritic(3, 0)])
@pytest.mark.parametrize("label", [3, -1])
def test_critics_refuse_a_class_that_they_do_not_know(judge: Any, label: int) -> None:
    with pytest.raises(DataError, match=rf"label {label} has no neurons: the critic knows the classes 0\.\.2"):
        judge(torch.ones(1, 6), torch.tensor(label))


def test_spikes_are_not_counted_for_a_class_that_does_not_exist() -> None:
    net = competing()
    with pytest.raises(DataError, match=r"label 3 at index 1 is outside 0\.\.2"):
        net.add_responses(torch.ones(2, 6), torch.tensor([0, 3]))
    assert int(net.examples.sum()) == 0


def test_rule_and_layer_must_have_the_same_classes() -> None:
    with pytest.raises(ConfigError, match="RewardSTDP teaches 2 classes and DecisionConv answers 3"):
        learn(decision(), tg.RewardSTDP(2), MAPS, LABELS % 2)


def test_a_class_without_a_map_is_refused() -> None:
    with pytest.raises(ConfigError, match="6 neurons are too few for 7 classes"):
        learn(tg.models.OrderedConv(2, 6, 3), tg.RewardSTDP(7), MAPS)
    with pytest.raises(ConfigError, match="3 neurons are too few for 4 classes"):
        learn(layer(), tg.rules.MSTDP(tg.rules.SpikeCritic(4)), FRAMES)


@pytest.mark.parametrize("judge", [tg.rules.SpikeCritic(3, delay=6), tg.rules.AnswerCritic(3, 6)])
@pytest.mark.parametrize("rule", [tg.rules.MSTDP, tg.rules.MSTDPET])
def test_a_reward_after_the_stimulus_has_ended_is_refused(rule: Any, judge: Any) -> None:
    net = layer()
    before = net.weight.clone()
    with pytest.raises(ConfigError, match=r"follows step 6 .* end after 6 steps: nothing would be learned"):
        learn(net, rule(judge), FRAMES)
    assert torch.equal(net.weight, before)


@pytest.mark.filterwarnings("ignore")
def test_a_reward_at_the_last_step_is_taken() -> None:
    learn(layer(), tg.rules.MSTDPET(tg.rules.SpikeCritic(3, delay=5)), FRAMES)
    learn(layer(), tg.rules.MSTDPET(tg.rules.AnswerCritic(3, 5)), FRAMES)


def silent() -> nn.Module:
    net = layer()
    with torch.no_grad():
        net.weight.fill_(1e-4)  # type: ignore[operator]
    return net


SILENT: dict[str, Callable[[], tuple[nn.Module, Any, Tensor]]] = {
    **{
        f"{rule.__name__} ({', '.join(options)})": lambda rule=rule, own=options: (silent(), rule(**own), FRAMES)
        for rule, options in [
            (tg.PairSTDP, {}), (tg.PairSTDP, {"backend": "plain"}), (tg.rules.TripletSTDP, {}),
            (tg.rules.PostPre, {}), (tg.rules.PowerLawSTDP, {}), (tg.rules.ExponentialSTDP, {}),
            (tg.rules.SymmetricSTDP, {}), (tg.rules.MSTDP, {"critic": critic()}),
            (tg.rules.MSTDPET, {"critic": critic()}),
        ]
    },
    "OrderBasedSTDP": lambda: (
        tg.models.OrderedConv(2, 6, 3, threshold=1e6), tg.rules.OrderBasedSTDP(), MAPS
    ),
    "RewardSTDP": lambda: (decision(), tg.RewardSTDP(3), torch.full_like(MAPS, 15.0)),
    "DiehlCookSTDP": lambda: (competing(), tg.DiehlCookSTDP(), torch.zeros(EXAMPLES, 8)),
    "AssignLabels": lambda: (competing(), tg.rules.AssignLabels(), torch.zeros(EXAMPLES, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_a_silent_layer_is_said_once(name: str) -> None:
    net, rule, x = SILENT[name]()
    data = tg.Dataset(x, LABELS)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tg.fit(net, rule, data, epochs=3, batch_size=4, progress=False)
    said = [str(one.message) for one in caught if "has learned nothing from" in str(one.message)]
    owner = f"{type(rule).__name__} has learned nothing from {type(net).__name__}"
    assert said == [f"{owner} in {EXAMPLES} examples: {NO_NEURON_HAS_FIRED}"]


def test_a_critic_that_never_speaks_is_said() -> None:
    with pytest.warns(
        UserWarning, match="MSTDP has learned nothing from PlasticLayer in 12 examples: no reward was given"
    ):
        learn(layer(), tg.rules.MSTDP(lambda spikes, target: spikes.new_zeros(())), FRAMES)


def test_a_layer_that_fires_is_not_warned_of() -> None:
    learn(layer(), tg.PairSTDP(), FRAMES)
    learn(layer(), tg.rules.MSTDP(critic()), FRAMES)
    last_is_blank = FRAMES.clone()
    last_is_blank[3::4] = 0  # the last example of every batch
    learn(layer(), tg.PairSTDP(), last_is_blank)


def test_classes_without_a_neuron_are_named() -> None:
    """One neuron cannot stand for three classes; with votes in proportion it answers all that it was shown."""
    net = competing(1)
    with pytest.warns(UserWarning, match=r"no neuron has the class \d, \d, which is never answered"):
        learn(net, tg.rules.AssignLabels(), X)
    assert len(net.unanswerable) == 2
    few = competing(1, readout="proportion")
    with pytest.warns(UserWarning, match="no neuron has the class 2, which"):
        learn(few, tg.rules.AssignLabels(), X, LABELS.clamp(max=1))
    learn(competing(1, readout="proportion"), tg.rules.AssignLabels(), X)


# -- an answer where there is none ------------------------------------------------------------------------------------

READOUTS = pytest.mark.parametrize("readout", ["vote", "proportion", "likelihood"])


@READOUTS
def test_diehl_and_cook_before_labels_is_undecided(readout: str) -> None:
    found = tg.evaluate(competing(readout=readout), tg.Dataset(X, LABELS))
    assert found.undecided == EXAMPLES
    assert "100.00% undecided" in str(found)


@READOUTS
def test_examples_for_which_diehl_and_cook_are_silent_are_undecided(readout: str) -> None:
    net = competing(readout=readout)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="no neuron has the class")
        learn(net, tg.registry.stdp_stages(net, tg.DiehlCookSTDP(), epochs=2, batch_size=4), X)
    half = X.clone()
    half[::2] = 0
    found = tg.evaluate(net, tg.Dataset(half, LABELS))
    assert found.undecided == EXAMPLES // 2
    assert "50.00% undecided (all scores equal, counted as the first class)" in str(found)


def test_a_run_says_that_it_is_undecided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table with blank rows: evaluate and predict of a trained Diehl and Cook's network, also as commands."""
    values = [f"{k % 2},{k % 2},{1 - k % 2},{k % 7 / 10},{k % 11 / 11}" for k in range(90)]
    rows = [f"{'0,0,0,0,0' if k % 3 == 0 else lit}\n" for k, lit in enumerate(values)]
    (tmp_path / "rows.csv").write_text("label,a,b,c,d\n" + "".join(rows))
    run = str(tmp_path / "run")
    train_run(
        "diehl-cook", tmp_path / "rows.csv", mode="quick", batch_size=4, options={"neurons": 6, "images": 60}, out=run
    )
    test = open_run(run).load_data().test
    blank = test.inputs.flatten(1).sum(1) == 0
    assert 0 < int(blank.sum()) < len(test)
    assert evaluate_run(run).as_dict()["undecided"] == int(blank.sum())
    silent, lit = str(int(blank.nonzero()[0])), str(int((~blank).nonzero()[0]))
    assert predict_run(run, silent)["answer"] is None
    assert predict_run(run, lit)["answer"] in ("0", "1")
    assert command(["evaluate", run]) == command(["predict", run, silent]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "% undecided (all scores equal, counted as the first class)" in said
    assert "undecided (all scores equal, counted as the first class)" in said
