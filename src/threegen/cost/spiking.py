"""What the parts of a spiking net cost as a whole: neurons with their options, encoders, read-outs, NeuNorm, joints.

Prices are over the whole batch and all steps; `RULE` of `cost.bill` says how they are reckoned. A resting potential
other than zero costs nothing: it is a shift of all potentials. Shapes: T time steps, B examples.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from threegen.cost.operations import nonzero
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.encoders import Latency, Poisson
from threegen.gen3.neurons import LIF
from threegen.gen3.readouts import LeakyReadout, RateReadout, Readout


def neuron_price(layer: LIF, spikes: Tensor) -> tuple[dict[str, int], int]:
    """Return the operations of a layer of neurons that sent `spikes` [T, B, ...], and how many values each keeps."""
    own, sites, emitted = layer.options, spikes.numel(), nonzero(spikes)
    decay, window = layer.constants_now().decay, len(own.kernel) - 1
    price = {
        "leak": sites * (0.0 < decay < 1.0),
        "integrate": sites * (decay > 0.0),
        "threshold": sites,
        "reset": emitted,
    }
    if window:
        price |= {"mac": sites * window, "mac_nonzero": sites * window}
    if layer.recurrent_weight is not None:
        price["ac"] = nonzero(spikes[:-1]) * len(layer.recurrent_weight)
    if own.adaptation:
        price["leak"] += sites
        price["add"] = sites + emitted
    if own.refractory:
        price["compare"] = sites
    return price, 1 + window + bool(own.adaptation) + bool(own.refractory)


def encoder_price(encoder: nn.Module, x: Tensor, spikes: Tensor) -> dict[str, int]:
    """Return the operations of an encoder that made `spikes` [T, B, ...] from `x` [B, ...]."""
    if isinstance(encoder, Latency):
        return {"add": x.numel(), "mul": x.numel(), "compare": spikes.numel()}
    price = {"draw": spikes.numel(), "compare": spikes.numel()}
    return price | {"mul": x.numel(), "function": x.numel()} if isinstance(encoder, Poisson) else price


def readout_price(readout: Readout, spikes: Tensor, currents: Tensor, scores: Tensor) -> dict[str, int]:
    """Return the operations of a read-out from the spikes and the summed input [T, B, N] of the last layer."""
    price: dict[str, int] = {"add": currents.numel()}
    if isinstance(readout, RateReadout):
        price |= {"ac": nonzero(spikes), "compare": scores.numel()}
    if isinstance(readout, LeakyReadout):
        price["mul"] = currents.numel()
    price["add"] += scores.numel() * (readout.votes - 1)
    return price


def norm_price(spikes: Tensor) -> dict[str, int]:
    """Return the operations of NeuNorm on spikes [T, B, C, H, W]: auxiliary neurons, and what they take off."""
    places = spikes.numel() // spikes.shape[2]
    taken = spikes.numel()
    return {"ac": nonzero(spikes), "leak": places, "integrate": places, "mac": taken, "mac_nonzero": taken}


def joint_price(signal: Any, shortcut: Tensor) -> dict[str, int]:
    """Return the operations of adding a shortcut: one accumulate a spike, or one addition a value."""
    return {"ac": nonzero(shortcut)} if signal == "spikes" else {"add": shortcut.numel()}


def competition_price(model: DiehlCook, outcome: Tensor) -> dict[str, dict[str, int]]:
    """Return the operations of Diehl and Cook's network for outcomes [B, 5], by row: encoder, neurons, read-out.

    An input spike is one addition a neuron that it reaches, a neuron's spike one for each that it inhibits. Each neuron
    keeps a potential and two conductances: three leaks, one integration and four multiplications (by driving forces
    and dt / tau) a step of each presentation; the rest, in which nothing arrives, is not billed. Random numbers are
    drawn one a spike.
    """
    _, repeats, _, sent, fired = (int(column) for column in outcome.sum(0))
    sites = (len(outcome) + repeats) * model.variant.steps * model.neurons
    neurons = {
        "ac": sent * model.neurons + fired * (model.neurons - 1),
        "mul": 4 * sites,
        "leak": 3 * sites,
        "integrate": sites,
        "threshold": sites,
        "reset": fired,
    }
    votes = len(outcome) * model.neurons * model.classes
    return {"encoder": {"draw": sent}, "neurons": neurons, "read-out": {"mac": votes, "mac_nonzero": votes}}
