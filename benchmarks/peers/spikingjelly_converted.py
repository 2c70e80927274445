"""SpikingJelly's converter: its default recipe, and the best one at few steps (local threshold balancing)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import torch
from converted_case import measure, network, shared
from spikingjelly.activation_based import ann2snn, functional
from torch import Tensor
from worker import serve

recipe_name, _, job = sys.argv[-1].partition(":")


def converted(steps: int) -> Callable[[Tensor], Tensor]:
    """Return a function that answers images by the sum of the outputs over the steps, as its tutorial does."""
    images = shared()["calibrate"]
    batches = [(part, torch.zeros(len(part))) for part in images.split(100)]
    if recipe_name == "max":
        recipe = ann2snn.RateCodingRecipe(batches)
    else:
        recipe = ann2snn.LocalThresholdBalancingRecipe(batches)
    net = ann2snn.Converter(recipe).convert(network()).eval()

    def answer(x: Tensor) -> Tensor:
        functional.reset_net(net)
        total = net(x)
        for _ in range(steps - 1):
            total = total + net(x)
        return total

    return answer


serve(lambda quick: measure(job, converted, quick), ("spikingjelly", "torch"))
