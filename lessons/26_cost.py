# %% [markdown]
# # 26. What an answer costs
# **Question.** Is the spiking net really cheaper? **Time:** 1 minute.
# **Source:** L. Deng et al., Neural Networks 121 (2020).
#
# A dense layer multiplies every weight by its input. A spike is 0 or 1: it only adds weights, and only those of its own
# connections. But a spiking net computes over many time steps, and every neuron is updated at each of them.

# %%
import torch

import threegen as tg

data = tg.load_data("mnist")
x = data.test.inputs[:100]
ann = tg.MLP([784, 200, 10], generator=torch.Generator().manual_seed(0))
bill = tg.count(ann, x)
macs = 784 * 200 + 200 * 10
print(bill)
print("multiply-accumulates by hand:", macs)
assert bill.operations["mac"] == macs

# %% [markdown]
# The spiking net has the same structure. We compute by hand how many spikes of the encoder to expect. Each adds 200
# weights.

# %%
steps = 10
snn = tg.SpikingMLP([784, 200, 10], steps=steps, encoder=tg.Bernoulli(), generator=torch.Generator().manual_seed(0))
spikes = tg.count(snn, x, generator=torch.Generator().manual_seed(0))
print(spikes)
per_image = x.sum().item() / 100 * steps  # the expected number: the intensity is the chance of a spike
print(f"expected spikes of the encoder {per_image:.0f}, so about {200 * per_image:,.0f} additions in the first layer")
print(f"additions: ANN {bill.compute['additions']:,.0f}, SNN {spikes.compute['additions']:,.0f}")

# %% [markdown]
# The bill also contains the memory. The ANN needs it for weights and activations, the SNN for weights, one potential
# per neuron and one bit per spike. Some texts mention the memory of activations but leave it out of the sum.

# %%
for name, card in (("ANN", bill), ("SNN", spikes)):
    print(name, card.memory)

# %% [markdown]
# ## Exercises
# 1. At how many steps does the spiking net need as many additions as the ANN?
# 2. An ANN can skip zeros, too. Find `mac_nonzero` in its bill and compare again.
# 3. This one checks itself: how many multiply-accumulates does a 3 x 3 convolution from 1 to 8 maps take on 28 x 28
#    pixels, without padding?

# %%
answer = None  # write your number here


def right(answer):
    return answer == tg.count(torch.nn.Conv2d(1, 8, 3, bias=False), x).operations["mac"]


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
