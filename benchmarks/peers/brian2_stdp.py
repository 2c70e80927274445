"""The published network in Brian2 (cython): conductances, one delay per synapse, triplet rule, 350 + 150 ms at 0.5
ms."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import brian2 as b
from worker import serve

neurons = int(sys.argv[-1])
images = np.load(Path(os.environ["THREEGEN_BENCH_DATA"]) / "stdp-images.npy").reshape(-1, 784)
b.defaultclock.dt = 0.5 * b.ms
b.seed(0)

EXCITATORY = """
dv/dt = ((-65*mV - v) + g_e * (0*mV - v) + g_i * (-100*mV - v)) / (100*ms) : volt (unless refractory)
dg_e/dt = -g_e / (1*ms) : 1
dg_i/dt = -g_i / (2*ms) : 1
dtheta/dt = -theta / (1e7*ms) : volt
"""
INHIBITORY = """
dv/dt = ((-60*mV - v) + g_e * (0*mV - v) + g_i * (-85*mV - v)) / (10*ms) : volt (unless refractory)
dg_e/dt = -g_e / (1*ms) : 1
dg_i/dt = -g_i / (2*ms) : 1
"""
source = b.PoissonGroup(784, rates=np.zeros(784) * b.Hz)
excitatory = b.NeuronGroup(
    neurons,
    EXCITATORY,
    threshold="v > theta - 72*mV",
    reset="v = -65*mV; theta += 0.05*mV",
    refractory=5 * b.ms,
    method="euler",
)
inhibitory = b.NeuronGroup(
    neurons, INHIBITORY, threshold="v > -40*mV", reset="v = -45*mV", refractory=2 * b.ms, method="euler"
)
excitatory.v, excitatory.theta, inhibitory.v = -65 * b.mV, 20 * b.mV, -60 * b.mV
learning = b.Synapses(
    source,
    excitatory,
    """w : 1
    dpre/dt = -pre / (20*ms) : 1 (event-driven)
    dpost1/dt = -post1 / (20*ms) : 1 (event-driven)
    dpost2/dt = -post2 / (40*ms) : 1 (event-driven)""",
    on_pre="g_e_post += w; pre = 1; w = clip(w - 0.0001 * post1, 0, 1)",
    on_post="w = clip(w + 0.01 * pre * post2, 0, 1); post1 = 1; post2 = 1",
)
learning.connect()
learning.w = "0.3 * (rand() + 0.01)"
learning.delay = "10*ms * rand()"
excite = b.Synapses(excitatory, inhibitory, on_pre="g_e_post += 10.4")
excite.connect(j="i")
inhibit = b.Synapses(inhibitory, excitatory, on_pre="g_i_post += 17.0")
inhibit.connect("i != j")
network = b.Network(source, excitatory, inhibitory, learning, excite, inhibit)


def work(quick: bool) -> float:
    """Return CPU milliseconds per image; compilation, at the first request, is not counted."""
    count = 1 if quick else 3
    begun = time.process_time()
    for number in range(count):
        weights = np.asarray(learning.w).reshape(784, neurons)
        learning.w = (weights * (78.0 / weights.sum(0))).ravel()
        source.rates = images[number] * 63.75 * b.Hz
        network.run(350 * b.ms)
        source.rates = np.zeros(784) * b.Hz
        network.run(150 * b.ms)
    return 1e3 * (time.process_time() - begun) / count


serve(work, ("brian2", "numpy"))
