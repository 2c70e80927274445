"""Recurrent nets predict the next character of a short story."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.datasets.text import Text, read_text
from threegen.gen2.recurrent import RecurrentNet
from threegen.randomness import make_generator
from threegen.rules.truncated_bptt import TruncatedBPTT
from threegen.studies.drawing import COLOURS, lines, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import short, smooth
from threegen.training.fit import fit

UNITS, STREAMS, WINDOW = 128, 16, 25
RATES = {"elman": 2e-3, "lstm": 5e-3}


def counted(text: Text, reach: int) -> float:
    """Return the bits per test character of a table of counts over `reach` previous characters (0 or 1).

    Every count starts at one, so that no probability is zero.
    """
    size = len(text.alphabet)
    context = text.train[:-1] if reach else torch.zeros(len(text.train) - 1, dtype=torch.int64)
    table = torch.ones(size, size).index_put_((context, text.train[1:]), torch.ones(len(context)), accumulate=True)
    chances = table / table.sum(1, keepdim=True)
    before = text.test[:-1] if reach else torch.zeros(len(text.test) - 1, dtype=torch.int64)
    return float(-chances[before, text.test[1:]].log2().mean())


@torch.no_grad()
def bits(model: RecurrentNet, text: Text, part: Tensor) -> float:
    """Return the net's bits per character on `part`, which it reads once from the beginning."""
    scores, _ = model.walk(text.one_hot(part[:-1]).unsqueeze(0))
    return float(F.cross_entropy(scores[0], part[1:])) / math.log(2)


@torch.no_grad()
def write_on(model: RecurrentNet, text: Text, start: str, length: int, generator: torch.Generator) -> str:
    """Return `start` and `length` more characters, each drawn from the net's prediction (at temperature 0.7)."""
    scores, state = model.walk(text.encode(start).unsqueeze(0))
    written = start
    for _ in range(length):
        chances = (scores[0, -1] / 0.7).softmax(0)
        number = torch.multinomial(chances, 1, generator=generator)
        written += text.alphabet[int(number)]
        scores, state = model.walk(text.one_hot(number).unsqueeze(0), state)
    return written


def measure(settings: Settings) -> dict[str, Any]:
    """Train an Elman net and an LSTM on the first nine tenths of the story; test both on the rest."""
    text = read_text()
    data = text.streams(STREAMS, WINDOW)
    found: dict[str, Any] = {
        "characters": len(text.train) + len(text.test),
        "alphabet": len(text.alphabet),
        "bits by counting characters": counted(text, 0),
        "bits by counting pairs": counted(text, 1),
    }
    for cell, rate in RATES.items():
        size = len(text.alphabet)
        model = RecurrentNet(size, UNITS, size, cell=cell, generator=make_generator(settings.seed, "story", cell))
        log = fit(
            model,
            TruncatedBPTT(WINDOW, carry=True),
            data,
            optimizer="adam",
            lr=rate,
            schedule="linear",
            clip_norm=1.0,
            epochs=20,
            batch_size=STREAMS,
            shuffle=False,
            seed=settings.seed,
            progress=settings.progress,
            title=cell,
        )
        found[cell] = {
            "bits on the rest": bits(model, text, text.test),
            "bits on what it read": bits(model, text, text.train),
            "updates": len(log.steps),
            "sample": write_on(model, text, "The keeper ", 200, make_generator(settings.seed, "sample", cell)),
            "curve": short([loss / math.log(2) for loss in smooth([step["loss"] for step in log.steps])]),
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw the bits per character over training, with the tables of counts as lines."""
    figure, (axis,) = panels(width=6.4, height=4)
    curves = {cell: figures[cell]["curve"] for cell in RATES}
    longest = max(len(curve) for curve in curves.values())
    places = [at * figures["elman"]["updates"] / longest for at in range(longest)]
    lines(axis, curves, x=places, title="The next character", across="update", up="bits per character, training")
    for colour, name in zip(COLOURS[4:], ("bits by counting characters", "bits by counting pairs"), strict=False):
        axis.axhline(figures[name], color=colour, linewidth=0.8, linestyle="--")
        axis.annotate(name, (places[-1] * 0.55, figures[name]), (0, 3), textcoords="offset points", fontsize=8)
    return save(figure, folder, "bits")


STUDY = Study(
    name="next-character",
    title="The next character of a story",
    about="With a recurrent state, nets predict a text better than a table of pairs, and the gates of an LSTM help.",
    source="Elman, Cognitive Science 14 (1990); the story is part of this package",
    measure=measure,
    draw=draw,
)
