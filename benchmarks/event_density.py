"""Time against density: gathering weight rows for spikes, and the dense product.

784-800 on 1,280 rows: ten steps of 128 examples, every spike drawn independently. Prints one JSON line per density,
forward and weight gradient together, and finally the crossover found now and the one in use, which was measured on this
machine at first use.
"""

from __future__ import annotations

import argparse
import json

import torch

from threegen.functional.spiking.event_driven import crossover, find_crossover, time_both
from threegen.machine.threads import use_threads

STEPS, ROWS, INPUTS, OUTPUTS = 10, 1280, 784, 800


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="no headings; the output is JSON in any case")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    repeats = 3 if given.quick else 10
    drawn = torch.Generator().manual_seed(0)
    weight = torch.randn(INPUTS, OUTPUTS, generator=drawn).t()
    gradient = torch.randn(ROWS, OUTPUTS, generator=drawn)
    chances = torch.rand(STEPS, ROWS // STEPS, INPUTS, generator=drawn)
    with use_threads(given.threads):
        for density in (0.0, 0.01, 0.02, 0.05, 0.1, 0.127, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0):
            seconds = time_both((chances < density).float(), weight, gradient, repeats)
            row = {"job": "event-density", "density": density, "unit": "milliseconds", "threads": given.threads}
            print(json.dumps(row | {name: round(1e3 * value, 3) for name, value in seconds.items()}), flush=True)
        found = find_crossover(INPUTS, OUTPUTS, ROWS, repeats)
        print(json.dumps({"job": "event-density", "crossover": round(found, 3), "used": crossover()}))


if __name__ == "__main__":
    main()
