# %% [markdown]
# # 24. Learning by spike timing
# **Question.** Can a synapse learn from the spikes of its two neurons alone? **Time:** 1 minute.
# **Sources:** G. Bi and M. Poo (1998); P. Diehl and M. Cook (2015).
#
# If the input neuron spikes shortly before the output neuron, the weight grows. If it spikes shortly after, the weight
# shrinks:
#
#     dw = A+ exp(-dt / tau)  for dt > 0,      dw = -A- exp(dt / tau)  for dt < 0,      dt = t_post - t_pre
#
# No error and no label is sent back: the rule is local in space and time. A decaying trace of past spikes gives the
# same sum over all pairs. No spike time has to be stored.

# %%
import math

import torch

import threegen as tg

tau, a_plus = 20.0, 0.01
pre_times, post_time = [3, 10, 30], 40
pairs = sum(a_plus * math.exp(-(post_time - t) / tau) for t in pre_times)
trace = 0.0
for t in range(post_time + 1):
    trace = trace * math.exp(-1 / tau) + (t in pre_times)
print(f"by pairs {pairs:.6f}, by a trace {a_plus * trace:.6f}")
assert abs(pairs - a_plus * trace) < 1e-9

# %% [markdown]
# Diehl and Cook's network has 100 excitatory neurons that inhibit each other and adapt their thresholds. It learns from
# digits without labels. Afterwards each neuron is assigned to the class for which it fires most.

# %%
data = tg.load_data("mnist")
net = tg.models.DiehlCook(100, variant="faster", generator=torch.Generator().manual_seed(0))
tg.fit(
    net, tg.registry.stdp_stages(net, tg.rules.DiehlCookSTDP("pair"), images=10_000, labelled=5_000), data.train, seed=0
)
accuracy = tg.evaluate(net, data.test.take(2_000), seed=0).accuracy
print(f"100 neurons after 10,000 images: {accuracy:.1%}")
assert accuracy > 0.5

# %% [markdown]
# The weights of a neuron look like the digit for which it fires:

# %%
weights = next(p for p in [*net.parameters(), *net.buffers()] if p.numel() == 78_400).detach()  # or transposed
field = (weights if weights.shape[0] == 100 else weights.T)[0].reshape(28, 28)
for row in field[2:26]:
    print("".join("#" if v > field.max() / 2 else "." for v in row))

# %% [markdown]
# ## Exercises
# 1. Why must thresholds adapt? Look up `theta_plus` in `help(tg.rules.DiehlCookSTDP)`, set it to 0 and train again.
# 2. `threegen study stdp-curves` plots dw against dt for every rule of the package. Which curves differ most from the
#    one above?
# 3. This one checks itself: with tau = 20 ms, how large is dw of a pair 40 ms apart, divided by that of a pair 0 ms
#    apart?

# %%
answer = None  # write your number here


def right(answer):
    return abs(answer - math.exp(-40 / tau)) < 0.005


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
