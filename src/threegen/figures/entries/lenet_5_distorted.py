"""LeNet-5 on distorted digits, redrawn in each pass."""

from __future__ import annotations

from functools import partial

from threegen.datasets.distortions import Distortions
from threegen.figures.entries.lenet_5 import PAPER, READ_ONCE, SETTINGS, train_lenet_5
from threegen.figures.reproduce import Figure

FIGURE = Figure(
    name="lenet-5-distorted",
    paper=PAPER,
    published=0.8,
    unit="per cent test error",
    better="lower",
    make=partial(train_lenet_5, distortions=Distortions()),
    differs="each pass sees 60,000 distorted digits; the paper adds 540,000 to the plain ones",
    note=SETTINGS
    + "Each pass sees each of the 60,000 digits once, with a new random shift, scale, shear and deformation; the paper "
    "adds 540,000 distorted ones to them. The strength of the distortions was not tuned. " + READ_ONCE,
)
