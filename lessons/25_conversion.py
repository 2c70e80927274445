# %% [markdown]
# # 25. From a trained network to spikes
# **Question.** Can a network that was trained without spikes compute with spikes? **Time:** 1 minute.
# **Source:** Diehl et al., IJCNN 2015; Rueckauer et al., Frontiers in Neuroscience 11:682 (2017).
#
# An integrate-and-fire neuron gets the same input a at every step, and each spike subtracts the threshold. In T steps
# it sends about T a / threshold spikes if a > 0, else none. So its rate is proportional to relu(a), and a neuron can
# replace each relu.

# %%
import torch

import threegen as tg

theta, steps = 1.0, 8
potential, spikes = theta / 2, []  # start at half the threshold: the count is rounded, not truncated
for _ in range(steps):
    potential += 0.3
    spikes.append(int(potential >= theta))
    potential -= theta * spikes[-1]
print("spikes for a = .3:", spikes, "rate", sum(spikes) / steps)
assert sum(spikes) == int(steps * 0.3 / theta + 0.5)

# %% [markdown]
# We train a small network and convert it. `convert` needs images, but no labels, to measure the activations.

# %%
data = tg.load_data("mnist")
few = data.train.take(6_000)
ann = tg.MLP([784, 100, 10], generator=torch.Generator().manual_seed(0))
tg.fit(ann, tg.Backprop(), few, epochs=4, batch_size=64, seed=0)
test = data.test.take(2_000)
before = tg.evaluate(ann, test).accuracy
snn = tg.convert(ann, few, steps=8, method="percentile")
after = tg.evaluate(snn, test).accuracy
print(f"network {before:.2%}, spiking net after 8 steps {after:.2%}")
assert after > before - 0.02

# %% [markdown]
# The report lists the accuracy for each number of steps and the error of each layer. The default method chooses
# thresholds and fits weights by the spikes that actually arrive. It needs fewer steps.

# %%
print(snn.report)
quick = tg.convert(ann, few, steps=4)
print(f"default method, 4 steps: {tg.evaluate(quick, test).accuracy:.2%}")

# %% [markdown]
# Every signal between the layers is 0 or 1, so a spiking layer only adds. Is it cheaper? `compare` counts the
# operations of both networks.

# %%
card = tg.compare({"network": ann, "converted": quick}, test.take(500))
for said in card.as_dict()["verdict"]:
    print(said["headline"], said["reasons"])

# %% [markdown]
# ## Exercises
# 1. Convert with `initial="zero"`. How many more steps are needed for the same accuracy?
# 2. Give the network `activation="tanh"` and convert it. Why is the conversion refused?
# 3. This one checks itself: a = .6, theta = 1, the potential starts at .5 and is reset by subtraction. How many spikes
#    are there after 5 steps?

# %%
answer = None  # write your number here


def right(answer):
    neurons = tg.neurons.IF(1.0, "soft")
    currents = torch.full((5, 1, 1), 0.6, dtype=torch.float64)
    currents[0] += 0.5
    return answer == int(neurons(currents)[0].sum())


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
