# %% [markdown]
# # 17. LeNet-5
# **Question.** How was a convolutional net built in 1998? **Time:** 1 minute.
# **Source:** Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Proceedings of the IEEE 86 (1998).
#
# Copies of this net often leave out three things. In the paper, the pooling layers have weights, each map of C3 is
# connected to only some maps of S2, and the output units compute distances to drawn digits.

# %%
import torch

import threegen as tg

net = tg.LeNet5(generator=torch.Generator().manual_seed(0))
parameters = sum(parameter.numel() for parameter in net.parameters())
print(tg.explain(net).summary(torch.zeros(1, 1, 28, 28)))
assert parameters == 60_000  # the paper's number

# %% [markdown]
# C3 has sixteen maps. Each is connected to three, four or six maps of S2. As in the paper, C3 has 1,516 parameters:

# %%
seen = [3] * 6 + [4] * 9 + [6]
print("C3:", sum(25 * maps + 1 for maps in seen), "parameters instead of", 16 * (6 * 25 + 1), "with all connections")
assert sum(25 * maps + 1 for maps in seen) == 1516

# %% [markdown]
# A score is the negative squared distance between the 84 units of F6 and a drawn digit of 7 x 12 pixels. Larger is
# better.

# %%
scores = net(tg.load_data("mnist").test.inputs[:3])
print("scores of an untrained net:", [round(value) for value in scores[0].tolist()])
assert scores.shape == (3, 10)
assert (scores <= 0).all()

# %% [markdown]
# The modern form (relu, max pooling, dense layers, Adam) learns quickly. `threegen train lenet-5` trains the original
# form.

# %%
data = tg.load_data("mnist")
modern = tg.LeNet5Modern(generator=torch.Generator().manual_seed(0))
tg.fit(modern, tg.Backprop(), data.train.take(6_000), optimizer="adam", lr=0.003, epochs=2, batch_size=100, seed=0)
accuracy = tg.evaluate(modern, data.test.take(2_000)).accuracy
print(f"modern form, two epochs of 6,000 images: {accuracy:.1%}")
assert accuracy > 0.9

# %% [markdown]
# ## Exercises
# 1. `threegen show lenet-5` prints the layers. Which of them has most of the parameters?
# 2. C1 has 28 x 28 outputs in each of 6 maps. How many connections (not weights) does it have?
# 3. This one checks itself: C1 has six maps with windows of 5 x 5. How many parameters does it have?

# %%
answer = None  # write your number here


def right(answer):
    return answer == 6 * (5 * 5 + 1)


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
