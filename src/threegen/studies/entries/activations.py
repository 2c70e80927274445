"""The effect of initial values on the signals of five layers and on the gradients of nine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.gen2.initial_values import fill_weight
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import COLOURS, dress, lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy
from threegen.training.fit import fit

FUNCTIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
SCHEMES: dict[str, str | float] = {"1": 1.0, "0.01": 0.01, "xavier": "xavier", "he": "he"}
SAMPLES, UNITS, LAYERS, BINS = 1000, 100, 5, 30
DEPTH = 8  # hidden layers of the net whose gradients are measured


def signals(function: str, scheme: str | float, generator: torch.Generator) -> list[Tensor]:
    """Return the outputs `[SAMPLES, UNITS]` of each of five layers fed standard Gaussian numbers."""
    current, found = torch.randn(SAMPLES, UNITS, generator=generator), []
    for _ in range(LAYERS):
        weight = fill_weight(torch.empty(UNITS, UNITS), scheme, generator)
        current = FUNCTIONS[function](current @ weight.T)
        found.append(current)
    return found


def histograms(settings: Settings) -> dict[str, Any]:
    """Return means, deviations and histograms (of values in -1..1) of each layer for each function and scheme."""
    found: dict[str, Any] = {}
    for function in FUNCTIONS:
        low = -1.0 if function == "tanh" else 0.0
        for label, scheme in SCHEMES.items():
            layers = signals(function, scheme, make_generator(settings.seed, function, label))
            found[f"{function}, {label}"] = {
                "means": [float(one.mean()) for one in layers],
                "deviations": [float(one.std()) for one in layers],
                "histograms": [one.histc(BINS, low, 1.0).int().tolist() for one in layers],
            }
    return found


def fading_means(settings: Settings, seeds: int = 5) -> dict[str, Any]:
    """Return the layer means of relu with deviation 0.01 over several seeds."""
    rows = [
        [float(one.mean()) for one in signals("relu", 0.01, make_generator(settings.seed + seed, "fading"))]
        for seed in range(seeds)
    ]
    means = torch.tensor(rows, dtype=torch.float64).mean(0).tolist()
    return {"textbook": [0.0396, 0.00290, 0.000197, 1.32e-5, 9.46e-7], "mean over seeds": means, "seeds": rows}


def zeros(settings: Settings, data: Dataset) -> dict[str, Any]:
    """Train a net from zero weights and one from random ones; count how many hidden units differ."""
    found = {}
    for label, init in (("zeros", "zeros"), ("xavier", "xavier")):
        model = MLP([784, 20, 10], activation="sigmoid", init=init, generator=make_generator(settings.seed, "zeros"))
        fit(model, Backprop(), data, optimizer="sgd", lr=0.5, epochs=2, batch_size=50, seed=settings.seed)
        weight: Tensor = model.layers.linear1.weight.detach()  # type: ignore[union-attr,operator]
        coarse = (1000 * weight / weight.abs().max()).round()  # sums of 784 terms round a little differently
        found[label] = {
            "different hidden units": len(torch.unique(coarse, dim=0)),
            "training accuracy": accuracy(model, data),
        }
    return found


def gradient_norms(settings: Settings, data: Dataset) -> dict[str, Any]:
    """Return the norm of the loss's gradient at each layer of a deep net before training."""
    found: dict[str, Any] = {}
    for function, init in (("sigmoid", "xavier"), ("tanh", "xavier"), ("relu", "he")):
        sizes = [784, *[UNITS] * DEPTH, 10]
        model = MLP(sizes, activation=function, init=init, generator=make_generator(settings.seed, "norms", function))
        nn.functional.cross_entropy(model(data.inputs), data.targets).backward()  # type: ignore[arg-type,no-untyped-call]
        norms = [float(p.grad.norm()) for p in model.parameters() if p.dim() == 2 and p.grad is not None]
        found[function] = {"norms": norms, "first to last hidden": norms[0] / norms[DEPTH - 1]}
    return found


def measure(settings: Settings) -> dict[str, Any]:
    """Measure signals, the fading of relu, the start from zeros and gradients by depth."""
    train = load_data("mnist").train.take(2000)
    return {
        "signals": histograms(settings),
        "relu with deviation 0.01": fading_means(settings),
        "start from zeros": zeros(settings, train),
        "gradients": gradient_norms(settings, train.take(500)),
    }


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the histograms and the gradient norms."""
    figure, axes = panels(len(figures["signals"]), LAYERS, width=1.9, height=1.3, many=True)
    for row, (name, facts) in enumerate(figures["signals"].items()):
        low = -1.0 if name.startswith("tanh") else 0.0
        width = (1 - low) / BINS
        for column, counts in enumerate(facts["histograms"]):
            axis = axes[row * LAYERS + column]
            axis.bar([low + width * (bin + 0.5) for bin in range(BINS)], counts, width, color=COLOURS[row // 4])
            axis.set_ylim(0, min(max(counts), 30_000) * 1.05)
            axis.tick_params(labelsize=6, labelleft=False)
            dress(axis, title=name if column == 0 else f"layer {column + 1}")
            axis.title.set_fontsize(7)
    files = save(figure, folder, "histograms")
    figure, (axis,) = panels(width=6, height=3.8)
    curves = {name: facts["norms"] for name, facts in figures["gradients"].items()}
    lines(
        axis,
        curves,
        title="Gradient of the loss before learning",
        across="layer",
        up="norm of dE/dW",
        log=True,
        marker="o",
    )
    return files + save(figure, folder, "gradients")


STUDY = Study(
    name="activations",
    title="Signals, gradients and initial values",
    about="Wrong initial values saturate or silence deep layers, zeros keep all units equal, and sigmoids let the "
    "gradient vanish.",
    source="After Saito, Deep Learning from Scratch (2016), section 6.2; Glorot and Bengio (2010); He et al. (2015)",
    measure=measure,
    draw=draw,
)
