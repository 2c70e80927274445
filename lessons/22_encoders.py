# %% [markdown]
# # 22. From pictures to spikes and back
# **Question.** Must an image be made into spikes first, and how? **Time:** 1 minute.
#
# Three ways: draw a spike at each step with the pixel's intensity as its chance (rate coding); one spike per pixel, the
# brighter the earlier (latency coding); or feed the image itself into a first layer of neurons (direct coding).

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
# **Spikes to image**: the mean over a window of time. The longer the window, the closer to the image: the error falls
# with the square root of the number of steps.

# %%
for steps in (1, 4, 16, 64, 256):
    decoded = bernoulli_spikes(image, steps, g).mean(0)
    print(f"{steps:4} steps: root mean squared error {((decoded - image) ** 2).mean().sqrt():.4f}")

# %% [markdown]
# **Latency coding** needs one spike per pixel only.

# %%
early = latency_spikes(image, 10)
print(f"latency coding: {int(early.sum())} spikes, {int(early[0].sum())} of them at step 0")
assert early.sum() == (image > 0).sum()

# %% [markdown]
# A spiking net takes an image and encodes it by itself; the encoder is an argument.

# %%
net = tg.SpikingMLP([784, 100, 10], steps=10, encoder=tg.Bernoulli(), generator=torch.Generator().manual_seed(0))
scores = net(image, torch.Generator().manual_seed(0))
again = net(image, torch.Generator().manual_seed(0))
print("scores", tuple(scores.shape), "  the same draw, the same scores:", torch.equal(scores, again))
assert torch.equal(scores, again)

# %% [markdown]
# ## Exercises
# 1. Print one time step of `trains`. Can you read the digit? And the sum of four?
# 2. How many spikes does rate coding need for the error that latency coding has? What is lost by latency coding?
# 3. This one checks itself: a pixel of intensity 0.2 is shown for 50 steps. How many spikes do you expect?

# %%
answer = None  # write your number here


def right(answer):
    mean = bernoulli_spikes(torch.full((20_000, 1), 0.2), 50, g).sum(0).mean().item()
    return abs(answer - mean) < 0.2


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
