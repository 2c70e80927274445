"""The package's neurons in NIR's continuous parameters, and back.

NIR (Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set for interoperable
brain-inspired computing", Nature Communications 15:8122, 2024) describes neurons by differential equations:

    LIF       tau dv/dt = (v_leak - v) + R I      z = 1 where v > v_threshold      v := v_reset where z = 1
    CubaLIF   the same with tau_mem for tau, and     tau_syn dI/dt = -I + w_in S
    IF        dv/dt = R I                         LI and I are LIF and IF that never fire

A forward Euler step of length dt turns LIF into v[t] = v_leak + (1 - dt/tau) (v[t-1] - v_leak) + (R dt/tau) I[t], which
is the neuron of the package, u[t] = rest + decay (u[t-1] - rest) + I[t], for

    tau = dt / (1 - decay)    R = 1 / (1 - decay)    v_leak = rest    v_reset = reset_to          (decay < 1: LIF, LI)
    R = 1 / dt                                                         v_reset = reset_to          (decay = 1: IF, I)
    tau_syn = dt / (1 - synaptic_decay)    w_in = 1 / (1 - synaptic_decay)                       (SynapticLIF: CubaLIF)

NIR fires above the threshold, the package at the threshold. So v_threshold is the largest number of the model's type
below the threshold, which gives identical spikes. NIR has no reset by subtraction; it is written as an integrator, a
threshold and a feedback with a delay of one step, as every cycle in NIR has:

    LI -> Threshold -> Scale(-decay (threshold - reset_to)) -> LI
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from threegen.errors import ConfigError, DataError
from threegen.functional.spiking.neurons import RESETS, SURROGATES
from threegen.gen3.graph_neurons import StartedIF, Sum
from threegen.gen3.neurons import IF, LIF
from threegen.gen3.synaptic import SynapticLIF

Array = np.ndarray[Any, Any]
CLOSE = 1e-5  # relative: the rounding error of a constant in float32 after a division
EXACT = ("decay", "threshold", "rest", "reset_to", "synaptic_decay", "initial")


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of a layer of neurons in discrete time: arrays [] if all neurons are equal, else of the layer's
    shape.

    `gain` is the potential that an input of 1 adds; `reset` is "hard" or "soft". `synaptic_decay` is None if there is
    no synaptic current. `initial` is the potential before the first step, None for rest.
    """

    decay: Array
    threshold: Array
    rest: Array
    reset_to: Array
    gain: Array
    reset: str
    synaptic_decay: Array | None = None
    initial: Array | None = None


def require_expressible(neuron: nn.Module, place: str) -> LIF:
    """Return neurons that NIR can describe; raises `ConfigError` with the reason for others."""
    if type(neuron) not in (LIF, IF, SynapticLIF, StartedIF):
        raise ConfigError(f"{place}: NIR has no {type(neuron).__name__}; it describes LIF, IF and SynapticLIF")
    known = cast(LIF, neuron)
    own = known.options
    if own.refractory:
        raise ConfigError(f"{place}: NIR's neurons have no refractory steps; set refractory=0")
    if own.adaptation:
        raise ConfigError(f"{place}: NIR's neurons have no adaptive threshold; set adaptation=0")
    if own.kernel != (1.0,):
        raise ConfigError(f"{place}: NIR has no window of several steps (kernel); use kernel=(1.0,)")
    if isinstance(known, SynapticLIF) and known.constants.reset == "soft":
        raise ConfigError(f"{place}: a synaptic current together with a reset by subtraction cannot be written as NIR")
    return known


def constants_of(neuron: LIF) -> Constants:
    """Return the current constants of neurons, learned ones included."""
    known, none = neuron.constants, np.zeros(())
    synaptic = None
    if isinstance(neuron, SynapticLIF):
        synaptic = _array(neuron.synaptic_constant, neuron.synaptic_decay)
    return Constants(
        _array(known.decay, neuron.decay),
        _array(known.threshold, neuron.threshold),
        none + neuron.options.rest,
        none + neuron.options.reset_to,
        none + 1.0,
        known.reset,
        synaptic,
        _array(0.0, neuron.initial) if isinstance(neuron, StartedIF) else None,
    )


def shifted(own: Constants, shape: tuple[int, ...]) -> Constants:
    """Return the constants of the same neurons with their initial potentials subtracted: NIR starts from zero.

    Without a leak, u - u_0 follows the same equation with threshold - u_0 and reset_to - u_0.
    """
    if own.initial is None:
        return own
    start = own.initial.reshape(-1, *[1] * (len(shape) - 1))
    return replace(own, threshold=own.threshold - start, reset_to=own.reset_to - start)


def _array(constant: float, values: Tensor | None) -> Array:
    return np.asarray(constant if values is None else values.detach().cpu().double().numpy(), np.float64)


def membrane_of(own: Constants, dt: float) -> tuple[str, dict[str, Array]]:
    """Return the kind of node, "LI" or "I", that integrates as neurons do, and its constants.

    Raises `ConfigError` if some neurons of a layer leak and others do not: NIR has no time constant for those.
    """
    if (own.decay == 1.0).all():
        return "I", {"r": np.asarray(1 / dt)}  # nothing leaks, so a rest has an effect only at the start
    if (own.decay == 1.0).any():
        raise ConfigError(
            "some neurons of a layer leak and others do not (decay 1); NIR has no time constant for those"
        )
    return "LI", {"tau": dt / (1 - own.decay), "r": 1 / (1 - own.decay), "v_leak": own.rest}


def synapse_of(own: Constants, dt: float) -> dict[str, Array]:
    """Return the constants of the synaptic current in CubaLIF; raises `ConfigError` if it does not decay."""
    decay = cast(Array, own.synaptic_decay)
    if (decay == 1.0).any() or (own.decay == 1.0).any():
        raise ConfigError("a current or a potential of CubaLIF decays; NIR has no time constant for a decay of 1")
    return {"tau_syn": dt / (1 - decay), "w_in": 1 / (1 - decay)}


def just_below(threshold: Array, kind: Any) -> Array:
    """Return the largest number of type `kind` below `threshold`: being above it is reaching the threshold."""
    return np.asarray(np.nextafter(threshold.astype(kind), kind(-np.inf)))


def metadata_of(neuron: LIF) -> dict[str, Any]:
    """Return the exact discrete constants, and what only training needs: NIR itself cannot store them."""
    known, own = neuron.constants, constants_of(neuron)
    values: dict[str, Any] = {name: getattr(own, name) for name in EXACT}
    return {
        **{name: float(value) if value.ndim == 0 else value for name, value in values.items() if value is not None},
        "reset": known.reset,
        "surrogate": known.surrogate if isinstance(known.surrogate, str) else "own function",
        "surrogate_width": known.surrogate_width,
        "detach_reset": int(known.detach_reset),
    }


def euler(place: str, node: Any, level: Any, dt: float, *, strict: bool, kind: Any, feedback: Any = None) -> Constants:
    """Return the discrete constants of a node of neurons under an Euler step of `dt` seconds.

    `level` is its threshold. `strict`: the node fires above its threshold, as NIR defines it. `feedback` is the scale
    of a reset by subtraction. Raises `DataError`.
    """
    threshold, none = finite(place, "a threshold", level), np.zeros(())
    if (threshold <= 0).any():
        raise DataError(
            f"{place} has a threshold of {float(threshold.min()):g}; the package's neurons need one above 0"
        )
    if strict:
        threshold = np.nextafter(threshold.astype(kind), kind(np.inf)).astype(np.float64)
    decay, gain, rest, synaptic = none + 1.0, none + 1.0, none, None
    if hasattr(node, "tau_syn"):
        synaptic, gain = _leak(place, finite(place, "tau_syn", node.tau_syn), finite(place, "w_in", node.w_in), dt)
    tau = getattr(node, "tau_mem", getattr(node, "tau", None))
    if tau is None:
        gain = gain * finite(place, "r", node.r) * dt
    else:
        decay, own = _leak(place, finite(place, "tau", tau), finite(place, "r", node.r), dt)
        gain, rest = gain * own, finite(place, "v_leak", node.v_leak)
    if feedback is None:
        reset_to = finite(place, "v_reset", node.v_reset)
    else:
        reset_to = np.where(decay > 0, threshold + feedback * gain / np.where(decay > 0, decay, 1), 0.0)
    gain = np.ones(()) if np.allclose(gain, 1.0, rtol=CLOSE, atol=0) else gain
    if (gain <= 0).any():
        raise DataError(f"{place} has a resistance that is not above 0, so that an input could not reach its threshold")
    return Constants(
        decay, threshold / gain, rest / gain, reset_to / gain, gain, "hard" if feedback is None else "soft", synaptic
    )


def _leak(place: str, tau: Array, r: Array, dt: float) -> tuple[Array, Array]:
    """Return the decay of one step, and what an input of 1 adds; raises `DataError` for a tau below the step."""
    with np.errstate(divide="ignore"):
        leak = dt / tau
    if not ((leak > 0) & (leak <= 1 + CLOSE)).all():
        raise DataError(
            f"{place} has a time constant of {float(tau.min()):g} s, shorter than the time step of {dt:g} s; give the "
            f"step that the file was made for: dt=... (files of Norse need the square of Norse's dt)"
        )
    return np.maximum(0.0, 1.0 - leak), r * leak


def exact(found: Constants, metadata: Mapping[str, Any]) -> Constants:
    """Return the exact constants from the metadata if the file's arrays still agree with them."""
    told = {name: np.asarray(metadata[name], np.float64) for name in EXACT if _is_numbers(metadata.get(name))}
    if metadata.get("reset") != found.reset or not np.all(found.gain == 1.0) or not {*EXACT[:4]} <= set(told):
        return found
    held = Constants(gain=found.gain, reset=found.reset, **told)
    shape = found.threshold.shape
    if held.initial is not None:
        if held.initial.ndim != 1 or not shape or len(held.initial) != shape[0]:
            return found
        moved = shifted(held, shape)
        told = {**told, "threshold": moved.threshold, "reset_to": moved.reset_to}
    scale = np.abs(told["threshold"]).max()
    for name in ("decay", "threshold", "synaptic_decay"):
        own = getattr(found, name)
        if (own is None) != (name not in told) or (own is not None and not _same(own, told[name], 0.0)):
            return found
    leaks = bool((found.decay < 1.0).any())
    remembers = found.reset == "hard" or bool((found.decay > 0.0).all())
    if (leaks and not _same(found.rest, told["rest"], scale)) or (
        remembers and not _same(found.reset_to, told["reset_to"], scale)
    ):
        return found
    return held


def _same(own: Array, told: Array, scale: float) -> bool:
    try:
        return bool(np.allclose(own, told, rtol=CLOSE, atol=CLOSE * scale))
    except ValueError:  # shapes that do not fit
        return False


def neuron_of(place: str, own: Constants, shape: tuple[int, ...], metadata: Mapping[str, Any], recurrent: int) -> LIF:
    """Return the layer of neurons of `shape` that a file describes; raises `DataError` for impossible ones."""
    if own.initial is not None and not recurrent and (own.threshold == 1.0).all() and (own.decay == 1.0).all():
        started = StartedIF(len(own.initial), initial=0.0, reset=own.reset)
        started.initial.copy_(torch.from_numpy(own.initial))
        return started
    surrogate, width = metadata.get("surrogate"), metadata.get("surrogate_width", 1.0)
    options: dict[str, Any] = {
        "threshold": _values(place, "thresholds", own.threshold, shape),
        "reset": own.reset,
        "surrogate": surrogate if surrogate in SURROGATES else "rectangular",
        "surrogate_width": float(width) if _is_numbers(width) and np.ndim(width) == 0 and width > 0 else 1.0,
        "detach_reset": bool(metadata.get("detach_reset", False)),
        "reset_to": _one(place, "reset potentials", own.reset_to),
    }
    decay, rest = _values(place, "decays", own.decay, shape), _one(place, "resting potentials", own.rest)
    try:
        if own.synaptic_decay is not None:
            if recurrent:
                raise ConfigError("this package has no recurrent weights on neurons with a synaptic current")
            return SynapticLIF(decay, _values(place, "decays", own.synaptic_decay, shape), **options, rest=rest)
        if isinstance(decay, float) and decay == 1.0 and rest == 0.0:
            return IF(**options, recurrent=recurrent)
        return LIF(decay, **options, rest=rest, recurrent=recurrent)
    except ConfigError as problem:
        raise DataError(f"{place} cannot be a layer of neurons: {problem}") from problem


def told_by(place: str, metadata: Mapping[str, Any], shape: tuple[int, ...]) -> nn.Module:
    """Return the neurons that the metadata describe if the file holds only their summed input; else a sum."""
    told = {name: np.asarray(metadata[name], np.float64) for name in EXACT if _is_numbers(metadata.get(name))}
    if not {*EXACT[:4]} <= told.keys() or metadata.get("reset") not in RESETS:
        return Sum()
    return neuron_of(place, Constants(gain=np.ones(()), reset=metadata["reset"], **told), shape, metadata, 0)


def finite(place: str, name: str, value: Any) -> Array:
    """Return an array of a file; raises `DataError` if it is missing or holds a non-finite number."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as problem:
        raise DataError(f"{place} has {name} of {type(value).__name__}, expected numbers") from problem
    if array.size == 0 or not np.isfinite(array).all():
        raise DataError(f"{place} has {'no' if array.size == 0 else 'non-finite'} numbers in {name}")
    return array


def _values(place: str, name: str, values: Array, shape: tuple[int, ...]) -> float | Tensor:
    """Return the number that all neurons share, or a tensor with one for each channel or neuron of `shape`."""
    if values.size == 1 or float(np.ptp(values)) == 0.0:
        return float(values.flat[0])
    try:
        full = np.broadcast_to(values, shape)
    except ValueError:
        raise DataError(
            f"{place} has {name} for neurons {list(values.shape)}, its input is for neurons {list(shape)}"
        ) from None
    kind = torch.get_default_dtype()
    firsts = full[(slice(None), *(slice(0, 1) for _ in shape[1:]))]
    alike = np.array_equal(np.broadcast_to(firsts, shape), full)
    return torch.tensor(firsts if alike else full, dtype=kind)


def _one(place: str, name: str, values: Array) -> float:
    """Return the number that all neurons share; raises `DataError` if they differ."""
    if float(np.ptp(values)) > CLOSE * float(np.abs(values).max()):
        raise DataError(
            f"{place} has neurons of different {name} ({float(values.min()):g} to {float(values.max()):g}); a layer of "
            "this package has one for all of its neurons"
        )
    return float(values.flat[0])


def _is_numbers(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.size > 0 and np.issubdtype(value.dtype, np.number) and bool(np.isfinite(value).all())
    return isinstance(value, int | float | np.number) and bool(np.isfinite(float(value)))
