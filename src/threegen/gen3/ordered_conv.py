"""Convolution of neurons that send at most one spike each: only the order of spikes matters.

    u_f[t] = sum over inputs with t_in <= t of W_f                    integrate and fire, no leak
    t_f    = the first t with u_f[t] >= threshold, never after        threshold = inf: the last step, where u_f > 0

Maps of spikes are maps of times (see `functional.rank_order`). Competition: at each place only the map that fires first
is kept (of several, the one with the highest potential); of these the earliest and strongest `winners` learn, one per
map, none within `radius` of another.

Kheradpisheh, Ganjtabesh, Thorpe and Masquelier, Neural Networks 99 (2018) 56-67; Mozafari et al., Pattern Recognition
94 (2019) 87-95: S1 of their net is `OrderedConv(6, 30, 5, padding=2, threshold=15, winners=5, radius=3)`.

Shapes: B examples, T steps, C input maps, F features, H and W rows and columns, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.checks import require_float, require_number, require_unit_range, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.plasticity.competition import Winner, inhibit_across_maps, pick_winners
from threegen.functional.plasticity.rank_order import (
    contrast_filters,
    contrasts,
    first_spikes,
    normalise_locally,
    rank_latencies,
)
from threegen.functional.plasticity.whole_sums import whole_weights


class RankLatency(nn.Module):
    """Grey images [B, 1, H, W] in 0..1 to spike times [B, C, H, W]: contrast, local gain, the strongest first.

    `sizes` are those of the on- and off-centre filters, C = 2 len(sizes), or `filters` [C, 1, K, K] are given;
    responses below `least` (of 255) are set to 0; `radius` is that of the local normalisation, 0 for none.
    `equal_bins=True` puts the same number of values into each step; the weakest remaining ones, up to steps - 1, never
    fire (as in the published script). Defaults: Mozafari et al. 2019, all values fire. Raises `ConfigError`.
    """

    needs_unit_range = True

    filters: Tensor

    def __init__(
        self,
        steps: int = 15,
        sizes: tuple[int, ...] = (3, 7, 13),
        least: float = 50.0,
        radius: int = 8,
        equal_bins: bool = False,
        filters: Tensor | None = None,
    ) -> None:
        super().__init__()
        if filters is not None and (filters.dim() != 4 or filters.shape[1] != 1 or filters.shape[3] % 2 == 0):
            raise ConfigError(f"filters must be [C, 1, K, K] with an odd K, got {list(filters.shape)}")
        self.equal_bins = bool(equal_bins)
        self.steps = require_whole("steps", steps)
        self.least = require_number("least", least, least=0.0)
        self.radius = require_whole("radius", radius, least=0)
        chosen = contrast_filters(sizes) if filters is None else filters
        self.register_buffer("filters", chosen.float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return spike times (int64), `steps` for never. Raises `ShapeError`, `ConfigError` for values out of 0..1."""
        require_unit_range("RankLatency", require_float("RankLatency", images))
        found = contrasts(images, self.filters, self.least)
        if self.radius:
            found = normalise_locally(found, self.radius)
        return rank_latencies(found, self.steps, self.equal_bins)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"steps={self.steps}, maps={len(self.filters)}, least={self.least:g}, radius={self.radius}"


class OrderedConv(nn.Module):
    """`features` maps of integrate-and-fire neurons over `channels` input maps, at most one spike per neuron.

    `encoder` turns images into spike times. Event frames [B, T, C, H, W] with T = `steps` are taken as they are: the
    first spike of each place counts. `encoder=None` also takes times [B, C, H, W] as floats or bytes, `steps` for
    never. Weights start normal (`w_mean`, `w_deviation`), drawn from `generator`, and stay within `bounds`.
    `strict=True` fires if u > threshold (as in the published script) and sums exactly, so that the order of summation
    does not matter: see `functional.plasticity.whole_sums`. Raises `ConfigError`.
    """

    weight: nn.Parameter  # [F, C, k, k]

    def __init__(
        self,
        channels: int,
        features: int,
        kernel: int,
        *,
        encoder: nn.Module | None = None,
        steps: int = 15,
        padding: int = 0,
        threshold: float = 15.0,
        winners: int = 1,
        radius: int = 0,
        w_mean: float = 0.8,
        w_deviation: float = 0.05,
        bounds: tuple[float, float] = (0.0, 1.0),
        strict: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.strict = encoder, bool(strict)
        self.steps, self.padding = require_whole("steps", steps), require_whole("padding", padding, least=0)
        if not threshold > 0:
            raise ConfigError(f"threshold must be above 0 (inf: decide at the last step), got {threshold!r}")
        self.threshold = float(threshold)
        self.winners, self.radius = require_whole("winners", winners), require_whole("radius", radius, least=0)
        self.bounds = require_number("bounds[0]", bounds[0], least=0.0), require_number("bounds[1]", bounds[1])
        if self.bounds[0] >= self.bounds[1]:
            raise ConfigError(f"bounds must be (low, high) with low < high, got {bounds!r}")
        shape = [require_whole("features", features), require_whole("channels", channels), kernel, kernel]
        require_whole("kernel", kernel)
        deviation = require_number("w_deviation", w_deviation, least=0.0)
        drawn = require_number("w_mean", w_mean) + deviation * torch.randn(shape, generator=generator)
        self.weight = nn.Parameter(drawn.clamp(*self.bounds))

    @torch.no_grad()
    def spike_times(self, inputs: Tensor) -> Tensor:
        """Return the input's spike times [B, C, H, W] (int64). Raises `ShapeError`."""
        channels, owner = self.weight.shape[1], type(self).__name__
        as_bytes = self.encoder is None and inputs.dtype == torch.uint8 and inputs.dim() == 4
        if not as_bytes:
            require_float(owner, inputs, self.weight)
        if as_bytes:
            times = inputs.long()
        elif inputs.dim() == 5:
            if inputs.shape[1] != self.steps:
                raise ShapeError(f"{owner} expects frames of {self.steps} steps, got {list(inputs.shape)}")
            times = first_spikes(inputs)
        elif self.encoder is not None:
            times = self.encoder(inputs)
        else:
            times = inputs.round().long()
        if times.dim() != 4 or times.shape[1] != channels or min(times.shape[2:]) + 2 * self.padding < self._kernel:
            raise ShapeError(
                f"{owner} expects {channels} maps [B, {channels}, H, W] at least as large as its kernel, "
                f"or frames [B, {self.steps}, {channels}, H, W], got {list(inputs.shape)}"
            )
        if int(times.min() if times.numel() else 0) < 0 or int(times.max() if times.numel() else 0) > self.steps:
            raise ShapeError(f"{owner} expects spike times 0..{self.steps}, {self.steps} for never")
        return times

    @property
    def _kernel(self) -> int:
        return self.weight.shape[-1]

    @torch.no_grad()
    def fire(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return spike times (int64) and potentials at the spike, both [B, F, H, W], for input times [B, C, H, W].

        Neurons that never fire have the time `steps` and the potential 0. Potentials are float64 if `strict`.
        """
        if math.isinf(self.threshold):  # no neuron fires before the last step: the others are skipped
            weight = self.weight.double() if self.strict else self.weight
            last = F.conv2d((times < self.steps).to(weight.dtype), weight, padding=self.padding)
            return torch.where(last > 0, self.steps - 1, self.steps), last.clamp(min=0.0)
        weight, unit = whole_weights(self.weight) if self.strict else (self.weight, 1.0)
        when = torch.arange(self.steps, device=times.device).view(-1, 1, 1, 1, 1)
        arrived = (times.unsqueeze(0) <= when).to(weight.dtype).flatten(0, 1)  # [T B, C, H, W]
        summed = F.conv2d(arrived, weight, padding=self.padding) * unit
        potentials = summed.view(self.steps, len(times), *summed.shape[1:])
        fired = potentials > self.threshold if self.strict else potentials >= self.threshold
        out = torch.where(fired.any(0), fired.to(torch.uint8).argmax(0), self.steps)
        at_spike = potentials.gather(0, out.clamp(max=self.steps - 1).unsqueeze(0)).squeeze(0)
        return out, torch.where(out < self.steps, at_spike, 0.0)

    @torch.no_grad()
    def compete(self, times: Tensor) -> list[Winner]:
        """Return the winners among all neurons for one example's input times [C, H, W], the first one first."""
        fired, potentials = (found[0] for found in self.fire(times.unsqueeze(0)))
        dropped = getattr(self, "dropped", None)
        if isinstance(dropped, Tensor):
            fired = fired.masked_fill(dropped.view(-1, 1, 1), self.steps)
        left = inhibit_across_maps(fired, potentials, self.steps)
        padded = F.pad(times, [self.padding] * 4, value=self.steps)
        size = self._kernel
        return [
            Winner(f, int(left[f, y, x]), padded[:, y : y + size, x : x + size])
            for f, y, x in pick_winners(left, potentials, self.steps, self.winners, self.radius)
        ]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the spike times [B, F, H, W] (int64) of all neurons, before any competition. Raises `ShapeError`."""
        return self.fire(self.spike_times(inputs))[0]

    @torch.no_grad()
    def project(self) -> None:
        """Clamp the weights to their bounds."""
        self.weight.clamp_(*self.bounds)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"{list(self.weight.shape)}, threshold={self.threshold:g}, winners={self.winners}, radius={self.radius}"


class DecisionConv(OrderedConv):
    """An `OrderedConv` whose features represent classes, in equal groups: the class of the first spike is the answer.

    By default the threshold is inf: the answer is the class of the highest potential at the last step (Mozafari et al.
    2019, S3: `DecisionConv(250, 200, 5, classes=10, padding=2, bounds=(0.2, 0.8))`). Features where the buffer
    `dropped` (bool [F]) is True do not compete while the layer learns; answers use all of them.
    """

    dropped: Tensor

    def __init__(
        self,
        channels: int,
        features: int,
        kernel: int,
        *,
        classes: int,
        encoder: nn.Module | None = None,
        steps: int = 15,
        padding: int = 0,
        threshold: float = math.inf,
        w_mean: float = 0.8,
        w_deviation: float = 0.05,
        bounds: tuple[float, float] = (0.2, 0.8),
        strict: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            channels,
            features,
            kernel,
            encoder=encoder,
            steps=steps,
            padding=padding,
            threshold=threshold,
            w_mean=w_mean,
            w_deviation=w_deviation,
            bounds=bounds,
            strict=strict,
            generator=generator,
        )
        self.classes = require_whole("classes", classes)
        if features % classes:
            raise ConfigError(f"{features} features cannot be divided evenly among {classes} classes")
        self.register_buffer("dropped", torch.zeros(features, dtype=torch.bool), persistent=False)

    @torch.no_grad()
    def runner_up(self, times: Tensor, winner: Winner, within: float) -> Winner | None:
        """Return the neuron with the highest potential among those of classes other than the winner's, for one
        example's input times [C, H, W]; None if it is behind the winner by `within` or more."""
        potentials = self.fire(times.unsqueeze(0))[1][0].masked_fill(self.dropped.view(-1, 1, 1), 0.0)
        each = len(self.weight) // self.classes
        least = max(float(potentials[winner.feature].max()) - within, 0.0)
        first = winner.feature // each * each
        potentials[first : first + each] = 0.0
        if not float(potentials.max()) > least:
            return None
        _, height, width = potentials.shape
        feature, place = divmod(int(potentials.argmax()), height * width)
        row, column = divmod(place, width)
        padded, size = F.pad(times, [self.padding] * 4, value=self.steps), self._kernel
        return Winner(feature, winner.time, padded[:, row : row + size, column : column + size])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return scores [B, K]: steps left after a class's first spike, plus the share of its largest potential.

        A class that never fires has 0. Raises `ShapeError`.
        """
        times, potentials = self.fire(self.spike_times(inputs))
        most = self.weight[0].numel() * self.bounds[1] + 1
        scores = torch.where(times < self.steps, self.steps - times + potentials / most, 0.0)
        best: Tensor = scores.reshape(len(scores), self.classes, -1).amax(2)
        return best.to(self.weight.dtype)
