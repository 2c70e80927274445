"""An example for each public name of `tg.neurons`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

currents = torch.full((10, 1, 1), 0.4)  # [T, B, N]: ten steps of the same input

# %% LIF
spikes, state = tg.neurons.LIF(decay=0.5, threshold=0.7)(currents)
print(spikes.flatten().tolist())

# %% IF
spikes, state = tg.neurons.IF(threshold=1.0, reset="soft")(currents)
assert spikes.sum() == 4  # ten inputs of 0.4 pass the threshold of 1 four times

# %% LeakyIntegrator
potentials, state = tg.neurons.LeakyIntegrator(decay=0.9)(currents)  # sums its input and never fires

# %% SynapticLIF
spikes, state = tg.neurons.SynapticLIF(decay=0.5, synaptic_decay=0.8)(currents)  # input decays in the synapse

# %% NeuNorm
scaled = tg.neurons.NeuNorm(8)(torch.rand(3, 2, 8, 5, 5))  # [T, B, C, H, W]

# %% ThresholdBatchNorm
normalised = tg.neurons.ThresholdBatchNorm(8, threshold=0.5)(torch.rand(6, 8, 5, 5))  # [T * B, C, H, W]

# %% BernoulliUnits, JoinedUnits, SoftmaxUnits
units = [tg.neurons.BernoulliUnits(20), tg.neurons.SoftmaxUnits(10)]  # joined: 20 pixels and one label
rbm = tg.RBM(30, 15, units)
assert isinstance(rbm.visible_units, tg.neurons.JoinedUnits)

# %% GaussianUnits
rbm = tg.RBM(20, 15, tg.neurons.GaussianUnits(20))  # for standardised real values
