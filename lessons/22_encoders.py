# %% [markdown]
# # 22. From images to spikes and back
# **Question.** How is an image turned into spikes? **Time:** 1 minute.
#
# There are three ways. Rate coding draws a spike at each time step, with the intensity of the pixel as its probability.
# Latency coding gives one spike per pixel: the brighter the pixel, the earlier the spike. Direct coding feeds the image
# itself into a first layer of neurons.

# %%
import torch

import threegen as tg
from threegen.functional.encoding import bernoulli_spikes, latency_spikes

image = tg.load_data("mnist").test.inputs[:1]
g = torch.Generator().manual_seed(0)
trains = bernoulli_spikes(image, 50, g)  # [T, B, 1, 28, 28]
print("rate coding:", tuple(trains.shape), f"  {int(trains.sum())} spikes")
assert set(trains.unique().tolist()) == {0.0, 1.0}

# %% [markdown]
# **From spikes to an image.** The mean over the time steps estimates the image. The error is inversely proportional to
# the square root of the number of steps.

# %%
for steps in (1, 4, 16, 64, 256):
    decoded = bernoulli_spikes(image, steps, g).mean(0)
    print(f"{steps:4} steps: root mean squared error {((decoded - image) ** 2).mean().sqrt():.4f}")

# %% [markdown]
# **Latency coding** needs only one spike per pixel.

# %%
early = latency_spikes(image, 10)
print(f"latency coding: {int(early.sum())} spikes, {int(early[0].sum())} of them at step 0")
assert early.sum() == (image > 0).sum()

# %% [markdown]
# A spiking net encodes images itself. The encoder is an argument of the net.

# %%
net = tg.SpikingMLP([784, 100, 10], steps=10, encoder=tg.Bernoulli(), generator=torch.Generator().manual_seed(0))
scores = net(image, torch.Generator().manual_seed(0))
again = net(image, torch.Generator().manual_seed(0))
print("scores", tuple(scores.shape), "  the same seed, the same scores:", torch.equal(scores, again))
assert torch.equal(scores, again)

# %% [markdown]
# ## Exercises
# 1. Print one time step of `trains`. Can you recognise the digit? Can you recognise it in the sum of four time steps?
# 2. How many spikes does rate coding need for an error of .02? Which intensities does latency coding with 10 steps not
#    distinguish?
# 3. This one checks itself: a pixel of intensity 0.2 is shown for 50 steps. How many spikes do you expect?

# %%
answer = None  # write your number here


def right(answer):
    mean = bernoulli_spikes(torch.full((20_000, 1), 0.2), 50, g).sum(0).mean().item()
    return abs(answer - mean) < 0.2


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
