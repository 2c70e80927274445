"""LeNet-5 as in its paper."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen2.digit_codes import digit_codes
from threegen.gen2.lenet_5 import LeNet5
from threegen.registry.entry import Entry, Plan
from threegen.rules.levenberg_marquardt import LevenbergMarquardt
from threegen.training.optimizers.build import optimizer

RATE = 5e-4  # the paper's first rate, there for single examples, here for the mean over a batch
SLOW = 2.5e-4  # over 20 passes; see figures/entries/lenet_5.py


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if tuple(shape) != (1, 28, 28):
        raise ConfigError(f"lenet-5 takes grey images of 28 x 28, the data have {list(shape)}; choose lenet-5-modern")
    if classes > 10:
        raise ConfigError(f"lenet-5 has drawings of ten digits, the data have {classes} classes; pass codes to LeNet5")
    return LeNet5(codes=digit_codes()[:classes], generator=generator, **options)


ENTRY = Entry(
    name="lenet-5",
    title="LeNet-5",
    generation=2,
    year=1998,
    paper="LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, "
    "Proceedings of the IEEE 86 (1998) 2278-2324",
    about="Its output is a picture: the last units draw the digit, and the nearest of ten drawings is the answer.",
    equations="C1 6@28x28 - S2 - C3 16@10x10 by a table - S4 - C5 120 - F6 84 - ten fixed codes of 7 x 12;\n"
    "S: f(c (x1 + x2 + x3 + x4) + b);  y_i = |x - w_i|^2;  E = y_t + log(e^-j + sum_i e^-y_i);\n"
    "60,000 parameters, 340,908 connections.  w <- w - rate * g / (mu + h), h the curvature.",
    rule_name="stochastic diagonal Levenberg-Marquardt on the MAP criterion",
    build=_build,
    rule=LevenbergMarquardt,
    plans={
        "quick": Plan(epochs=1, seconds=35, batch_size=16, optimizer=optimizer("sgd", lr=RATE), schedule="cosine"),
        "full": Plan(epochs=20, seconds=300, batch_size=16, optimizer=optimizer("sgd", lr=SLOW), schedule="cosine"),
    },
)
