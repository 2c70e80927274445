"""Contrastive divergence as a kernel: preallocated, one stacked product for the gradient, momentum folded into it.

    velocity <- momentum velocity + [h0; -hk]^T [v0; vk] / B - weight_cost W        W <- W + rate velocity

The same sums as `ContrastiveDivergence` with SGD and momentum, which is its oracle: for the same generator both draw
the same states. What cannot be left out are five matrix products a step of CD-1 (up, down, up, and a gradient of
the size of two); everything else is done in one pass over memory between them (`functional/energy/rbm_kernels.py`).

Shapes: B examples, N chains (N = B without persistent ones), V visible units, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_number
from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.energy.rbm_products import Motion, Products, half_products
from threegen.functional.energy.units import BernoulliUnits
from threegen.machine.draws import draw_bernoulli
from threegen.rules.contrastive_divergence import ContrastiveDivergence, TwoLayers
from threegen.rules.rule import Applied, Step, require_batch, require_parts

_SPEEDS = ("weight_speed", "visible_speed", "hidden_speed")


class FusedContrastiveDivergence(ContrastiveDivergence):
    """CD-k and persistent CD for binary hidden units on the CPU; moves the weights itself, one `Applied` a batch.

    steps, chains, options: as for `ContrastiveDivergence`.
    rate, momentum: the optimiser's part; schedules may set both (`EpochSteps("momentum", {0: .5, 5: .9})`).
    products: "float32", or "bfloat16" for the matrix products alone: what is multiplied is rounded to it; weights,
        biases and velocities stay float32, and all units must be binary. Where the CPU adds sixteen-bit numbers
        (AVX512-FP16), states are listed and 32 products at a time summed in half precision (`line_kernels.py`); small
        batches and other CPUs take torch's bfloat16 products, which pay on CPUs that multiply them quicker.

    The velocities are part of `state_dict()`. Figure: `reconstruction_error`, as of the plain rule; none with chains.
    Raises `ConfigError` for models with other hidden units, on other devices or of other types.
    """

    def __init__(
        self,
        steps: int = 1,
        *,
        rate: float = 0.1,
        momentum: float = 0.0,
        products: str = "float32",
        chains: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(steps, chains=chains, **options)
        self.rate = require_number("rate", rate, least=0.0)
        self.momentum = require_number("momentum", momentum, least=0.0, below=1.0)
        self.products = require_choice("products", products, ("float32", "bfloat16"))
        self._speeds: dict[str, Tensor] = {}  # velocities of the three parameters
        self._room: Products | None = None  # the preallocated memory; of its own it holds nothing from batch to batch

    def __repr__(self) -> str:
        return "Fused" + super().__repr__()

    def check(self, model: nn.Module) -> None:
        """Raise `ConfigError` where the kernels cannot train `model`."""
        super().check(model)
        require_parts(self, model, "hidden_units", "visible_units")
        units, weight = cast(Any, model), cast(TwoLayers, model).weight
        if not isinstance(units.hidden_units, BernoulliUnits):
            raise ConfigError("FusedContrastiveDivergence needs binary hidden units; use ContrastiveDivergence")
        wanted = (torch.float32,) if self.products == "bfloat16" else (torch.float32, torch.float64)
        if weight.device.type != "cpu" or weight.dtype not in wanted:
            raise ConfigError(
                f"FusedContrastiveDivergence works on the CPU in {wanted[0]}, the weights are {weight.dtype} on "
                f"{weight.device}; use ContrastiveDivergence"
            )
        if self.products == "bfloat16" and not isinstance(units.visible_units, BernoulliUnits):
            raise ConfigError('products="bfloat16" needs binary visible units; use products="float32"')

    @torch.no_grad()
    def __call__(self, model: nn.Module, batch: Batch, generator: torch.Generator) -> Iterator[Step]:
        """Move the parameters by one step of CD on `batch` and yield once."""
        rbm = cast(TwoLayers, model)
        if self._room is None or self._room.net is not rbm:
            self.check(model)
        require_batch("FusedContrastiveDivergence", batch, labels=False)
        given = rbm.visible_states(batch.inputs, batch.targets)
        room = self._ready(rbm, given)
        room.take(draw_bernoulli(given, generator) if self.draw_data else given)
        figures = {}
        if self.chains:
            room.h0(None)
            if self._chain is None:
                self._chain = self._begun_chain(rbm, generator)
            room.load_chain(self._chain)
        else:
            room.h0(generator)
        for step in range(self.steps):
            room.down(generator)
            if step == 0 and not self.chains:
                figures["reconstruction_error"] = room.error()
            last = step == self.steps - 1
            room.up(generator if self.chains or not last else None, last)
        if self.chains:
            self._chain = room.keep_chain()
        pull = None if self.sparsity is None else self._sparsity_pull(room.data_means()[1])
        centres = self._centres(*room.data_means()) if self.centred else None
        room.move(Motion(self.rate, self.momentum, self.weight_cost, pull, centres))
        yield Applied(**figures)

    def _ready(self, rbm: TwoLayers, given: Tensor) -> Products:
        """Return memory for batches of this size, made anew where the size or the model is another."""
        chains = self.chains or len(given)
        room = self._room
        if room is None or not room.fits(rbm, len(given), chains):
            self.check(cast(nn.Module, rbm))
            kind = half_products if self.products == "bfloat16" else Products
            room = self._room = kind(rbm, len(given), chains, drawn=self.visible == "drawn")
            room.speeds = self._speeds_of(rbm)
        return room

    def _speeds_of(self, rbm: TwoLayers) -> tuple[Tensor, Tensor, Tensor]:
        parameters = (rbm.weight, rbm.visible_bias, rbm.hidden_bias)
        for name, parameter in zip(_SPEEDS, parameters, strict=True):
            kept = self._speeds.get(name)
            if kept is None or kept.shape != parameter.shape or kept.dtype != parameter.dtype:
                self._speeds[name] = torch.zeros_like(parameter.detach())
            elif kept.stride() != parameter.stride():  # they lie in memory as the parameters do
                self._speeds[name] = torch.empty_like(parameter.detach()).copy_(kept)
        first, second, third = (self._speeds[name] for name in _SPEEDS)
        return first, second, third

    def state_dict(self) -> dict[str, Tensor]:
        """Return the velocities, and what the plain rule keeps."""
        return {**super().state_dict(), **self._speeds}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        self._speeds = {name: state[name].clone() for name in _SPEEDS if name in state}
        self._room = None
        super().load_state_dict({name: value for name, value in state.items() if name not in _SPEEDS})
