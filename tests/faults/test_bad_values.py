"""Every public function and class over a table of bad values: only errors of ours come back.

Each callable of the table of public names is called with good arguments first, and then, for each argument in turn,
with every value of `BAD` in its place. What is allowed: an answer (some of the values are good ones somewhere), an
error of `threegen.errors`, and Python's own `TypeError` for a call that does not fit the signature. Torch's and numpy's
own errors, and tracebacks from inside, fail. Good arguments are found by name (`GOOD`), or for one callable (`OWN`).
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import threegen as tg
from threegen.errors import ThreegenError
from threegen.names import NAMESPACES, homes_of, load_name

X = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3
DATA = tg.Dataset(X, Y, ("a", "b", "c"), "toy")

BAD: dict[str, Any] = {
    "None": None,
    "a text": "nonsense",
    "an empty text": "",
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "an empty list": [],
    "a list of texts": ["a", "b"],
    "a mapping": {"a": 1},
    "an object": object(),
    "a function": lambda *_: None,
    "no examples": torch.zeros(0, 8),
    "NaN in a tensor": torch.full((6, 8), torch.nan),
    "another width": torch.rand(6, 5),
    "a scalar": torch.tensor(1.0),
    "whole numbers": torch.ones(6, 8, dtype=torch.int64),
    "float64": X.double(),
    "complex": torch.ones(6, 8, dtype=torch.complex64),
    "an array of texts": np.array(["a", "b"]),
}

# Not walked, with the reason.
SKIPPED = {
    "make_history": "trains a whole lineage; tests/report",
    "run_study": "trains; tests/studies",
    "train_run": "trains and writes; tests/runs/test_train.py",
    "search": "trains; tests/runs/test_search.py",
    "load_data": "reads MNIST for each value; tests/datasets",
    "check_model": "reports whatever a model does as broken promises; tests/contract",
    "check_rule": "reports whatever a rule does as broken promises; tests/contract",
    "run_rule": "carries a rule out as it is; tests/contract",
    "simulate_data": "a camera for each image; tests/datasets",
    "Maps": "a tensor that the package makes itself",
    "LevenbergMarquardt": "as Backprop",
    "ConvertedNet": "what convert makes; users do not build it",
}
# Plain records that the package fills itself: they hold what they get.
RECORDS = {
    "Record", "Batch", "Data", "Split", "Evaluation", "SearchResult", "Progress", "Summary", "Bill", "Row", "Cost",
    "Use", "Entry", "Plan", "Run", "Events", "Applied", "Update", "ContractViolation", "Loop", "Saccades", "Stroke",
    "Card", "ConversionReport", "ConversionWarning", "NirFile", "OnnxFile",
}  # fmt: skip


def events() -> Any:
    return tg.datasets.make_events([0, 10, 20], [1, 2, 3], [3, 2, 1], [0, 1, 0], height=5, width=5)


GOOD: dict[str, Callable[[], Any]] = {
    "sizes": lambda: [8, 5, 3],
    "inputs": lambda: 8,
    "outputs": lambda: 3,
    "visible": lambda: 8,
    "hidden": lambda: 4,
    "classes": lambda: 3,
    "neurons": lambda: 4,
    "channels": lambda: 2,
    "features": lambda: 3,
    "kernel": lambda: 3,
    "size": lambda: 4,
    "model": lambda: tg.MLP([8, 3]),
    "rule": tg.Backprop,
    "data": lambda: DATA,
    "training": lambda: DATA,
    "x": lambda: X,
    "events": events,
    "dbn": lambda: tg.DBN([8, 5, 4, 6], classes=3),
    "epochs": lambda: 1,
    "images": lambda: torch.rand(2, 1, 8, 8),
    "generator": torch.Generator,
}
OWN: dict[str, dict[str, Callable[[], Any]]] = {
    "unhealthy_layers": {"model": lambda: tg.SpikingMLP([8, 4, 3], steps=2)},
    "JoinedUnits": {"parts": lambda: (tg.neurons.BernoulliUnits(3), tg.neurons.SoftmaxUnits(2))},
    "SoftmaxUnits": {"groups": lambda: 2},
    "PlasticLayer": {"inputs": lambda: 8},
    "SpikingSequential": {"layers": lambda: [torch.nn.Linear(8, 3), tg.LIF()], "shape": lambda: (8,)},
    "SpikingConvNet": {"layers": lambda: "4C3-P2-3", "shape": lambda: (1, 8, 8)},
    "Neocognitron1980": {"shape": lambda: (1, 16, 16), "planes": lambda: 4},
    "AlexNet": {"width": lambda: 0.05},
    "binary_image": {"spikes": lambda: torch.ones(4, 2, 3)},
    "intensity_image": {"spikes": lambda: torch.ones(4, 2, 3)},
    "MSTDP": {"critic": lambda: tg.rules.SpikeCritic(3)},
    "MSTDPET": {"critic": lambda: tg.rules.SpikeCritic(3)},
    "AnswerCritic": {"at": lambda: 3},
    "PolicyGradient": {"environment": lambda: importlib.import_module("threegen.studies.pole").Poles()},
    "PlainSGD": {"groups": lambda: [{"lr": 0.1}]},
    "ascend": {"parameter": lambda: torch.nn.Parameter(X.clone()), "direction": lambda: X},
    "descend": {"parameter": lambda: torch.nn.Parameter(X.clone()), "direction": lambda: X},
    "Dataset": {"inputs": lambda: X, "classes": lambda: ("a", "b", "c"), "targets": lambda: Y},
    "crop": {"top": lambda: 0, "left": lambda: 0, "height": lambda: 3, "width": lambda: 3},
    "crop_time": {"start": lambda: 0, "end": lambda: 15},
    "drop": {"share": lambda: 0.5},
    "flip": {"axis": lambda: "horizontal"},
    "shrink": {"factor": lambda: 2},
    "without_hot_pixels": {"hertz": lambda: 100.0},
    "to_frames": {"steps": lambda: 2},
    "to_sliding_frames": {"window": lambda: 0.01, "stride": lambda: 0.01},
    "to_time_surface": {"steps": lambda: 2, "tau": lambda: 1.0},
    "to_voxel_grid": {"bins": lambda: 2},
    "make_events": {
        "t": lambda: [0, 10], "x": lambda: [1, 2], "y": lambda: [1, 2], "p": lambda: [0, 1],
        "height": lambda: 5, "width": lambda: 5,
    },
    "load_data": {"name": lambda: "mnist"},
    "mnist_form": {"ink": lambda: torch.rand(20, 20)},
    "mnist_form_of_strokes": {"strokes": lambda: [[(1.0, 1.0), (5.0, 9.0)]]},
    "simulate": {"images": lambda: torch.rand(1, 1, 4, 4), "camera": lambda: tg.datasets.Camera(height=6, width=6)},
    "StopAtDivergence": {"bound": lambda: 1.0},
    "optimizer": {"name": lambda: "sgd"},
    "Choice": {"values": lambda: (1, 2)},
    "Numbers": {"low": lambda: 0.1, "high": lambda: 1.0},
    "EpochSteps": {"name": lambda: "lr", "values": lambda: {0: 0.1}},
    "RuleValue": {"name": lambda: "steps", "first": lambda: 1.0, "last": lambda: 2.0},
    "Stage": {"name": lambda: "one"},
    "receptive_fields": {"model": lambda: tg.DiehlCook(4, inputs=8, classes=3), "shape": lambda: (2, 4)},
    "theta_histogram": {"theta": lambda: torch.rand(4)},
    "stdp_stages": {"model": lambda: tg.DiehlCook(4, inputs=8, classes=3), "rule": tg.DiehlCookSTDP},
    "convert": {"model": lambda: tg.MLP([8, 5, 3]), "calibrate": lambda: torch.rand(40, 8), "steps": lambda: 2},
    "compare": {"models": lambda: {"a": tg.MLP([8, 3]), "b": tg.MLP([8, 5, 3])}, "data": lambda: DATA},
    "export_nir": {"model": lambda: tg.SpikingMLP([8, 5, 3], steps=2), "file": lambda: "own.nir"},
    "export_onnx": {"model": lambda: tg.MLP([8, 3]), "file": lambda: "own.onnx"},
    "deep_reward_stages": {"model": tg.models.Mozafari2019},
    "kheradpisheh_stages": {"model": lambda: tg.models.Kheradpisheh2018(maps=(2, 3))},
    "fit_svm": {
        "model": lambda: tg.models.Kheradpisheh2018(3, shape=(1, 8, 8), maps=(2, 3)),
        "data": lambda: tg.Dataset(torch.rand(6, 1, 8, 8), Y[:6] % 3, ("a", "b", "c")), "most_passes": lambda: 2,
    },
    "shallow_reward_stages": {"model": lambda: tg.models.Mozafari2018(maps=10)},
    "Mozafari2018": {"classes": lambda: 10},
    "first_spike_gif": {"model": tg.models.Mozafari2019, "image": lambda: torch.rand(1, 28, 28)},
    "seen_sheet": {"model": tg.models.Mozafari2019, "layer": lambda: "s1"},
    "principal_colours": {"data": lambda: tg.Dataset(torch.rand(6, 3, 8, 8), Y[:6] % 3, ("a", "b", "c"))},
    "self_organisation": {
        "model": lambda: tg.models.Neocognitron1980(2, shape=(1, 16, 16), planes=4), "digits": lambda: 10,
    },
    "save_run": {
        "path": lambda: "own", "overwrite": lambda: True, "data": lambda: tg.Data("toy", DATA, DATA),
    },
    "fit": {"batch_size": lambda: 3},
    "SpikeHealth": {"x": lambda: X},
    "cut_gesture": {"gesture": lambda: importlib.import_module("threegen.datasets.events.aedat3").Gesture(1, 0, 15)},
    "EnergyTable": {
        "name": lambda: "mine", "title": lambda: "my chip", "source": lambda: "a data sheet", "accumulate": lambda: 2.0,
    },
    "up_down": {"epochs": lambda: 1},
    "Interrupted": {},
}  # fmt: skip
# Arguments for which some value of `BAD` still ends in an error of Python's, torch's or numpy's. A mended one fails the
# test until it is taken off this list.
OPEN: set[tuple[str, str]] = set()
SKIPPED_ARGUMENTS = {("load_data", "root"), ("fit", "callbacks")}


def walked() -> Iterator[tuple[str, Any]]:
    for namespace in NAMESPACES:
        for name, home in homes_of(namespace).items():
            if namespace != "errors" and name not in SKIPPED and name not in RECORDS:
                target = load_name(home, name)
                if inspect.isclass(target) or inspect.isfunction(target):
                    yield name, target


def arguments(name: str, target: Any) -> dict[str, Callable[[], Any]]:
    """Return what makes a good value of each required argument; the files of readers are missing ones."""
    own, made = OWN.get(name, {}), {}
    for argument in inspect.signature(target).parameters.values():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if argument.name in own:
            made[argument.name] = own[argument.name]
        elif argument.default is argument.empty:
            made[argument.name] = GOOD.get(argument.name, lambda: "missing.file")
    return made


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def trouble(call: Callable[[], object]) -> str:
    """Return what came back that must not, or an empty text."""
    try:
        with warnings.catch_warnings(), at_most(20):
            warnings.simplefilter("ignore")
            call()
    except ThreegenError:
        return ""
    except TypeError as problem:
        inner = (
            problem.__traceback__.tb_next.tb_next if problem.__traceback__ and problem.__traceback__.tb_next else None
        )
        return "" if inner is None else f"TypeError: {problem}"
    except Exception as problem:  # whatever else comes is what this test looks for
        return f"{type(problem).__name__}: {problem}"
    return ""


TARGETS = dict(walked())


@pytest.mark.parametrize("name", TARGETS)
def test_only_our_errors(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = TARGETS[name]
    good = arguments(name, target)
    names = [one for one in inspect.signature(target).parameters.values() if one.kind is not one.VAR_KEYWORD]
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    for argument, (label, value) in itertools.product(names, BAD.items()):
        if argument.kind is argument.VAR_POSITIONAL or (name, argument.name) in SKIPPED_ARGUMENTS:
            continue
        given = {key: make() for key, make in good.items()}
        given[argument.name] = value
        said = trouble(lambda given=given: target(**given))
        if said and (name, argument.name) in OPEN:
            seen.add((name, argument.name))
        elif said:
            found.append(f"{name}({argument.name}={label}) gave {said[:150]}")
    assert seen == {pair for pair in OPEN if pair[0] == name}, "an entry of OPEN is mended: take it off"
    assert not found, f"{len(found)} calls:\n" + "\n".join(found)


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in ("read_text",)])
def test_the_good_arguments_are_good(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the walk above would only ever see the first error; readers miss their file, which is an error of ours."""
    monkeypatch.chdir(tmp_path)
    given = {key: make() for key, make in arguments(name, TARGETS[name]).items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            TARGETS[name](**given)
    except ThreegenError as problem:
        if "missing.file" not in str(problem):
            pytest.fail(str(problem))
