# %% [markdown]
# # 23. Surrogate gradients: back-propagation through space and time
# **Question.** How can a net learn if the derivative of its units is 0? **Time:** 1 minute.
# **Source:** Y. Wu et al. (2018), equations 23 to 26.
#
# A spike is a step function of the potential, so its derivative is 0 almost everywhere. The backward pass replaces it
# by a surrogate gradient: a box of area 1 around the threshold, 1/a where |u - threshold| < a/2. Some textbooks write
# the surrogate with sign(). They mean this box.

# %%
import torch

import threegen as tg

neuron = tg.LIF(decay=0.5, threshold=1.0)
for x in (0.2, 0.7, 1.2, 1.8):
    current = torch.full((1, 1, 1), x, requires_grad=True)
    spikes, _ = neuron(current)
    (slope,) = torch.autograd.grad(spikes.sum(), current)
    print(f"potential {x:.1f}: spike {int(spikes.sum())}, surrogate slope {slope.item():.0f}")
    assert slope.item() == float(abs(x - 1.0) < 0.5)

# %% [markdown]
# The gradient also passes through time. An input at step 0 changes the potential at step 2 with the factor decay^2, if
# there is no spike in between.

# %%
current = torch.tensor([0.4, 0.2, 0.9]).reshape(3, 1, 1).requires_grad_()
spikes, _ = neuron(current)
(gradient,) = torch.autograd.grad(spikes[2].sum(), current)
print("gradient of the last spike:", gradient.flatten().tolist())
assert gradient.flatten().tolist() == [0.25, 0.5, 1.0]

# %% [markdown]
# A spiking net needs no special learning rule: `Backprop` trains it.

# %%
data = tg.load_data("mnist")
net = tg.SpikingMLP([784, 200, 10], steps=5, encoder=tg.Bernoulli(), generator=torch.Generator().manual_seed(0))
untrained = tg.evaluate(net, data.test.take(2_000), seed=0).accuracy
rule = tg.Backprop("mse")  # squared error of the firing rates, as in the paper
tg.fit(net, rule, data.train.take(10_000), optimizer="adam", lr=1e-3, epochs=2, batch_size=100, seed=0)
trained = tg.evaluate(net, data.test.take(2_000), seed=0).accuracy
print(f"spiking net: {untrained:.1%} before, {trained:.1%} after two epochs of 10,000 images")
assert trained > 0.85

# %% [markdown]
# ## Exercises
# 1. Give the neuron `surrogate_width=4.0` and look at the slopes again.
# 2. Evaluate the net at 1, 2, 5 and 20 steps (`net.steps = ...`). From how many steps on does the accuracy no longer
#    grow?
# 3. This one checks itself: what is the gradient of a spike at step 3 with respect to the input at step 0, if there is
#    no spike in between?

# %%
answer = None  # write your number here


def right(answer):
    steps = torch.tensor([0.4, 0.1, 0.1, 0.9]).reshape(4, 1, 1).requires_grad_()
    (slopes,) = torch.autograd.grad(neuron(steps)[0][3].sum(), steps)
    return abs(answer - slopes[0].item()) < 1e-6


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
