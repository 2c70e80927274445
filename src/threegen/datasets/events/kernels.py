"""The compiled loops over events, for functions that depend on earlier events."""

from __future__ import annotations

from typing import Any

from threegen.machine.compiler import serial


@serial
def supported(t: Any, x: Any, y: Any, height: int, width: int, within: int, reach: Any, last: Any, keep: Any) -> None:
    """Set `keep` [N] for events with another at one of the places `reach` [K, 2] less than `within` before.

    `last` [H, W] holds the time of each pixel's last event.
    """
    for n in range(len(t)):
        row, column, now = y[n], x[n], t[n]
        found = False
        for k in range(len(reach)):
            i, j = row + reach[k, 0], column + reach[k, 1]
            if 0 <= i < height and 0 <= j < width and now - last[i, j] < within:
                found = True
        keep[n] = found
        last[row, column] = now
