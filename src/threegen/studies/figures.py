"""A published figure for each textbook study: the number from which its text draws the conclusion.

`FIGURES` has one row per study; `threegen reproduce study-NAME` runs the study's own `measure` for each seed and takes
one number out of its figures. `figures.reproduce` finds this table by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threegen.figures.reproduce import Figure
from threegen.randomness import forked_randomness
from threegen.studies.registry import find_study
from threegen.studies.study import Settings

Measured = Mapping[str, Any]


@dataclass(frozen=True)
class Conclusion:
    """The number `take` that study `name` concludes from, in `unit`, and the words of the row.

    `says` is the sentence of the text. `quick` runs the short form of the study.
    """

    name: str
    unit: str
    take: Callable[[Measured], float]
    says: str
    differs: str
    published: float | None = None
    better: str = "higher"
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    quick: bool = False

    def figure(self) -> Figure:
        """Return the row of the table of figures."""
        study = find_study(self.name)
        return Figure(
            name=f"study-{self.name}",
            paper=study.source,
            published=self.published,
            unit=self.unit,
            better=self.better,
            make=self.measured,
            differs=self.differs,
            seeds=self.seeds,
            note=f"{self.says} Measured by `threegen study {self.name}{' --quick' if self.quick else ''}`, nothing was "
            "chosen.",
        )

    def measured(self, seed: int, progress: bool) -> float:
        """Run the study with `seed` and return its number."""
        with forked_randomness(seed, "study", self.name):
            return self.take(find_study(self.name).measure(Settings(self.quick, seed, progress)))


def _updates_ratio(found: Measured) -> float:
    """Plain descent's updates to a loss of .5 over those of the slowest other optimiser."""
    needed = {name: facts["iterations to .5"] for name, facts in found.items()}
    plain = needed.pop("SGD")
    return float(plain / max(needed.values()))


def _crossings(found: Measured) -> float:
    """How many more times plain descent crosses the floor than any other optimiser."""
    times = {name: facts["crossings"] for name, facts in found.items()}
    return float(times.pop("SGD") - max(times.values()))


def _more_scales(found: Measured) -> float:
    facts, key = found["initial weights"], "scales that reach 80 %"
    return float(facts["with"][key] - facts["without"][key])


def _labels_saved(found: Measured) -> float:
    facts = found["100 labels"]
    return float(100 * (facts["deep belief net"] - facts["random start"]))


def _narrowed(found: Measured) -> float:
    """How much the weaker of the two remedies narrows the gap, in points."""
    gaps = {name: facts["gap"] for name, facts in found.items()}
    return float(100 * (gaps.pop("plain") - max(gaps.values())))


def _furthest_output(found: Measured) -> float:
    """The largest distance of an output of XOR from its target, of both ways of training."""
    outputs = [facts["outputs"] for facts in found["xor"].values()]
    return float(max(abs(output - target) for row in outputs for output, target in zip(row, (0, 1, 1, 0), strict=True)))


NO_NUMBER = "the text gives no number, only the sentence"

CONCLUSIONS = (
    Conclusion(
        "first-and-second-generation",
        "of the 16 functions of two bits",
        lambda found: float(found["functions a step unit learns"]),
        "One layer of step units cannot compute XOR or its opposite, and learns all other functions of two bits.",
        "nothing",
        published=14.0,
        quick=True,
    ),
    Conclusion(
        "activations",
        "millionths, mean output of the fifth relu layer",
        lambda found: 1e6 * found["relu with deviation 0.01"]["mean over seeds"][-1],
        "With initial weights of deviation .01 the signals of relu layers fade from layer to layer.",
        "a mean over five draws, the book has one",
        published=0.946,
        better="lower",
        quick=True,
    ),
    Conclusion(
        "optimizers-on-a-valley",
        "more crossings of the floor than any other optimiser in 30 steps",
        _crossings,
        "Plain gradient descent zigzags across a long valley.",
        f"{NO_NUMBER}; RMSprop is added to the book's four",
        seeds=(0,),
    ),
    Conclusion(
        "optimizers-on-mnist",
        "times the updates to a loss of .5 that the slowest other optimiser needs",
        _updates_ratio,
        "Plain gradient descent learns the digits most slowly.",
        f"{NO_NUMBER}; RMSprop is added to the book's four",
        quick=True,
    ),
    Conclusion(
        "batch-normalisation",
        "more of 16 initial deviations from which the net learns",
        _more_scales,
        "With batch normalisation a net learns from nearly any initial weights.",
        f"{NO_NUMBER}; a net learns if it reaches 80 % of 1,000 training images in 20 epochs",
        quick=True,
    ),
    Conclusion(
        "dbn-against-svm",
        "points of test accuracy above the same net from a random start, 100 labels",
        _labels_saved,
        "Layers that have seen images without labels need fewer labelled ones.",
        "a belief net with back-propagation; the papers have other nets and numbers of labels",
        quick=True,
    ),
    Conclusion(
        "first-lessons",
        "largest distance of an output of XOR from its target",
        _furthest_output,
        "A net of five hidden units learns XOR in 10,000 passes, with either of two kinds of momentum.",
        NO_NUMBER,
        better="lower",
    ),
    Conclusion(
        "overfitting",
        "points by which the weaker remedy narrows the gap of training and test accuracy",
        _narrowed,
        "Weight decay and dropout each narrow the gap between training and test accuracy of a net on 300 images.",
        NO_NUMBER,
        quick=True,
    ),
    Conclusion(
        "hyper-parameters",
        "per cent validation accuracy of the best of 100 trials",
        lambda found: 100 * found["dense"]["best accuracy of each round"][0],
        "A random search finds a rate and a decay with which 400 images suffice for an accuracy of .83.",
        "nothing; with 100 validation images one standard error is 4 points",
        published=83.0,
    ),
    Conclusion(
        "next-character",
        "bits per character by which an LSTM beats a table of pairs",
        lambda found: found["bits by counting pairs"] - found["lstm"]["bits on the rest"],
        "With a recurrent state a net predicts a text better than a table of pairs.",
        "the text of this package; the paper has other tasks and a simple recurrent net",
    ),
)

FIGURES = tuple(one.figure() for one in CONCLUSIONS)
