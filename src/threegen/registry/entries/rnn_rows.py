"""An Elman net that reads an image row by row."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from threegen.errors import ConfigError
from threegen.gen2.recurrent import RecurrentNet
from threegen.registry.entry import Entry, Plan
from threegen.rules.truncated_bptt import TruncatedBPTT
from threegen.training.optimizers.build import optimizer


def _build(shape: tuple[int, ...], classes: int, generator: torch.Generator, **options: Any) -> nn.Module:
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 1):
        raise ConfigError(f"rnn-rows reads the rows of grey images, the data have {list(shape)}; choose mlp")
    return RecurrentNet(shape[-1], options.pop("hidden", 128), classes, cell="elman", generator=generator, **options)


ENTRY = Entry(
    name="rnn-rows",
    title="Elman net on the rows of an image",
    generation=2,
    year=1990,
    paper="Elman, Finding structure in time, Cognitive Science 14 (1990)",
    about="A layer that remembers its own last state reads the picture from top to bottom, one row per step.",
    equations="h_t = tanh(W x_t + U h_(t-1) + b);  s = V h_28 + d;  the error is propagated back through all 28 steps.",
    rule_name="back-propagation through time of the cross-entropy",
    build=_build,
    rule=TruncatedBPTT,
    plans={
        "quick": Plan(epochs=4, seconds=40, optimizer=optimizer("adam", lr=2e-3), schedule="one-cycle"),
        "full": Plan(epochs=12, seconds=150, batch_size=64, optimizer=optimizer("adam", lr=1e-3), schedule="one-cycle"),
    },
    lineage=False,
)
