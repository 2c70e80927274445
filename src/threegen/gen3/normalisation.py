"""Normalisation inside spiking nets: threshold-dependent batch normalisation, and NeuNorm.

    tdBN      y = lambda * alpha * threshold * (x - mean) / sqrt(var + eps) + beta        over T, B and places at once
    NeuNorm   n[t] = k n[t-1] + (1 - k) / C  sum_c o_c[t]           y_c[t] = o_c[t] - U_c n[t]

Zheng, Wu, Deng, Hu and Li, "Going deeper with directly-trained larger spiking neural networks", AAAI 2021 (tdBN): the
summed input then has the spread of the threshold. Wu, Deng, Li, Zhu, Xie and Shi, "Direct training for spiking neural
networks: faster, larger, better", AAAI 2019 (NeuNorm): auxiliary neurons follow the mean spikes of all channels at each
place, and their activity times a trained weight U_c is subtracted from each channel.

Shapes: T time steps, B examples, C channels, H x W places.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_number, require_whole
from threegen.errors import ShapeError
from threegen.gen3.parts import Cost, Use, nonzero


class ThresholdBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over time, examples and places, to the spread of `alpha` thresholds (tdBN).

    It takes the summed input of all steps as one batch, [T * B, C, H, W] or [T * B, N]. Zheng et al. use alpha = 1, and
    1/sqrt(2) where two branches join. Raises `ConfigError`, `ShapeError`.
    """

    def __init__(self, channels: int, threshold: float = 0.5, alpha: float = 1.0) -> None:
        super().__init__(require_whole("channels", channels))
        self.target = require_number("threshold", threshold, above=0.0) * require_number("alpha", alpha, above=0.0)

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised input, of the same shape."""
        if input.dim() not in (2, 4) or input.shape[1] != self.num_features:
            raise ShapeError(
                f"tdBN of {self.num_features} channels expects [T * B, {self.num_features}, H, W] or "
                f"[T * B, {self.num_features}], got {list(input.shape)}"
            )
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight * self.target,
            self.bias,
            self.training,
            cast(float, self.momentum),
            self.eps,
        )

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"{self.num_features}, spread={self.target}"


class NeuNorm(nn.Module):
    """Auxiliary neurons after a convolutional layer: (spikes, state) -> (signal, state).

    `channels` is C, `decay` is k in 0..1. U starts at zero: at first, spikes pass unchanged. Raises `ConfigError`.
    """

    part = "NeuNorm"

    def __init__(self, channels: int, decay: float = 0.9) -> None:
        super().__init__()
        self.decay = require_number("decay", decay, least=0.0, below=1.0)
        self.weight = nn.Parameter(torch.zeros(require_whole("channels", channels), 1, 1))

    def forward(self, spikes: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the normalised signal [T, B, C, H, W] and n after the last step [B, 1, H, W]. Raises `ShapeError`."""
        if spikes.dim() != 5 or spikes.shape[2] != len(self.weight):
            raise ShapeError(
                f"NeuNorm of {len(self.weight)} channels expects spikes [T, B, {len(self.weight)}, H, W], "
                f"got {list(spikes.shape)}"
            )
        means = spikes.mean(2, keepdim=True)
        level = torch.zeros_like(means[0]) if state is None else state
        if level.shape != means[0].shape:
            raise ShapeError(
                f"the state of NeuNorm is {list(level.shape)}, the input needs {list(means[0].shape)}; "
                "pass state=None to start from rest"
            )
        levels = []
        for mean in means:
            level = self.decay * level + (1 - self.decay) * mean
            levels.append(level)
        return spikes - self.weight * torch.stack(levels), level

    def cost(self, use: Use) -> Cost:
        """Return the cost of a call: an auxiliary neuron per place, and a multiply-accumulate per output value."""
        spikes, (signal, level) = use.inputs[0], use.output
        taken = spikes.numel()
        places = taken // spikes.shape[2]
        price = {"ac": nonzero(spikes), "leak": places, "integrate": places, "mac": taken, "mac_nonzero": taken}
        return Cost(self.part, price, signal, states=1, shape=tuple(level.shape[1:]))

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"{len(self.weight)}, decay={self.decay}"
