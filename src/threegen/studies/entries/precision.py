"""The number of bits that a weight needs: float32, bfloat16, int8 and less, and tuning after rounding."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from threegen.datasets.load import load_data
from threegen.gen2.mlp import MLP
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import dress, panels, save
from threegen.studies.quantised import in_int8, rounded_to, weight_bytes
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

SIZES = [784, 200, 100, 10]
BITS = (8, 4, 3, 2)


def measure(settings: Settings) -> dict[str, Any]:
    """Train once in float32, then evaluate with fewer bits; tune each rounded net for one more pass."""
    data = load_data("mnist")
    model = MLP(SIZES, init="he", generator=make_generator(settings.seed, "weights"))

    def learn(net: nn.Module, rate: float, epochs: int, title: str) -> None:
        fit(
            net,
            Backprop(),
            data.train,
            optimizer=optimizer("adam", lr=rate),
            schedule="linear",
            epochs=epochs,
            batch_size=128,
            seed=settings.seed,
            progress=settings.progress,
            title=title,
        )

    learn(model, 2e-3, 2 if settings.quick else 8, "float32")
    formats: dict[str, Any] = {
        "float32": {"bytes": weight_bytes(model, 32), "accuracy": accuracy(model, data.test)},
        "bfloat16": {
            "bytes": weight_bytes(model, 16),
            "accuracy": accuracy(copy.deepcopy(model).to(torch.bfloat16), data.test.to(dtype=torch.bfloat16)),
        },
        "int8": {
            "bytes": weight_bytes(model, 8),
            "accuracy": accuracy(nn.Sequential(nn.Flatten(), in_int8(model.layers)), data.test),
        },
    }
    rounded: dict[str, Any] = {}
    for bits in BITS:
        net = rounded_to(model, bits)
        before = accuracy(net, data.test)
        learn(net, 5e-4, 1 if settings.quick else 3, f"{bits} bits")
        rounded[f"{bits} bits"] = {
            "bytes": weight_bytes(model, bits),
            "accuracy": before,
            "accuracy after tuning": accuracy(net, data.test),
        }
    return {"parameters": sum(p.numel() for p in model.parameters()), "inference": formats, "rounded weights": rounded}


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw error against memory, before and after tuning."""
    figure, (axis,) = panels(width=6.4, height=4)
    for name, facts in figures["inference"].items():
        axis.plot(facts["bytes"] / 1024, 100 * (1 - facts["accuracy"]), "o", color="#16427a")
        axis.annotate(name, (facts["bytes"] / 1024, 100 * (1 - facts["accuracy"])), (5, 5), textcoords="offset points")
    rounded = figures["rounded weights"]
    sizes = [facts["bytes"] / 1024 for facts in rounded.values()]
    for label, key, colour in (("rounded", "accuracy", "#d9722e"), ("tuned", "accuracy after tuning", "#2f8f6b")):
        errors = [100 * (1 - facts[key]) for facts in rounded.values()]
        axis.plot(sizes, errors, "s-", color=colour, label=label, linewidth=1, markersize=4)
        for size, error, name in zip(sizes, errors, rounded, strict=True):
            if key == "accuracy" and name != "8 bits":  # int8 is already labelled
                axis.annotate(name, (size, error), (5, 5), textcoords="offset points", fontsize=8)
    axis.set(xscale="log", yscale="log", xlim=(min(sizes) * 0.85, 1100))
    axis.set_xticks([50, 100, 200, 400, 800], ["50", "100", "200", "400", "800"])
    axis.set_xticks([], minor=True)
    axis.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    axis.set_yticks([], minor=True)
    axis.legend(fontsize=8, frameon=False)
    dress(axis, title="784-200-100-10 on MNIST", across="weights, KiB", up="test error, %")
    return save(figure, folder, "precision")


STUDY = Study(
    name="precision",
    title="Fewer bits per weight",
    about="Halving or quartering the memory costs nearly no accuracy; at two or three bits it does, and tuning the "
    "rounded net recovers most of it.",
    source="Jacob et al., CVPR 2018; Courbariaux, Bengio and David, NeurIPS 2015, for training through the rounding",
    measure=measure,
    draw=draw,
)
