"""The limits of one layer: the sixteen functions of two bits, with step units and with sigmoid units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threegen.datasets.dataset import Dataset
from threegen.gen1.perceptron import Perceptron, SigmoidNeuron
from threegen.gen2.two_layer import TwoLayerNet
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.rules.perceptron import PerceptronRule
from threegen.studies.drawing import bars, lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.training.fit import fit

CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
NAMES = {"0001": "AND", "0111": "OR", "1110": "NAND", "1000": "NOR", "0110": "XOR", "1001": "XNOR"}
PASSES = 50


def table(bits: str) -> Tensor:
    """Return the function with the outputs `bits` at (0,0), (0,1), (1,0), (1,1) as labels [4]."""
    return torch.tensor([int(bit) for bit in bits])


def step_unit(bits: str, seed: int) -> bool:
    """Return whether Rosenblatt's rule finds weights that classify all four corners correctly."""
    unit, labels = Perceptron(2), table(bits)
    fit(unit, PerceptronRule(), Dataset(CORNERS, labels, ("0", "1")), epochs=PASSES, batch_size=4, seed=seed)
    return torch.equal(unit.predict(CORNERS), labels)


def step_by_step() -> list[int]:
    """Return XOR by three step units with weights from the textbook: AND of (NAND, OR)."""
    weights = {"NAND": (-0.5, -0.5, 0.7), "OR": (0.5, 0.5, -0.2), "AND": (0.5, 0.5, -0.7)}
    units = {}
    for name, (first, second, bias) in weights.items():
        units[name] = Perceptron(2)
        with torch.no_grad():
            units[name].weight.copy_(torch.tensor([[first, second]]))
            units[name].bias.fill_(bias)
    hidden = torch.cat([units["NAND"].fires(CORNERS), units["OR"].fires(CORNERS)], 1)
    return [int(bit) for bit in units["AND"].fires(hidden.float())[:, 0]]


def graded(model: torch.nn.Module, bits: str, epochs: int, rate: float, seed: int) -> dict[str, Any]:
    """Train a graded net on one function; return its outputs at the corners and its errors."""
    data = Dataset(CORNERS, table(bits).float().unsqueeze(1), name=bits)
    log = fit(model, Backprop("sse"), data, optimizer="sgd", lr=rate, epochs=epochs, batch_size=4, seed=seed)
    errors = [step["loss"] for step in log.steps]
    return {
        "outputs": model(CORNERS)[:, 0].tolist(),
        "last error": errors[-1],
        "errors": errors[:: max(1, epochs // 100)],
    }


def measure(settings: Settings) -> dict[str, Any]:
    """Try step units on all sixteen functions, sigmoid units on six of them, two layers on XOR."""
    seed = settings.seed
    names = [NAMES.get(f"{number:04b}", f"{number:04b}") for number in range(16)]
    learnt = [name for number, name in enumerate(names) if step_unit(f"{number:04b}", seed)]
    epochs = 1000 if settings.quick else 3000
    return {
        "functions a step unit learns": len(learnt),
        "functions it does not learn": [name for name in names if name not in learnt],
        "XOR by three step units set by hand": step_by_step(),
        "one sigmoid unit": {
            name: graded(SigmoidNeuron(2, generator=make_generator(seed, name)), bits, epochs, 4.0, seed)
            for bits, name in NAMES.items()
        },
        "two layers of sigmoid units on XOR": graded(
            TwoLayerNet(2, 5, generator=make_generator(seed, "two layers")), "0110", epochs, 8.0, seed
        ),
        "slope at 0": {"step": 0.0, "sigmoid": 0.25},
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw both kinds of units, and the errors on XOR of one and of two layers."""
    figure, axes = panels(1, 3, width=3.8)
    u = torch.linspace(-6, 6, 241)
    curves = {"step": (u > 0).float().tolist(), "sigmoid": torch.sigmoid(u).tolist()}
    lines(axes[0], curves, x=u.tolist(), title="A unit's answer", across="potential u", up="y")
    one = figures["one sigmoid unit"]
    bars(axes[1], {name: facts["last error"] for name, facts in one.items()}, title="One sigmoid unit", up="error left")
    errors = {"one layer": one["XOR"]["errors"], "two layers": figures["two layers of sigmoid units on XOR"]["errors"]}
    lines(axes[2], errors, title="XOR", across="training", up="error", log=True)
    axes[2].set_xticks([])
    return save(figure, folder, "units")


STUDY = Study(
    name="first-and-second-generation",
    title="What one layer cannot do",
    about="A step unit learns 14 of the 16 functions of two bits; XOR and its opposite need a hidden layer, and a "
    "hidden layer needs units with a slope.",
    source="Minsky and Papert, Perceptrons (1969); Rumelhart, Hinton and Williams (1986); weights after Saito (2016)",
    measure=measure,
    draw=draw,
)
