# %% [markdown]
# # 21. A spiking neuron
# **Question.** How does a neuron compute with all-or-nothing pulses? **Time:** 1 minute.
# **Source:** Y. Wu et al., Frontiers in Neuroscience 12:331 (2018), equations 1 to 5.
#
#     u[t] = decay * u[t-1] * (1 - o[t-1]) + input[t]        the membrane potential, 0 after a spike
#     o[t] = 1 where u[t] >= threshold, else 0               the spike

# %%
import torch

import threegen as tg


def by_hand(current, decay=0.5, threshold=1.0):
    u, o, potentials, spikes = 0.0, 0.0, [], []
    for x in current:
        u = decay * u * (1 - o) + x
        o = float(u >= threshold)
        potentials.append(u)
        spikes.append(o)
    return potentials, spikes


current = [0.6] * 12
potentials, spikes = by_hand(current)
print("potential", [f"{u:.2f}" for u in potentials])
print("spikes   ", [int(o) for o in spikes])

# %% [markdown]
# `tg.LIF` computes all time steps in one call. Time is the first axis: `[T, B, N]`.

# %%
neuron = tg.LIF(decay=0.5, threshold=1.0)
out, state = neuron(torch.tensor(current).reshape(-1, 1, 1))
assert out.flatten().tolist() == spikes

# %% [markdown]
# The stronger the input, the higher the rate. For a constant input x and without spikes, the potential tends to
# x / (1 - decay). If this limit is below the threshold, the neuron never fires.

# %%
for x in (0.3, 0.49, 0.51, 0.6, 0.8, 1.0):
    rate = neuron(torch.full((200, 1, 1), x))[0].mean().item()
    print(f"input {x:.2f}: the potential would tend to {x / 0.5:.2f}, rate {rate:.2f}")
assert neuron(torch.full((200, 1, 1), 0.49))[0].sum() == 0

# %% [markdown]
# The state can be passed to the next call. Two short calls then give the same spikes as one long call.

# %%
long = torch.rand(20, 1, 5, generator=torch.Generator().manual_seed(0))
first, state = neuron(long[:10])
second, _ = neuron(long[10:], state)
assert torch.equal(torch.cat([first, second]), neuron(long)[0])

# %% [markdown]
# ## Exercises
# 1. With decay 1 nothing leaks. What is the rate at input 0.25? Try `tg.LIF(decay=1.0)`.
# 2. Reset by subtraction keeps the part of the potential that is above the threshold. Change `by_hand` and compare the
#    rates.
# 3. This one checks itself: with decay 0.5 and constant input 0.6, how many time steps is one spike after the other?

# %%
answer = None  # write your number here


def right(answer):
    times = [t for t, o in enumerate(by_hand([0.6] * 50)[1]) if o]
    return answer == times[1] - times[0]


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
