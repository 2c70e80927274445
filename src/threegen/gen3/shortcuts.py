"""The end of the shortcut of a residual block.

    y = main + scale * x

Shapes: both are [T, B, C, H, W]; x is the input of the block (spikes, or their projection), main the summed input of
its second neurons or their spikes.
"""

from __future__ import annotations

from torch import Tensor, nn

from threegen.checks import require_number
from threegen.gen3.parts import Cost, Use, nonzero


class Join(nn.Module):
    """Adds a shortcut to the main path; one addition per spike if x holds spikes. Raises `ConfigError`."""

    part = "shortcut"

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = require_number("scale", scale)

    def forward(self, main: Tensor, shortcut: Tensor) -> Tensor:
        """Return main + scale * shortcut."""
        return main.add(shortcut, alpha=self.scale)

    def cost(self, use: Use) -> Cost:
        """Return what a call cost; the sum of spikes is a count, a summed input is part of the following potential."""
        shortcut, signals = use.inputs[1], use.signals
        price = {"ac": nonzero(shortcut)} if signals[1] == "spikes" else {"add": shortcut.numel()}
        events = set(signals) <= {"spikes", "counts"}
        signal = "counts" if events else "values"
        return Cost(self.part, price, use.output, signal, fed_by=signals[1], takes_input=not events)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"scale={self.scale}"
