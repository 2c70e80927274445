"""An LSTM that reads an image row by row."""

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
        raise ConfigError(f"lstm-rows reads the rows of grey images, the data have {list(shape)}; choose mlp")
    return RecurrentNet(shape[-1], options.pop("hidden", 128), classes, cell="lstm", generator=generator, **options)


ENTRY = Entry(
    name="lstm-rows",
    title="LSTM on the rows of an image",
    generation=2,
    year=1997,
    paper="Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 9 (1997)",
    about="Gates control what a memory cell keeps, stores and outputs while it reads the picture row by row.",
    equations="c_t = f c_(t-1) + i g;  h_t = o tanh(c_t);  s = V h_28 + d;\n"
    "i, f, o are sigmoid and g is tanh of W x_t + U h_(t-1) + b, each with its own weights.",
    rule_name="back-propagation through time of the cross-entropy",
    build=_build,
    rule=TruncatedBPTT,
    plans={
        "quick": Plan(epochs=3, seconds=75, optimizer=optimizer("adam", lr=4e-3), schedule="one-cycle"),
        "full": Plan(epochs=8, seconds=200, optimizer=optimizer("adam", lr=4e-3), schedule="one-cycle"),
    },
    lineage=False,
)
