"""Which layers of a spiking net are silent or saturated: neither passes a signal on, and neither learns."""

from __future__ import annotations

import torch
from torch import Tensor

from threegen.gen3.networks import SpikingNet

SILENT, SATURATED = 0.001, 0.9  # shares of neurons and steps that fire


def unhealthy_layers(model: SpikingNet, x: Tensor, generator: torch.Generator | None = None) -> list[str]:
    """Return a sentence for each layer that fires almost never or almost always on images `x`; none where all is well.

    Raises what the model's `run` raises.
    """
    with torch.no_grad():
        record = model.run(x, generator=generator)
    found = []
    for number, spikes in enumerate(record.spikes):
        rate = float(spikes.mean())
        layer = f"layer {number + 1} of {len(record.spikes)}"
        if rate < SILENT:
            found.append(
                f"{layer} is silent ({rate:.2%} of its neurons fire in a step): nothing behind it can learn; "
                "lower the threshold or start from larger weights"
            )
        elif rate > SATURATED:
            found.append(
                f"{layer} is saturated ({rate:.0%} of its neurons fire in a step): all its neurons say the same; "
                "raise the threshold or start from smaller weights"
            )
    return found
