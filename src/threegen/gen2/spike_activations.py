"""Rectifiers for networks that are to be converted to spikes: training with the values that T spikes can represent.

    steps        y = lambda / L * clip(floor(z L / lambda + 1/2), 0, L)          with the gradient of clip
    soft-lif     y = 1 / (tau_ref + tau log(1 + 1 / rho(z - 1))),   rho(x) = gamma log(1 + exp(x / gamma))     (+ noise)

Bu, Fang, Ding, Dai, Yu and Huang, "Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking neural
networks", ICLR 2022 (lambda is learned, one per layer; phi = 1/2). Hunsberger and Eliasmith, "Training spiking deep
networks for neuromorphic hardware", arXiv:1611.05141 (2016), whose time constants are 20 ms and 2 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_number, require_whole


class StepReLU(nn.Module):
    """A rectifier of `levels` steps up to a learned ceiling lambda: the values that `levels` time steps can represent.

    `ceiling` is the initial lambda (it stays above zero: the parameter is its logarithm). The gradient of a step is
    that of the line through the steps. `levels=None` clips without steps. Raises `ConfigError`.
    """

    def __init__(self, levels: int | None = 4, ceiling: float = 8.0) -> None:
        super().__init__()
        self.levels = None if levels is None else require_whole("levels", levels)
        self.log_ceiling = nn.Parameter(torch.tensor(math.log(require_number("ceiling", ceiling, above=0.0))))

    @property
    def ceiling(self) -> Tensor:
        """Lambda, 0-d."""
        return self.log_ceiling.exp()

    def spike_levels(self) -> tuple[Tensor, int | None]:
        """Return lambda and the number of steps, for the conversion."""
        return self.ceiling.detach(), self.levels

    def forward(self, z: Tensor) -> Tensor:
        """Return the activations, of the shape of `z`."""
        share = (z / self.ceiling).clamp(0.0, 1.0)
        if self.levels is None:
            return share * self.ceiling
        steps = (z / self.ceiling * self.levels + 0.5).floor().clamp(0, self.levels) / self.levels
        return (share + (steps - share).detach()) * self.ceiling

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"levels={self.levels}, ceiling={float(self.ceiling.detach()):.4g}"


class SoftLIF(nn.Module):
    """The rate of a leaky integrate-and-fire neuron, smooth at its threshold 1, so that it can be trained.

    `tau` and `refractory` are in time steps (20 and 2 of 1 ms in the paper), `smoothness` is gamma; `scale` multiplies
    the rate, so that activations are about one. In training mode Gaussian `noise` (a share of the activation's root
    mean square) is added, as filtered spikes would cause; `synapse` is the time constant of that filter in the spiking
    copy (5 steps of 1 ms in the paper, 0: none). Raises `ConfigError`.
    """

    def __init__(
        self,
        tau: float = 20.0,
        refractory: float = 2.0,
        smoothness: float = 0.02,
        scale: float = 10.0,
        noise: float = 0.1,
        synapse: float = 5.0,
    ) -> None:
        super().__init__()
        self.tau = require_number("tau", tau, above=0.0)
        self.refractory = require_number("refractory", refractory, least=0.0)
        self.smoothness = require_number("smoothness", smoothness, above=0.0)
        self.scale = require_number("scale", scale, above=0.0)
        self.synapse = require_number("synapse", synapse, least=0.0)
        self.noise = require_number("noise", noise, least=0.0)

    def curve(self, z: Tensor) -> Tensor:
        """Return the rates times `scale` without noise, of the shape of `z`."""
        above = F.softplus((z - 1.0) / self.smoothness) * self.smoothness
        # log(1 + 1/x) as log1p(x) - log(x): finite where nothing is above the threshold
        return self.scale / (self.refractory + self.tau * (torch.log1p(above) - torch.log(above.clamp(min=1e-30))))

    def spike_rate(self) -> tuple[tuple[float, float, float], float, Callable[[Tensor], Tensor]]:
        """Return the time constants, the value of one spike and the curve, for the conversion."""
        return (self.tau, self.refractory, self.synapse), self.scale, self.curve

    def forward(self, z: Tensor) -> Tensor:
        """Return the rates times `scale`, of the shape of `z`."""
        rate = self.curve(z)
        if not self.training or self.noise == 0.0:
            return rate
        size = rate.detach().square().mean().sqrt() * self.noise
        return rate + size * torch.randn_like(rate)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"tau={self.tau:g}, refractory={self.refractory:g}, smoothness={self.smoothness:g}, scale={self.scale:g}"


# By the names used in nets' options.
FOR_SPIKES: dict[str, Callable[[], nn.Module]] = {
    "clipped": lambda: StepReLU(None),
    "steps": StepReLU,
    "one-step": lambda: StepReLU(1, 4.0),
    "soft-lif": SoftLIF,
}
