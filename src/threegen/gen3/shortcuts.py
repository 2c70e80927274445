"""Where the shortcut of a residual block ends.

    y = main + scale * x

Shapes: both are [T, B, C, H, W]; x is what entered the block (spikes, or their projection), main the summed input of
its second neurons or the spikes that these send.
"""

from __future__ import annotations

from torch import Tensor, nn

from threegen.checks import require_number


class Join(nn.Module):
    """Adds a shortcut to the main way; one addition a spike where x holds spikes. Raises `ConfigError`."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = require_number("scale", scale)

    def forward(self, main: Tensor, shortcut: Tensor) -> Tensor:
        """Return main + scale * shortcut."""
        return main.add(shortcut, alpha=self.scale)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"scale={self.scale}"
