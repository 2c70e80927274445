"""The fully connected net of `spiking_training.py` in Spyx: the net in one `lax.scan`, compiled by XLA.

Spyx's neurons reset softly and send their spikes a step late, so the step of its `LIF` is rewritten here; surrogate,
`Sequential` and `run` are its own. There are no convolutions: inside a scan XLA runs them very slowly on a CPU.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import jax
import jax.numpy as jnp
import numpy as np
import optax
import spyx.nn as snn
from flax import nnx
from spiking_case import best, in_layers, load_case, refuse_unequal
from spyx import axn
from worker import serve

case = load_case()
if case["spikes"].ndim > 3:
    raise SystemExit("Spyx is compared only on the fully connected net")
spikes, targets = jnp.asarray(case["spikes"], jnp.float32), jnp.asarray(case["targets"])


class HardLIF(snn.LIF):
    """u = u (1 - o) / 2 + x, no gradient through the reset."""

    def __call__(self, x, V):  # noqa: D102
        V = 0.5 * V + x
        fired = self.spike(V - self.threshold)
        return fired, V * (1 - jax.lax.stop_gradient(fired))


rngs = nnx.Rngs(0)
layers = []
for weight, bias in zip(in_layers(case, "weight"), in_layers(case, "bias"), strict=True):
    linear = nnx.Linear(weight.shape[1], weight.shape[0], rngs=rngs)
    linear.kernel[...], linear.bias[...] = jnp.asarray(weight.T), jnp.asarray(bias)
    neuron = HardLIF((weight.shape[0],), beta=0.5, threshold=0.5, activation=axn.boxcar(1.0, 1.0), rngs=rngs)
    layers += [linear, neuron]
model = snn.Sequential(*layers)
optimizer = nnx.Optimizer(model, optax.adam(1e-9), wrt=nnx.Param)


def loss(net):
    """Return the squared error and the rates [B, 10]."""
    fired, _ = snn.run(net, spikes)
    rates = fired.mean(0)
    return jnp.mean((rates - targets) ** 2), rates


@nnx.jit
def gradients(net):
    """Return rates and gradients."""
    return nnx.value_and_grad(loss, has_aux=True)(net)


@nnx.jit
def update(net, moments):
    """One update."""
    (error, _), found = nnx.value_and_grad(loss, has_aux=True)(net)
    moments.update(net, found)
    return error


(_, rates), found = gradients(model)
linears = [one for one in jax.tree.leaves(found.layers if hasattr(found, "layers") else found) if one.ndim]
refuse_unequal(
    case,
    np.asarray(rates),
    [np.asarray(one).T for one in linears if one.ndim == 2],
    [np.asarray(one) for one in linears if one.ndim == 1],
)
serve(lambda quick: best(lambda: update(model, optimizer).block_until_ready(), quick), ("spyx", "jax", "flax"))
