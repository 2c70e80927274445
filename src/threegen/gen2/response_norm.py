"""torch's layer for response normalisation, compiled while a net is trained on the CPU."""

from __future__ import annotations

from itertools import islice, zip_longest

import torch
from torch import Tensor, nn

from threegen.functional.convolutional.response_norm_fused import response_norm
from threegen.machine.torch_private import functions_are_watched, has_hooks, have_all_hooks

_WORTH = 1 << 16  # states; fewer are normalised before a kernel has begun


class ResponseNorm(nn.LocalResponseNorm):
    """`torch.nn.LocalResponseNorm` with the same values and gradients up to rounding.

    In training mode large float32 states on the CPU take the compiled kernel of `response_norm_fused`, a tenth of the
    time; everything else, and whoever watches the functions that are called, gets torch's own.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised states, of the shape of `input` `[B, planes, H, W]`."""
        if self.is_compiled_for(input):
            return response_norm(input, self.k, self.alpha / self.size)
        return super().forward(input)

    def rectify_and_normalize(self, states: Tensor) -> Tensor:
        """Return what `forward` makes of the states after a `ReLU`; only if `is_compiled_for(states)`."""
        return response_norm(states, self.k, self.alpha / self.size, rectified=True)

    def is_compiled_for(self, states: Tensor) -> bool:
        """Return whether the compiled kernel takes these states."""
        if not self.training or states.dim() != 4 or states.numel() < _WORTH or (self.size, self.beta) != (5, 0.75):
            return False
        return states.dtype == torch.float32 and states.device.type == "cpu" and not functions_are_watched()


def run_parts(parts: nn.Sequential, states: Tensor) -> Tensor:
    """Return `parts(states)`; a `ReLU` before a `ResponseNorm` runs in the kernel of the latter.

    Where one of them has hooks, or the kernel does not take the states, each part is called by itself.
    """
    if type(parts) is not nn.Sequential or has_hooks(parts) or have_all_hooks():
        called: Tensor = parts(states)
        return called
    norm: ResponseNorm | None = None
    for part, after in zip_longest(parts, islice(parts, 1, None)):
        if norm is not None:
            states, norm = norm.rectify_and_normalize(states), None
            continue
        norm = _norm_of_both(part, after)
        if norm is None or not norm.is_compiled_for(states):
            states, norm = part(states), None
    return states


def _norm_of_both(part: nn.Module, after: nn.Module | None) -> ResponseNorm | None:
    """Return `after` if nobody can tell whether the two parts are called one after the other."""
    if type(part) is not nn.ReLU or type(after) is not ResponseNorm or has_hooks(part) or has_hooks(after):
        return None
    return after
