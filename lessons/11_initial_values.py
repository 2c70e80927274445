# %% [markdown]
# # 11. Initial values
# **Question.** From which weights should training start? **Time:** 1 minute.
# **Sources:** X. Glorot and Y. Bengio (2010); K. He et al. (2015).
#
# A thousand random vectors pass through five layers of 100 units. The standard deviation of the outputs depends on the
# standard deviation of the weights and on the activation function.

# %%
import torch

import threegen as tg

g = torch.Generator().manual_seed(0)
x0 = torch.randn(1000, 100, generator=g)


def through(unit, deviation, layers=5):
    x, spread = x0, []
    for _ in range(layers):
        x = unit(x @ (deviation * torch.randn(100, 100, generator=g)))
        spread.append(x.std().item())
    return spread


for name, unit, deviation in (
    ("sigmoid, deviation 1", torch.sigmoid, 1.0),
    ("tanh, deviation .01", torch.tanh, 0.01),
    ("tanh, 1/sqrt(n)", torch.tanh, 0.1),
    ("relu, deviation .01", torch.relu, 0.01),
    ("relu, sqrt(2/n)", torch.relu, (2 / 100) ** 0.5),
):
    print(f"{name:22}", " ".join(f"{spread:9.2g}" for spread in through(unit, deviation)))
assert through(torch.relu, 0.01)[-1] < 1e-4 < 0.1 < through(torch.relu, (2 / 100) ** 0.5)[-1]

# %% [markdown]
# With deviation 1 the sigmoid saturates near 0 and 1, where its slope is almost 0. With .01 the signal vanishes. With
# 1/sqrt(n) it is preserved by units that are linear near 0 ("Xavier"). Relu sets half of its inputs to 0, hence the
# factor 2 ("He").
#
# If all weights start at 0, all hidden units compute the same output and get the same update. They stay equal.

# %%
data = tg.load_data("mnist").train.take(5_000)
net = tg.MLP([784, 50, 10], activation="sigmoid", init="zeros")
tg.fit(net, tg.Backprop(), data, optimizer="sgd", lr=0.5, epochs=1, batch_size=100, seed=0)
weights = next(net.parameters()).detach()
print("largest difference between two hidden units:", (weights - weights[0]).abs().max().item())
assert (weights - weights[0]).abs().max() < 1e-5

# %% [markdown]
# ## Exercises
# 1. Repeat the first experiment with 50 layers.
# 2. Train `tg.MLP([784, 100, 100, 100, 10], init=...)` from "he", "xavier" and 0.01 and compare the losses.
# 3. This one checks itself: which deviation does He's rule give for the weights of a relu unit with 50 inputs?

# %%
answer = None  # write your number here


def right(answer):
    return abs(answer - (2 / 50) ** 0.5) < 1e-3


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
