"""A warning if nothing can be learned: no neuron fires, or no reward comes."""

from __future__ import annotations

from torch import nn

from threegen.errors import warn_user
from threegen.rules.rule import Rule, Step

WATCHED = 100  # examples after which the warning is given
FEWEST = 10  # enough at the end of an epoch; fewer examples may be silent by chance or on purpose


class SilenceWatch:
    """Monitors the figures that a rule names in `signs_of_life` until each has been nonzero once.

    Figures that are still 0 after the first examples, or after an epoch, are named in one `UserWarning`.
    """

    def __init__(self, rule: Rule, module: nn.Module) -> None:
        self.owner = f"{type(rule).__name__} has learned nothing from {type(module).__name__}"
        self.waiting = dict(rule.signs_of_life)
        self.examples = 0

    def see(self, step: Step) -> None:
        """Check one step of the rule."""
        for name in list(self.waiting):
            figure = step.figures.get(name)
            if figure is None or float(figure) != 0.0:
                del self.waiting[name]

    def pass_batch(self, examples: int) -> None:
        """Count the examples of a batch whose steps have all been checked."""
        self.examples += examples
        if self.examples >= WATCHED:
            self.end_epoch()

    def end_epoch(self) -> None:
        """Warn of figures that stayed at 0, and stop monitoring."""
        if self.examples < FEWEST:
            return
        if self.waiting:
            sentence = next(iter(self.waiting.values()))
            warn_user(f"{self.owner} in {self.examples} examples: {sentence}")
        self.waiting = {}
