"""What limits the neocognitron of 2003 on MNIST: accuracies on held-out training digits, one part varied at a time.

    python scripts/neocognitron_limits.py [pixels C1 C2 C3 top digits]

Each part prints rows of a Markdown table: what is varied, the number of planes, and the accuracy in per cent on 2,000
of the 10,000 training digits that are held out. `pixels`, `C1`, `C2` and `C3` judge a layer without the layers above:
by the nearest of 1,500 taught digits (the cosine between their cells), which is what S4 does with a plane per digit.
`top` and `digits` train S4. The test split is not read.
"""

from __future__ import annotations

import sys
from typing import cast

import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.figures.entries.neocognitron_3000 import draw_digits
from threegen.figures.neocognitrons import WithoutThirdStage, two_stages
from threegen.gen1.neocognitron_2003 import ContrastCells, EdgeCells, Neocognitron2003
from threegen.registry.self_organisation import cells_below, self_organisation
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit

TAUGHT, ASKED, BATCH = 1500, 2000, 500
PARTS = ("pixels", "C1", "C2", "C3", "top", "digits")


class OnlyBrightness(ContrastCells):
    """No contrast layer: the image itself is in the place of the on-centre cells, the off-centre cells are silent."""

    def forward(self, u: Tensor) -> Tensor:
        """Return the image and a silent plane `[B, 2, H, W]`."""
        return torch.cat([u, torch.zeros_like(u)], 1)


def row(varied: str, planes: int | None, accuracy: float) -> None:
    """Print one row of the table."""
    sys.stdout.write(f"| {varied} | {'' if planes is None else f'{planes:,}'} | {accuracy:.2f} |\n")
    sys.stdout.flush()


def nearest(known: Dataset, asked: Dataset) -> float:
    """Return the accuracy in per cent of the nearest known example, by the cosine."""
    rows, others = (nn.functional.normalize(data.inputs.flatten(1), dim=1) for data in (known, asked))
    found = torch.cat([(part @ rows.T).argmax(1) for part in torch.split(others, 500)])
    right = cast(Tensor, known.targets)[found] == cast(Tensor, asked.targets)
    return 100 * float(right.double().mean())


class Limits:
    """The taught and the held-out digits, and the nets of which one part is varied."""

    def __init__(self) -> None:
        split = load_data("mnist").holdout(10_000)
        self.train, self.held_out = split.train, split.validation.take(ASKED)
        self.taught = draw_digits(self.train, TAUGHT, 0)

    def judged(self, net: Neocognitron2003, above: str) -> float:
        """Return the accuracy of the nearest digit by the input of the layer called `above`."""
        return nearest(cells_below(net, above, self.taught), cells_below(net, above, self.held_out))

    def grown(self, layers: int, **options: object) -> Neocognitron2003:
        """Return a net with the settings of `neocognitron-3000` but for `options`; the first `layers` are trained."""
        net = Neocognitron2003(**{"planes": (120, 350, TAUGHT), **options})  # type: ignore[arg-type]
        stages = self_organisation(net, top_epochs=3, batch_size=BATCH)[:layers]
        if stages:
            fit(net, stages, self.taught, seed=0)
        return net

    def pixels(self) -> None:
        """Judge the pixels themselves."""
        row("pixels", None, nearest(self.taught, self.held_out))

    def c1(self) -> None:
        """Vary the contrast layer, the threshold of S1 and the number of its planes."""
        row("C1: as it is (theta of S1 .55)", 16, self.judged(self.grown(0), "S2"))
        for theta in (0.3, 0.45, 0.65, 0.75):
            net = self.grown(0, thresholds=(theta, 0.65, 0.65, 0.3))
            row(f"C1: theta of S1 {theta:g}", 16, self.judged(net, "S2"))
        row("C1: 8 edges", 8, self.judged(self.grown(0, orientations=8), "S2"))
        cells = {"narrow contrast cells (centre .5)": ContrastCells(centre=0.5), "no contrast layer": OnlyBrightness()}
        cells["wide contrast cells (centre 1.2, surround 3)"] = ContrastCells(9, 1.2, 3.0)
        for name, contrast in cells.items():
            net = self.grown(0)
            net.layers["UG"], net.layers["S1"] = contrast, EdgeCells(contrast, 16, 5, threshold=0.55)
            row(f"C1: {name}", 16, self.judged(net, "S2"))

    def c2(self) -> None:
        """Vary the planes and thresholds of S2."""
        for planes, learning, theta in ((120, 0.8, 0.65), (60, 0.7, 0.65), (250, 0.9, 0.65), (120, 0.8, 0.5)):
            thresholds = (0.55, theta, 0.65, 0.3)
            own = {"planes": (planes, 1, 1), "learning_thresholds": (learning, 0.8, 0.9), "thresholds": thresholds}
            net = self.grown(1, **own)
            name = f"C2: theta of S2 {theta:g}, {learning:g} while learning"
            row(name, self.count(net, "S2"), self.judged(net, "S3"))

    def c3(self) -> None:
        """Vary the planes and thresholds of S3, over one S2."""
        first = self.grown(1)
        for planes, learning, theta in ((350, 0.8, 0.65), (350, 0.7, 0.65), (350, 0.9, 0.65), (350, 0.8, 0.5)):
            thresholds = (0.55, 0.65, theta, 0.3)
            net = self.grown(
                0, planes=(120, planes, 1), learning_thresholds=(0.8, learning, 0.9), thresholds=thresholds
            )
            net.layers["S2"] = first.layers["S2"]
            fit(net, self_organisation(net, batch_size=BATCH)[1:2], self.taught, seed=0)
            name = f"C3: theta of S3 {theta:g}, {learning:g} while learning"
            row(name, self.count(net, "S3"), self.judged(net, "S4"))

    def short(self, digits: int, selectivity: float) -> None:
        """Train the net without S3 and print its row."""
        net = WithoutThirdStage((120, 5000), selectivity)
        fit(net, two_stages(net, 3000, 3, BATCH), draw_digits(self.train, digits, 0), seed=0)
        name = f"S4 without S3: {digits:,} digits, theta of S4 {selectivity:g} while learning"
        row(name, self.count(net, "S4"), 100 * evaluate(net, self.held_out, seed=0).accuracy)

    def top(self) -> None:
        """Vary the selectivity of S4 in the net without S3; with S3 as it is."""
        for selectivity in (0.8, 0.85, 0.9, 0.95):
            self.short(TAUGHT, selectivity)
        net = self.grown(3)
        name = f"S4 over S3: {TAUGHT:,} digits, theta of S4 .9 while learning"
        row(name, self.count(net, "S4"), 100 * evaluate(net, self.held_out, seed=0).accuracy)

    def digits(self) -> None:
        """Vary the number of digits of the net without S3."""
        for number in (500, 5000, 15_000):
            self.short(number, 0.85)

    def count(self, net: Neocognitron2003, name: str) -> int:
        """Return how many planes a growing layer has."""
        return len(net.s_cells(name).weight)


def main(parts: list[str]) -> None:
    """Print the rows of the parts that are named, or of all."""
    limits = Limits()
    for part in parts or PARTS:
        getattr(limits, part.lower())()


if __name__ == "__main__":
    main(sys.argv[1:])
