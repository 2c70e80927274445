"""An example for each public name of `tg.encoders`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

images = tg.load_data("mnist").test.inputs[:2]  # [2, 1, 28, 28]
seeded = torch.Generator().manual_seed(0)

# %% Bernoulli
spikes = tg.encoders.Bernoulli()(images, steps=10, generator=seeded)  # [T, B, 1, 28, 28], zeros and ones
assert set(spikes.unique().tolist()) == {0.0, 1.0}

# %% Direct
net = tg.SpikingMLP([784, 20, 10], steps=3, encoder="direct")  # the image enters the first layer at every step
assert net(images).shape == (2, 10)

# %% Latency
spikes = tg.encoders.Latency()(images, steps=10, generator=seeded)  # the brighter, the earlier
assert spikes.sum(0).max() <= 1

# %% Poisson
spikes = tg.encoders.Poisson(0.2)(images, steps=10, generator=seeded)  # at most a chance of 0.2 per step
assert spikes.mean() < 0.2

# %% GaborLatency
spikes = tg.encoders.GaborLatency(steps=15)(images)  # the strongest of four directions a place, the strongest first

# %% RankLatency
spikes = tg.encoders.RankLatency(steps=15)(images)  # one spike per contrast, the strongest first

# %% binary_image
spikes = tg.encoders.Bernoulli()(images, steps=20, generator=seeded)
picture = tg.encoders.binary_image(spikes, window=5)  # 1 for each pixel with at least one spike in five steps

# %% intensity_image
spikes = tg.encoders.Bernoulli()(images, steps=200, generator=seeded)
picture = tg.encoders.intensity_image(spikes)  # the mean over time
assert (picture - images).abs().mean() < 0.05
