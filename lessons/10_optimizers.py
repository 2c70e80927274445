# %% [markdown]
# # 10. Optimisers
# **Question.** Why is plain gradient descent often slow? **Time:** 1 minute.
#
# In the valley f = x^2 / 20 + y^2 the gradient points across the valley rather than to the minimum, so plain descent
# zigzags. Momentum sums past gradients. AdaGrad and RMSprop divide by the size of past gradients. Adam does both.

# %%
import itertools

import torch

import threegen as tg

steppers = {
    "plain descent": lambda w: torch.optim.SGD([w], lr=0.95),
    "momentum": lambda w: torch.optim.SGD([w], lr=0.1, momentum=0.9),
    "AdaGrad": lambda w: torch.optim.Adagrad([w], lr=1.5),
    "RMSprop": lambda w: torch.optim.RMSprop([w], lr=0.3),
    "Adam": lambda w: torch.optim.Adam([w], lr=0.3),
}
crossings = {}
for name, build in steppers.items():
    place = torch.tensor([-7.0, 2.0], requires_grad=True)
    optimizer, sides = build(place), []
    for _ in range(30):
        optimizer.zero_grad()
        (place[0] ** 2 / 20 + place[1] ** 2).backward()
        optimizer.step()
        sides.append(place[1].item() > 0)
    crossings[name] = sum(a != b for a, b in itertools.pairwise(sides))
    print(f"{name:14} ends at ({place[0]:+.2f}, {place[1]:+.2f}), crossed the valley {crossings[name]} times")
assert crossings["plain descent"] == max(crossings.values())

# %% [markdown]
# The same comparison on digits: how many updates are needed until the running average of the loss is below 0.5?

# %%
data = tg.load_data("mnist").train.take(10_000)
needed = {}
for name, rate in {"sgd": 0.01, "momentum": 0.01, "adagrad": 0.01, "rmsprop": 0.001, "adam": 0.001}.items():
    net = tg.MLP([784, 100, 10], generator=torch.Generator().manual_seed(0))
    log = tg.fit(net, tg.Backprop(), data, optimizer=tg.optimizer(name, lr=rate), epochs=3, batch_size=100, seed=0)
    losses, running = [step["loss"] for step in log.steps], None
    for count, loss in enumerate(losses, 1):  # noqa: B007
        running = loss if running is None else 0.9 * running + 0.1 * loss
        if running < 0.5:
            break
    needed[name] = count
    print(f"{name:10} {needed[name]:4} updates")
assert needed["sgd"] == max(needed.values())

# %% [markdown]
# ## Exercises
# 1. What is the largest rate at which plain descent still converges in the valley? Why?
# 2. Print `place` after each step with momentum 0.99. What do you see?
# 3. This one checks itself: with momentum 0.9 and a constant gradient g, the steps grow to a multiple of rate x g.
#    Which multiple?

# %%
answer = None  # write your number here


def right(answer):
    return abs(answer - sum(0.9**k for k in range(1000))) < 1e-6


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
