"""Which layers of a spiking net are silent or saturated: neither passes a signal on, and neither learns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from threegen.gen3.networks import SpikingNet

SILENT, SATURATED = 0.001, 0.9  # shares of neurons and steps that fire


def unhealthy_layers(model: SpikingNet, x: Tensor, generator: torch.Generator | None = None) -> list[str]:
    """Return a sentence for each layer that fires almost never or almost always on images `x`; none if all are healthy.

    The last layer is checked if its spikes are read out. Raises what the model's `run` raises.
    """
    with torch.no_grad():
        return unhealthy_spikes(model, model.run(x, generator=generator).spikes)


def unhealthy_spikes(model: SpikingNet, trains: Sequence[Tensor]) -> list[str]:
    """Return the same sentences from the spikes [T, B, ...] that the layers of `model` sent."""
    found = []
    looked_at = trains if getattr(model.readout, "reads_spikes", False) else trains[:-1]
    for number, spikes in enumerate(looked_at):
        rate = float(spikes.mean())
        layer = f"layer {number + 1} of {len(trains)}"
        if rate < SILENT:
            found.append(
                f"{layer} is silent ({rate:.2%} of its neurons fire in a step): layers after it cannot learn; lower "
                f"the threshold or start from larger weights"
            )
        elif rate > SATURATED:
            found.append(
                f"{layer} is saturated ({rate:.0%} of its neurons fire in a step): its neurons all send the same; "
                f"raise the threshold or start from smaller weights"
            )
    return found
