"""The constants of Diehl and Cook's network and of its learning rules, and the arrays that pass them to kernels.

Values are those of the script that its authors published with P. U. Diehl and M. Cook, "Unsupervised learning of digit
recognition using spike-timing-dependent plasticity", Frontiers in Computational Neuroscience 9:99 (2015). Potentials
are in mV, times in ms, conductances in units of the leak's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from threegen.checks import require_choice, require_number, require_whole
from threegen.errors import ConfigError

Array = np.ndarray[Any, Any]

# Indices in the array of numbers, which has the weights' type.
(
    ZERO,
    START,
    LEAK_E,
    REST_E,
    RESET_E,
    OFFSET,
    E_EXC,
    E_INH,
    DECAY_E,
    DECAY_I,
    FLOOR,
    GAIN,
    LEAK_I,
    REST_I,
    RESET_I,
    THRESHOLD_I,
    EXC_TO_INH,
    INH_TO_EXC,
    THETA_PLUS,
    THETA_KEEP,
    CHANCE,
    NORM,
    LARGEST,
    ETA_PRE,
    ETA_POST,
    TARGET,
    EXPONENT,
    BETA,
) = range(28)
# Indices in the array of whole numbers.
STEPS, REST_STEPS, SLOTS, WIDTH, HELD_E, HELD_I, LAYER, LEAST, MOST, KIND = range(10)
KINDS = ("triplet", "pair", "power", "exponential", "symmetric")
TRIPLET, PAIR, POWER, EXPONENTIAL, SYMMETRIC = range(5)


@dataclass(frozen=True)
class Variant:
    """One way to simulate the network; `paper` is that of the published script, the others describe their changes.

    `inhibition`: "layer" (an inhibitory neuron for each excitatory one) or "winner" (of the neurons at threshold only
    the one furthest above it fires; the others are reset and all but the winner inhibited at once).
    `delays`: "synapse" (each its own, uniform in 0..10 ms), "grouped" (an input's synapses onto 16 adjacent neurons
    share one) or "none". `rest` 0 ms resets the state between presentations instead.
    """

    name: str
    about: str
    dt: float = 0.5
    present: float = 350.0
    rest: float = 150.0
    inhibition: str = "layer"
    delays: str = "synapse"
    intensity: float = 2.0  # of the first presentation; 2 means at most 63.75 Hz
    more_intensity: float = 1.0  # the increment for each further presentation of the same example

    def __post_init__(self) -> None:
        require_choice("inhibition", self.inhibition, ("layer", "winner"))
        require_choice("delays", self.delays, ("synapse", "grouped", "none"))
        for name in ("dt", "present", "intensity", "more_intensity"):
            require_number(name, getattr(self, name), above=0.0)
        if self.rest != 0 and require_number("rest", self.rest, least=0.0) < 75.0:
            raise ConfigError(f"rest is 0 (the state is reset) or at least 75 ms, got {self.rest:g}")

    @property
    def steps(self) -> int:
        """The steps of one presentation."""
        return round(self.present / self.dt)

    @property
    def rest_steps(self) -> int:
        """The steps of the rest after a presentation."""
        return round(self.rest / self.dt)

    @property
    def slots(self) -> int:
        """The number of possible delays in steps, 0 without delays."""
        return 0 if self.delays == "none" else round(10.0 / self.dt)


VARIANTS = {
    one.name: one
    for one in (
        Variant("paper", "the published network: inhibitory layer, a delay per synapse, 350 + 150 ms at 0.5 ms"),
        Variant("grouped", "the published network with delays shared by 16 neurons each", delays="grouped"),
        Variant(
            "fast",
            "one winner inhibits at once; no inhibitory layer, no delays; the state is reset instead of a rest",
            inhibition="winner",
            delays="none",
            rest=0.0,
        ),
        Variant(
            "faster",
            "as fast, with steps of 1 ms and 250 ms per example",
            dt=1.0,
            present=250.0,
            intensity=2.8,
            more_intensity=1.4,
            inhibition="winner",
            delays="none",
            rest=0.0,
        ),
    )
}


@dataclass(frozen=True)
class Plasticity:
    """A rule of learning by spike timing; rates and constants are those of the published script.

    Traces are set to 1 by a spike and decay: x_pre (20 ms) of inputs, x_post1 (20 ms) and x_post2 (40 ms) of neurons.

    `triplet`: pre -eta_pre x_post1; post +eta_post x_pre x_post2.      `pair`: the same without x_post2.
    `power`: post +eta_post (x_pre - target) (w_max - w)^exponent.
    `exponential`: post +eta_post (x_pre e^(-beta w) - target e^(-beta (w_max - w))).
    `symmetric`: pre -eta_pre x_post1 w^exponent; post as `power`.
    `rate` multiplies both rates and `theta_plus`: a schedule reduces it.
    """

    kind: str = "triplet"
    eta_pre: float = 1e-4
    eta_post: float = 1e-2
    target: float = 0.4
    exponent: float = 0.2
    beta: float = 1.0
    norm: float = 78.0 / 784.0  # the sum of a neuron's weights, for each input
    theta_plus: float = 0.05

    def __post_init__(self) -> None:
        require_choice("kind", self.kind, KINDS)
        for name in ("eta_pre", "eta_post", "target", "exponent", "beta", "theta_plus"):
            require_number(name, getattr(self, name), least=0.0)
        require_number("norm", self.norm, above=0.0, most=1.0)


def numbers_of(
    variant: Variant, inputs: int, dtype: Any, plasticity: Plasticity | None = None, rate: float = 1.0
) -> Array:
    """Return the constants of a network of `inputs` inputs, with those of a rule if there is one, as an array."""
    dt, rule = variant.dt, plasticity or Plasticity()
    values = {
        ZERO: 0.0,
        START: 1.0,
        LEAK_E: dt / 100.0,
        REST_E: -65.0,
        RESET_E: -65.0,
        OFFSET: -52.0 - 20.0,
        E_EXC: 0.0,
        E_INH: -100.0,
        DECAY_E: 1.0 - dt / 1.0 if dt < 1.0 else float(np.exp(-dt / 1.0)),  # Euler is not stable for steps of tau
        DECAY_I: 1.0 - dt / 2.0 if dt < 1.0 else float(np.exp(-dt / 2.0)),
        FLOOR: 1e-6,
        GAIN: 784.0 / inputs,
        LEAK_I: dt / 10.0,
        REST_I: -60.0,
        RESET_I: -45.0,
        THRESHOLD_I: -40.0,
        EXC_TO_INH: 10.4,
        INH_TO_EXC: 17.0,
        THETA_PLUS: rate * rule.theta_plus,
        THETA_KEEP: float(np.exp(-(variant.present + variant.rest) / 1e7)),
        CHANCE: 255.0 / 8.0 * dt / 1000.0,
        NORM: rule.norm * inputs,
        LARGEST: 1.0,
        ETA_PRE: rate * rule.eta_pre,
        ETA_POST: rate * rule.eta_post,
        TARGET: rule.target,
        EXPONENT: rule.exponent,
        BETA: rule.beta,
    }
    return np.array([values[place] for place in sorted(values)], dtype=dtype)


def wholes_of(variant: Variant, plasticity: Plasticity | None, least: int, most: int) -> Array:
    """Return the whole numbers of a network: steps, delays, refractory periods, the retry and the kind of rule."""
    rule = plasticity or Plasticity()
    values = {
        STEPS: variant.steps,
        REST_STEPS: variant.rest_steps,
        SLOTS: variant.slots,
        WIDTH: 16 if variant.delays == "grouped" else 1,
        HELD_E: round(5.0 / variant.dt),
        HELD_I: round(2.0 / variant.dt),
        LAYER: int(variant.inhibition == "layer"),
        LEAST: require_whole("least", least, least=0),
        MOST: require_whole("most", most, least=0),
        KIND: KINDS.index(rule.kind),
    }
    return np.array([values[place] for place in sorted(values)], dtype=np.int64)


def tables_of(variant: Variant, dtype: Any) -> Array:
    """Return [3, steps + 1], the decays of x_pre, x_post1 and x_post2 by the steps since the last spike."""
    time = variant.dt * np.arange(variant.steps + variant.rest_steps + 1)
    decays: Array = np.exp(-time / np.array([[20.0], [20.0], [40.0]]))
    return decays.astype(dtype)
