"""Diehl and Cook's network: excitatory neurons that compete, and learn digits by spike timing without labels.

    tau dv/dt = (v_rest - v) + g_e (E_exc - v) + g_i (E_inh - v)      dg_e/dt = -g_e / tau_e      dg_i/dt = -g_i / tau_i
    a neuron fires at v >= v_thr + theta;   theta += 0.05 mV at each of its spikes,   d(theta)/dt = -theta / 10^7 ms

Peter U. Diehl and Matthew Cook, "Unsupervised learning of digit recognition using spike-timing-dependent plasticity",
Frontiers in Computational Neuroscience 9:99 (2015). Every pixel is a Poisson process with at most 63.75 Hz; all pixels
are connected to all excitatory neurons; each of these excites one inhibitory neuron, which inhibits all others. An
example is presented for 350 ms, followed by 150 ms of rest; if the neurons fired fewer than 5 times it is presented
again with more input. After learning, each neuron gets the class for which it fired most (only labels of training data
are used).

`Variant` in `functional/diehl_cook/constants.py` selects how it is simulated; all constants are defined there too.
Training is `DiehlCookSTDP` and then `AssignLabels` (rules/diehl_cook_stdp.py).

Shapes: B examples, F frames, D inputs, N neurons, K classes, T steps of a presentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.checks import (
    require_choice,
    require_features,
    require_finite,
    require_float,
    require_labels,
    require_unit_range,
    require_whole,
)
from threegen.errors import ConfigError, DataError, ShapeError
from threegen.functional.diehl_cook.constants import VARIANTS, Plasticity, Variant, numbers_of, tables_of, wholes_of
from threegen.functional.diehl_cook.network import Trace, input_spikes, presentation_key, simulate
from threegen.functional.diehl_cook.network_fused import Net
from threegen.functional.diehl_cook.runs import OUTCOME, count_spikes
from threegen.gen3.diehl_cook_health import Diagnosis, diagnose_counts
from threegen.gen3.networks import Record
from threegen.gen3.parts import ENCODER, NEURONS, Cost, Use
from threegen.machine.memory import require_weights
from threegen.randomness import draw_key

READOUTS = ("vote", "proportion", "likelihood")
THETA_START = 20.0  # mV; the threshold starts at v_thr of the paper's table: -52 mV
_MOST = 60  # the keys of an example's presentations have a range of 64
_SMALLEST_RATE = 0.01  # spikes per example: keeps the logarithm of the likelihood read-out finite


class DiehlCook(nn.Module):
    """The network of Diehl and Cook with `neurons` excitatory neurons for examples of `inputs` values in 0..1.

    `forward` takes images or vectors of `inputs` values [B, ...], or event recordings and videos as frames [B, F, C, H,
    W], of `inputs` values each (0 and more), that share the time of a presentation. It returns votes [B, classes] by
    `readout`:

    - "vote", the paper's: the mean spikes of each class's neurons;
    - "proportion": every spike votes for all classes, in proportion to how often its neuron fired for them;
    - "likelihood": the log-likelihood of the spikes, as if neurons were Poisson processes with the mean rates of a
      class.

    Before labels are assigned, and for an example for which no neuron fires, all votes are 0. The network
    never learns in `forward`, whatever its mode; examples are independent of each other. `variant` is a name of
    `VARIANTS` ("paper", "grouped", "fast", "faster") or a `Variant`. An example with fewer than `least` spikes is shown
    again, at most `most` times. `generator` draws initial weights and delays. `state_dict` holds weights, thresholds
    (theta), delays and the data from which labels are assigned.

    Raises `ConfigError` for impossible sizes and settings, `ResourceError` for weights that do not fit into memory,
    `ShapeError` for inputs of another width or type.
    """

    needs_unit_range = True  # images; frames of counts may hold more

    theta: Tensor
    potential: Tensor
    delays: Tensor
    responses: Tensor
    examples: Tensor

    def __init__(
        self,
        neurons: int = 400,
        *,
        inputs: int = 784,
        classes: int = 10,
        variant: str | Variant = "paper",
        readout: str = "vote",
        least: int = 5,
        most: int = 20,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"neurons": neurons, "inputs": inputs, "classes": classes}
        self.neurons, self.inputs, self.classes = (require_whole(name, size) for name, size in sizes.items())
        require_weights("DiehlCook", [(neurons, inputs)])
        if isinstance(variant, str):
            variant = VARIANTS[require_choice("variant", variant, VARIANTS)]
        self.variant = variant
        self.readout = require_choice("readout", readout, READOUTS)
        self.least, self.most = require_whole("least", least, least=0), require_whole("most", most, least=0)
        if most > _MOST:
            raise ConfigError(f"most must be at most {_MOST}, got {most}")
        layer = nn.utils.skip_init(nn.Linear, inputs, neurons, bias=False)  # type: ignore[no-untyped-call]
        self.synapses = layer
        groups = {"none": 0, "synapse": neurons, "grouped": -(-neurons // 16)}[variant.delays]
        delays = torch.randint(0, max(variant.slots, 1), (inputs, groups), generator=generator)
        self.register_buffer("delays", delays.to(torch.uint8))  # steps
        with torch.no_grad():
            self.synapses.weight.copy_(0.3 * (torch.rand(inputs, neurons, generator=generator) + 0.01).t())
        self.register_buffer("theta", torch.full((neurons,), THETA_START))
        self.register_buffer("potential", torch.full((neurons,), -65.0))  # mV, between presentations
        self.register_buffer("responses", torch.zeros(classes, neurons, dtype=torch.float64))
        self.register_buffer("examples", torch.zeros(classes, dtype=torch.int64))
        self.last_outcome = torch.zeros(0, len(OUTCOME), dtype=torch.int32)  # of the last answers: for the bill

    def input_major(self) -> list[Tensor]:
        """Return the weights that `fit` stores by inputs, so that a kernel adds one row for each spike."""
        return [self.weight]

    @property
    def weight(self) -> nn.Parameter:
        """The weights [N, D] in 0..1."""
        return cast(nn.Parameter, self.synapses.weight)

    # -- answering ------------------------------------------------------------------------------------------------

    part = "competition"

    def cost(self, use: Use) -> list[Cost]:
        """Return the cost of the last answers: encoder, neurons, read-out.

        An input spike is one addition per neuron that it reaches, a neuron's spike one for each that it inhibits. Each
        neuron keeps a potential and two conductances: three leaks, one integration and four multiplications (by driving
        forces and dt / tau) a step of each presentation; the rest period, without input, is not billed. Random numbers
        are drawn one per spike. The busiest step is estimated as the mean number of input spikes per step plus the
        largest number of neurons that fired together.
        """
        votes, outcome = use.output, self.last_outcome.double()
        _, repeats, _, sent, fired = (int(column) for column in self.last_outcome.sum(0))
        steps, samples = self.variant.steps, len(outcome)
        sites = (samples + repeats) * steps * self.neurons
        neurons = {
            "ac": sent * self.neurons + fired * (self.neurons - 1),
            "mul": 4 * sites,
            "leak": 3 * sites,
            "integrate": sites,
            "threshold": sites,
            "reset": fired,
        }
        reads = samples * self.neurons * self.classes
        arriving = (outcome[:, 3] / (1 + outcome[:, 1]) / steps).expand(steps, -1)
        together = torch.cat([outcome[None, :, 2], torch.zeros(steps - 1, samples)])
        return [
            Cost(ENCODER, {"draw": sent}, votes, fed_by="values", spikes=arriving, sent=sent, shape=(self.inputs,)),
            Cost(
                NEURONS,
                neurons,
                votes,
                fed_by="spikes",
                spikes=together,
                sent=fired,
                states=3,
                shape=(self.neurons,),
            ),
            Cost("read-out", {"mac": reads, "mac_nonzero": reads}, votes, fed_by="spikes"),
        ]

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the votes [B, K]; `generator` draws the input spikes, None takes torch's own. Raises `ShapeError`."""
        return self.votes(self.count_spikes(x, generator)[0].to(self.weight.device))

    @torch.no_grad()
    def count_spikes(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the spikes of each neuron for each example [B, N], and the outcome of each [B, 5] (see `OUTCOME`).

        Both are int32, on the CPU. The network does not change.
        """
        pixels = self.pixels(x).detach().cpu().contiguous()
        counts = torch.zeros(len(pixels), self.neurons, dtype=torch.int32)
        outcome = torch.zeros(len(pixels), len(OUTCOME), dtype=torch.int32)
        key = np.uint64(draw_key(generator))
        count_spikes(self.kernel_net(), pixels.numpy(), key, self.intensities(), counts.numpy(), outcome.numpy())
        self.last_outcome = outcome
        return counts, outcome

    def votes(self, counts: Tensor) -> Tensor:
        """Return the votes [B, K] for spikes [B, N] of the neurons, in the type of the weights."""
        spikes, rates = counts.to(torch.float64), self.rates()
        if self.readout == "vote":
            own = torch.nn.functional.one_hot(self.assignments.clamp(min=0), self.classes).to(torch.float64)
            own = own * (self.assignments >= 0)[:, None]
            votes = spikes @ (own / own.sum(0).clamp(min=1.0))
        elif self.readout == "proportion":
            votes = spikes @ (rates / rates.sum(0).clamp(min=1e-12)).t()
        else:
            smooth = rates + _SMALLEST_RATE
            votes = (spikes @ smooth.log().t() - smooth.sum(1)) * (self.examples > 0)
            votes = torch.where(self.examples > 0, votes, -1e6) if bool(self.examples.any()) else votes
            votes = votes * (spikes.sum(1) > 0)[:, None]  # without spikes there is no answer
        return votes.to(self.weight.dtype)

    def pixels(self, x: Tensor) -> Tensor:
        """Return inputs as frames [B, F, D]; raises `ShapeError`, and `ConfigError` for values out of range."""
        if isinstance(x, Tensor) and x.dim() == 5:
            frames = require_float("DiehlCook", x, self.weight).flatten(2)
            if frames.shape[2] != self.inputs or frames.shape[1] == 0:
                raise ShapeError(
                    f"DiehlCook expects frames of {self.inputs} values [B, F, C, H, W], got {list(x.shape)}"
                )
        else:
            frames = require_features("DiehlCook", x, self.inputs, self.weight).unsqueeze(1)
        if frames.shape[1] == 1:
            return require_unit_range("DiehlCook", frames)
        require_finite("DiehlCook", frames)
        if frames.numel() and float(frames.min()) < 0.0:
            raise ConfigError(f"DiehlCook takes non-negative counts as frames, got {float(frames.min()):g}")
        return frames

    def run(self, x: Tensor, state: None = None, generator: torch.Generator | None = None) -> Record:
        """Return the `Record` of the presentations by which the network answers: all tensors are [T, B, ...], without
        the rest period.

        The only layer is that of the excitatory neurons; potentials are in mV and before a reset. Each example starts
        from rest: there is no state to pass on. It runs the plain version, about a second per example.
        """
        if state is not None:
            raise ConfigError("DiehlCook answers every example from rest; call run without a state")
        net, pixels = self.kernel_net(), self.pixels(x).detach().cpu()
        key, steps, kept = draw_key(generator), self.variant.steps, []
        inputs = torch.zeros(steps, len(pixels), self.inputs, dtype=self.weight.dtype)
        for b, frames in enumerate(pixels):
            trace, raster = self._answer(net, frames, key, b)
            kept.append(trace)
            for t, sources in enumerate(raster):
                inputs[t, b, sources] = 1.0
        spikes = torch.stack([torch.stack(trace.spikes[:steps]) for trace in kept], 1)
        potentials = torch.stack([torch.stack(trace.potentials[:steps]) for trace in kept], 1)
        counts = torch.stack([trace.counts for trace in kept])
        scores = self.votes(counts.to(self.weight.device)).cpu()
        return Record(inputs, [spikes.to(self.weight.dtype)], [potentials], scores, [])

    def _answer(self, net: Net, frames: Tensor, key: int, number: int) -> tuple[Trace, Sequence[Tensor]]:
        """Return the trace of the plain version on one example until it answers, and the last input."""
        weight, theta = self.weight.detach().cpu().t(), self.theta.cpu()
        for attempt in range(self.most + 1):
            strength = self.variant.intensity + attempt * self.variant.more_intensity
            own = presentation_key(key, number, attempt, learning=False)
            raster, trace = input_spikes(net, frames, strength, own), Trace()
            rest = torch.full_like(theta, -65.0)
            for _ in simulate(net, weight, theta, rest, raster, trace, learn=False):
                pass
            if int(trace.counts.sum()) >= self.least or not any(len(sources) for sources in raster):
                break
        return trace, raster

    @torch.no_grad()
    def diagnose(self, x: Tensor, generator: torch.Generator | None = None) -> Diagnosis:
        """Return figures and findings on the activity of the network for examples `x`; the network does not change."""
        counts, outcome = self.count_spikes(x, generator)
        if len(counts) == 0:
            raise DataError("diagnose needs at least one example, got none")
        weight, theta, assignments = self.weight.detach().cpu(), self.theta.cpu(), self.assignments.cpu()
        return diagnose_counts(counts, outcome, weight, theta, assignments, start=THETA_START, least=self.least)

    # -- the data of the labels --------------------------------------------------------------------------------------

    def rates(self) -> Tensor:
        """Return the mean spikes of each neuron per example of each class [K, N], float64; 0 for a class without
        examples."""
        return self.responses / self.examples.clamp(min=1)[:, None]

    @property
    def assignments(self) -> Tensor:
        """The class of each neuron [N]: the one for which it fires most; -1 if it never fired or before labels are
        assigned."""
        rates = self.rates()
        return torch.where(rates.sum(0) > 0, rates.argmax(0), -1)

    @property
    def unanswerable(self) -> list[int]:
        """The classes that are never answered: those without examples or, if neurons vote, without a neuron."""
        known = self.examples > 0
        if self.readout == "vote":
            known &= torch.bincount(self.assignments.clamp(min=-1) + 1, minlength=self.classes + 1)[1:] > 0
        return [int(number) for number in (~known).nonzero()]

    def forget_labels(self) -> None:
        """Remove the classes of all neurons: `AssignLabels` starts with this."""
        self.responses.zero_()
        self.examples.zero_()

    @torch.no_grad()
    def add_responses(self, counts: Tensor, labels: Tensor) -> None:
        """Add the spikes [B, N] for examples of the classes `labels` [B] to the data that decide the neurons' classes.

        Raises `DataError` for labels out of range, `ShapeError` for spikes of another shape.
        """
        require_labels(labels, self.classes)
        if counts.shape != (len(labels), self.neurons):
            raise ShapeError(f"DiehlCook expects spikes [{len(labels)}, {self.neurons}], got {list(counts.shape)}")
        self.responses.index_add_(0, labels, counts.to(self.responses))
        self.examples += torch.bincount(labels, minlength=self.classes)

    # -- what rules work on ---------------------------------------------------------------------------------------

    def kernel_net(self, plasticity: Plasticity | None = None, rate: float = 1.0) -> Net:
        """Return the network in the kernels' form: arrays that share the memory of its tensors, on the CPU."""
        weight = self.weight.detach().cpu().t().contiguous().numpy()
        kind: Any = weight.dtype
        numbers = numbers_of(self.variant, self.inputs, kind, plasticity, rate)
        wholes = wholes_of(self.variant, plasticity, self.least, self.most)
        theta = self.theta.detach().cpu().numpy()
        return Net(weight, theta, self.delays.cpu().numpy(), numbers, wholes, tables_of(self.variant, kind))

    def intensities(self) -> np.ndarray[Any, Any]:
        """Return the intensity of the first presentation and the increment of each further one."""
        return np.array([self.variant.intensity, self.variant.more_intensity])

    @torch.no_grad()
    def take(self, net: Net) -> None:
        """Copy back weights and thresholds that a kernel has changed, if they do not share memory."""
        for own, moved in ((self.weight, torch.from_numpy(net.weight).t()), (self.theta, torch.from_numpy(net.theta))):
            if own.data_ptr() != moved.data_ptr():
                own.copy_(moved)

    def project(self) -> None:
        """Keep the weights in 0..1."""
        with torch.no_grad():
            self.weight.clamp_(0.0, 1.0)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"neurons={self.neurons}, variant={self.variant.name}, readout={self.readout}"
