"""torch's layer for response normalisation, compiled while a net is trained on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from threegen.functional.convolutional.response_norm_fused import response_norm
from threegen.machine.torch_private import functions_are_watched

_WORTH = 1 << 16  # states; fewer are normalised before a kernel has begun


class ResponseNorm(nn.LocalResponseNorm):
    """`torch.nn.LocalResponseNorm` with the same values and gradients up to rounding.

    In training mode large float32 states on the CPU take the compiled kernel of `response_norm_fused`, a tenth of the
    time; everything else, and whoever watches the functions that are called, gets torch's own.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised states, of the shape of `input` `[B, planes, H, W]`."""
        if not self.training or self.beta != 0.75 or input.dim() != 4 or input.numel() < _WORTH:
            return super().forward(input)
        if input.dtype != torch.float32 or input.device.type != "cpu" or functions_are_watched():
            return super().forward(input)
        return response_norm(input, self.size, self.k, self.alpha / self.size)
