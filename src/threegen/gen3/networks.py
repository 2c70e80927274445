"""Spiking networks trained by spatio-temporal back-propagation (STBP).

    u_l[t] = decay * u_l[t-1] * (1 - o_l[t-1]) + W_l o_{l-1}[t] + b_l       o_l[t] = 1 where u_l[t] >= threshold
    o_0[t] = spikes of the image                                            score  = 1/T sum_t o_L[t]

Wu, Deng, Li, Zhu and Shi, "Spatio-temporal backpropagation for training high-performance spiking neural networks",
Frontiers in Neuroscience 12:331 (2018): equations 1 to 5 and the rate read-out of its loss. The gradient flows through
layers and through time, with a surrogate for the spike's slope; any loss of the scores works with `Backprop`.

Shapes: T time steps, B examples, D inputs, N neurons of a layer, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Unpack, cast

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_features, require_sizes, require_whole
from threegen.errors import ConfigError, ShapeError
from threegen.functional.encoding import draw_spikes
from threegen.functional.spiking.neurons import NeuronState
from threegen.functional.spiking.space_only import aggregated
from threegen.functional.spiking.time_blocks import Layer, LinearLayer, Neurons, Source, run_in_blocks, steps_per_block
from threegen.gen3.encoders import Bernoulli, Encoder, Latency, Poisson, make_encoder
from threegen.gen3.fast_way import all_are_watched, is_watched, replaced_method
from threegen.gen3.initial_values import spiking_linear
from threegen.gen3.neuron_options import NeuronOptions, make_neurons
from threegen.gen3.neurons import IF, LIF
from threegen.gen3.normalisation import NeuNorm
from threegen.gen3.readouts import LeakyReadout, PotentialReadout, RateReadout, make_readout
from threegen.gen3.stacked import StackedSpikingMLP
from threegen.gen3.steps import at_every_step, fire, weights_of
from threegen.gen3.trains import is_binary, is_train, train_steps
from threegen.machine.memory import require_weights
from threegen.machine.torch_private import AnyBatchNorm
from threegen.randomness import draw_key

BACKENDS = ("auto", "fused", "plain")
GRADIENTS = ("space-time", "space")
# The methods that kernels replace: if one of them is not the package's own, the plain version runs.
REPLACED = ("summed_input", "kept", "between", "encode", "frames", "_through_layers")
REPLACED_INSIDE = frozenset({"chances", "from_sums", "vote", "constants_now"})
READ_BY_SPIKES = (
    "rate",
    "first-spike",
)  # read-outs that use the neurons of the last layer, not only their input
GAIN = 0.4  # the initial fluctuation of a layer's summed input, in thresholds


@dataclass(frozen=True, slots=True)
class Record:
    """The activity inside a spiking net: all tensors are [T, B, ...] unless stated otherwise.

    `inputs` the encoded input, `spikes` and `potentials` (before the reset) one tensor per layer, `scores` [B, K],
    `state` one `NeuronState` per layer after the last step: pass it to the next `run` to continue, or `one.detach()` of
    each of them for truncated back-propagation.
    """

    inputs: Tensor
    spikes: list[Tensor]
    potentials: list[Tensor]
    scores: Tensor
    state: list[Any]

    @property
    def counts(self) -> list[Tensor]:
        """The number of spikes of each neuron, [B, ...] for each layer."""
        return [spikes.sum(0) for spikes in self.spikes]


class SpikingNet(nn.Module):
    """The base of all spiking nets: an encoder, layers of synapses and neurons, a read-out, and two backends.

    `backend` is "plain" (PyTorch, layer by layer, on any device: the definition), "fused" (compiled kernels in blocks
    of time steps that compute only for actual spikes, CPU) or "auto": fused if possible, else plain; plain too if there
    are hooks on the layers. Both draw the same spikes.

    `gradient` is "space-time", back-propagation through layers and steps, or "space", the older method without time:
    see `functional.space_only`.
    """

    def __init__(
        self,
        steps: int,
        encoder: nn.Module | str | None,
        readout: str | nn.Module,
        backend: str,
        gradient: str = "space-time",
        *,
        votes: int = 1,
        decay: float = 0.5,
    ) -> None:
        super().__init__()
        self.steps = steps
        self.backend = require_choice("backend", backend, BACKENDS)
        self.gradient = require_choice("gradient", gradient, GRADIENTS)
        self.encoder = make_encoder(encoder)
        self.synapses = nn.ModuleList()
        self.neurons = nn.ModuleList()
        self.readout = make_readout(readout, votes, decay)

    @property
    def steps(self) -> int:
        """T, the time steps over which images are encoded; it may be changed at any time, even after training."""
        return self._steps

    @steps.setter
    def steps(self, steps: int) -> None:
        self._steps = require_whole("steps", steps)

    @property
    def one_input(self) -> tuple[int, ...]:
        """The shape of one input, as the encoder takes it."""
        raise NotImplementedError(f"{type(self).__name__} must define one_input")

    def pixels(self, x: Tensor) -> Tensor:
        """Return images in the form that the encoder takes; raises `ShapeError`."""
        raise NotImplementedError(f"{type(self).__name__} must define pixels")

    def summed_input(self, layer: int, signals: Mapping[int, Tensor]) -> Tensor:
        """Return the summed input [T, B, ...] of the neurons of `layer`.

        `signals` holds the input of `layer`, and those of the earlier layers that `kept` names.
        """
        return at_every_step(self.synapses[layer], signals[layer])

    def kept(self, layer: int) -> int:
        """Return the first layer whose incoming signal is still needed after `layer`: where a shortcut begins."""
        return layer + 1

    def between(
        self, layer: int, spikes: Tensor, signals: Mapping[int, Tensor], remembered: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the signal from the neurons of `layer` to the next one [T, B, ...]: pooled, flattened or unchanged.

        The state of a normalisation is returned with it, for the next call.
        """
        return spikes, None

    def blocks(self, keep: bool) -> tuple[list[Layer], int]:
        """Return the net as layers for time blocks, and the number of values per example of its largest layer."""
        layers: list[Layer] = []
        for number, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons, strict=True)):
            inside = Neurons(cast(LIF, neuron).constants_now(), keep)
            first, last = number == 0, number == len(self.synapses) - 1
            layers.append(LinearLayer(*weights_of(synapse), inside, first=first, last=last))
        return layers, max(len(layer.weight) for layer in layers)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return scores [B, K] of images [B, C, H, W], or of vectors [B, D] if the net takes them, in 0..1.

        Frames and spike trains [B, T, ...] (see `trains`) are used unchanged, over their own T steps. `generator` draws
        the spikes; None takes torch's own. Raises `ShapeError`, `ConfigError`, `NumericError`.
        """
        obstacle = "backend=plain was chosen" if self.backend == "plain" else self._obstacle(x)
        if obstacle is None and is_train(x, self.one_input):
            return self._forward_in_blocks(self.encode(x), None, given=True)
        if obstacle is None:
            return self._forward_in_blocks(self.pixels(x), generator)
        if self.backend == "fused":
            raise ConfigError(f'backend="fused" cannot run here: {obstacle}; use backend="auto"')
        if self.gradient == "space" and torch.is_grad_enabled():
            return self._forward_in_space(self.encode(x, generator))
        return self._through_layers(self.encode(x, generator))

    def run(self, x: Tensor, state: Sequence[Any] | None = None, generator: torch.Generator | None = None) -> Record:
        """Return the `Record` of a forward pass, from rest or from the `state` of an earlier record.

        Raises what `forward` raises, and `ShapeError` if `state` is of another net or batch.
        """
        if state is not None and len(state) != len(self.neurons):
            raise ShapeError(f"the state is of {len(state)} spiking layers, the net has {len(self.neurons)}")
        inputs = self.encode(x, generator)
        fired: list[Tensor] = []
        potentials: list[Tensor] = []
        after: list[NeuronState] = []
        scores = self._through_layers(inputs, state, (fired, potentials, after))
        return Record(inputs, fired, potentials, scores, after)

    def _through_layers(
        self,
        inputs: Tensor,
        state: Sequence[Any] | None = None,
        notes: tuple[list[Tensor], list[Tensor], list[NeuronState]] | None = None,
    ) -> Tensor:
        """Return the scores from encoded `inputs`, layer by layer; `notes` collect spikes, potentials and states."""
        signals, currents, spikes = {0: inputs}, inputs, inputs
        for layer, neuron in enumerate(self.neurons):
            before = None if state is None else state[layer]
            currents = self.summed_input(layer, signals)
            spikes, after = fire(neuron, currents, before, None if notes is None else notes[1])
            remembered = getattr(before, "normalisation", None)
            signals[layer + 1], remembered = self.between(layer, spikes, signals, remembered)
            if notes is not None:
                notes[0].append(spikes)
                notes[2].append(after._replace(normalisation=remembered) if isinstance(after, NeuronState) else after)
            for done in [one for one in signals if one < self.kept(layer)]:
                del signals[done]
        return cast(Tensor, self.readout(spikes, currents))

    def _forward_in_space(self, inputs: Tensor) -> Tensor:
        """Return the scores from encoded `inputs`, with the gradient of aggregated spikes (`functional.space_only`)."""
        signals, rates = {0: inputs.detach()}, {0: inputs.mean(0, keepdim=True)}
        current, rate = rates[0], rates[0]
        for layer, neuron in enumerate(self.neurons):
            with torch.no_grad():
                trace: list[Tensor] = []
                spikes, _ = neuron(self.summed_input(layer, signals), trace=trace)
                signals[layer + 1], _ = self.between(layer, spikes, signals)
            current = self.summed_input(layer, rates)
            rate = aggregated(current[0], spikes, trace[0], cast(LIF, neuron).constants)[None]
            rates[layer + 1], _ = self.between(layer, rate, rates)
        known = cast(RateReadout | PotentialReadout, self.readout)  # checked by `require_spatial`
        return known.from_sums(rate[0] * self.steps, current[0] * self.steps, self.steps)

    def input_major(self) -> list[Tensor]:
        """Return the weights that `fit` stores by inputs, so that a kernel adds one row for each spike."""
        every = [part.weight for part in self.synapses.modules() if isinstance(part, nn.Linear)]
        return [weight for weight in every if isinstance(weight, nn.Parameter)]  # not computed from others

    @property
    def any_weight(self) -> Tensor:
        """The first weight of the first layer: its type and device are the net's."""
        return next(self.synapses.parameters())

    def encode(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the spikes [T, B, ...] of images or vectors in 0..1; frames [B, T, ...] get time first."""
        if is_train(x, self.one_input):
            return self.frames(x)
        return cast(Tensor, self.encoder(self.pixels(x), self.steps, generator))

    def frames(self, x: Tensor) -> Tensor:
        """Return frames or spike trains [B, T, ...] with time first, [T, B, ...], as the layers take them."""
        return train_steps(type(self).__name__, x, self.one_input, next(self.synapses.parameters(), None))

    def _obstacle(self, x: Tensor) -> str | None:
        """Return why the kernels cannot be used, or None if they can."""
        weight = self.any_weight
        if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
            return f"the weights are {weight.dtype} on {weight.device.type}"
        if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
            return "under autocast and torch.compile torch chooses the kernels"
        if x.requires_grad:
            return "the gradient of the image is needed"
        if len(x) == 0:
            return "the batch is empty"
        if is_train(x, self.one_input):
            if not is_binary(x):
                return "the frames hold counts: other values than 0 and 1"
        elif type(self.encoder) not in (Bernoulli, Poisson, Latency):
            return f"{type(self.encoder).__name__} may send values other than spikes"
        if type(self.readout) not in (RateReadout, PotentialReadout):
            return f"the read-out {type(self.readout).__name__} has no kernel"
        if self.gradient == "space" and torch.is_grad_enabled():
            return "the gradient of aggregated spikes has no kernel"
        return self._obstacle_inside()

    def _obstacle_inside(self) -> str | None:
        """Return what in the net, or in one of its modules, the kernels would ignore."""
        if (name := replaced_method(self, REPLACED)) is not None:
            return f"{type(self).__name__}.{name} is not the library's own"
        if all_are_watched():
            return "there are hooks on all modules"
        for module in self.modules():
            if isinstance(module, LIF) and not module.iterative:
                return f"{type(module).__name__}({module.extra_repr()}) has options without a kernel"
            known = type(module) in (nn.Linear, nn.Conv2d, LIF, IF) or module in (self.encoder, self.readout, self)
            if not known and type(module) not in (nn.ModuleList, nn.ModuleDict, nn.AvgPool2d):
                return f"{type(module).__name__} has no kernel"
            if module is not self and is_watched(module):
                return "there are hooks on its layers"
            if module is not self and (name := replaced_method(module, REPLACED_INSIDE & vars(module).keys())):
                return f"{type(module).__name__}.{name} is not the library's own"
        return None

    def _forward_in_blocks(self, pixels: Tensor, generator: torch.Generator | None, *, given: bool = False) -> Tensor:
        """Return the scores of images [B, ...] or, if `given`, of spikes [T, B, ...]."""
        steps, batch = pixels.shape[:2] if given else (self.steps, len(pixels))
        weights = [one for synapse in self.synapses for one in weights_of(synapse)]
        keep = torch.is_grad_enabled() and any(one is not None and one.requires_grad for one in weights)
        layers, largest = self.blocks(keep)
        block = steps_per_block(steps, batch, largest, pixels.element_size())
        source = self._source(pixels, generator, given=given)
        counts, summed = run_in_blocks(layers, source, steps, block, weights)
        return cast(RateReadout | PotentialReadout, self.readout).from_sums(counts, summed, steps)

    def _source(self, pixels: Tensor, generator: torch.Generator | None, *, given: bool = False) -> Source:
        """Return the source of the image's spikes, as bytes, block by block."""
        chances = None if given else cast(Encoder, self.encoder).chances(pixels)
        if chances is None:
            spikes = pixels if given else self.encoder(pixels, self.steps, generator)
            train = spikes.to(torch.uint8).contiguous()
            return lambda first, steps: train[first : first + steps]
        key = draw_key(generator)
        return lambda first, steps: draw_spikes(chances, steps, key, first)


class SpikingMLP(SpikingNet):
    """A fully connected spiking net, such as `SpikingMLP([784, 800, 10])`; sizes list inputs, hidden layers, classes.

    `steps` is T. `encoder` is a module such as `Bernoulli()` (the default) or its name: "bernoulli", "poisson",
    "latency", or "direct", which makes the first layer the trainable encoding layer. `readout` is "rate",
    "first-spike", "potential" or "leaky" (see `readouts`), with `votes` neurons of the last layer for each class, or
    your own module, (spikes, currents [T, B, N]) -> scores [B, K]. `recurrent=True` gives the hidden layers recurrent
    weights. `gradient` is "space-time" or "space" and `backend` "plain", "fused" or "auto" (see `SpikingNet`). `init`
    names the initial values ("input" or "fluctuation", see `initial_values`), `generator` draws them. The other options
    are those of the neurons (see `NeuronOptions` and `LIF`). Raises `ConfigError`, and `ResourceError` for weights that
    do not fit into memory.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        steps: int = 10,
        encoder: nn.Module | str | None = None,
        readout: str | nn.Module = "rate",
        votes: int = 1,
        recurrent: bool = False,
        gradient: str = "space-time",
        init: str = "input",
        backend: str = "auto",
        generator: torch.Generator | None = None,
        **neurons: Unpack[NeuronOptions],
    ) -> None:
        one = make_neurons(neurons)
        super().__init__(steps, encoder, readout, backend, gradient, votes=votes, decay=one.constants.decay)
        self.sizes = require_sizes("sizes", sizes)
        threshold = one.constants.threshold
        gain, last_gain = (one.gain(kind, GAIN, steps) for kind in (init, "input"))
        widths = [*self.sizes[:-1], self.sizes[-1] * votes]
        require_weights("SpikingMLP", pairwise(widths))
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            last = layer == len(widths) - 2
            own_gain = last_gain if last else gain
            self.synapses.append(spiking_linear(inputs, outputs, threshold, generator, own_gain))
            own = for_last_layer(neurons, readout) if last else neurons
            self.neurons.append(
                make_neurons(
                    own, recurrent=0 if last or not recurrent else outputs, generator=generator, layer=(outputs,)
                )
            )
        require_spatial(self)

    def stack(self, n: int) -> StackedSpikingMLP:
        """Return an empty stack for `n` nets like this one, which then train together; `ConfigError` if it cannot be
        stacked."""
        return StackedSpikingMLP(self, n)

    def pixels(self, x: Tensor) -> Tensor:
        """Return images or vectors as vectors for the encoder, [B, D]. Raises `ShapeError`."""
        return require_features("SpikingMLP", x, self.sizes[0], self.any_weight)

    @property
    def one_input(self) -> tuple[int, ...]:
        """The shape of one input: a vector."""
        return (self.sizes[0],)

    def extra_repr(self) -> str:
        """Return the settings shown by `print(model)`."""
        return f"sizes={self.sizes}, steps={self.steps}"


def for_last_layer(neurons: NeuronOptions, readout: str | nn.Module) -> NeuronOptions:
    """Return the options of the last layer's neurons: nothing in them learns if `readout` does not read their
    spikes."""
    if readout in READ_BY_SPIKES or isinstance(readout, nn.Module):
        return neurons
    return {
        **neurons,
        "learnable_decay": False,
        "learnable_threshold": False,
        "learnable_synaptic_decay": False,
        "per": "layer",
    }


def require_spatial(net: SpikingNet) -> None:
    """Raise `ConfigError` if `gradient="space"` could not reach every parameter of `net`, or would be wrong."""
    if net.gradient != "space":
        return
    if isinstance(net.readout, LeakyReadout):
        raise ConfigError('gradient="space" cannot use readout="leaky"; use "rate" or "potential"')
    for part in (*net.neurons, net.readout):
        if type(part) not in (LIF, IF, RateReadout, PotentialReadout):
            raise ConfigError(f'gradient="space" does not support {type(part).__name__}; use gradient="space-time"')
    for module in net.modules():
        if isinstance(module, LIF) and (not module.uniform or module.recurrent_weight is not None):
            raise ConfigError('gradient="space" cannot train decays, recurrent weights, thresholds or unequal neurons')
        if isinstance(module, LIF) and (module.options.adaptation or module.options.refractory):
            raise ConfigError('gradient="space" supports neither adaptive thresholds nor refractory steps')
        if isinstance(module, AnyBatchNorm | NeuNorm):
            raise ConfigError(f'gradient="space" sees mean spikes, {type(module).__name__} would normalise those')
