# %% [markdown]
# # 7. The sigmoid neuron
# **Question.** How does the error determine the direction in which a weight changes? **Time:** 1 minute.
#
# The derivative of a step function is 0 everywhere except at the step, where it does not exist. The sigmoid is a smooth
# step function.

# %%
import torch

import threegen as tg

u = torch.linspace(-6, 6, 7)
y = torch.sigmoid(u)
print("u     ", [f"{x:+.0f}" for x in u])
print("y     ", [f"{x:.3f}" for x in y])
print("slope ", [f"{x:.3f}" for x in y * (1 - y)])

# %% [markdown]
# Its derivative is y (1 - y). Therefore the gradient of the squared error E = (t - y)^2 / 2 is
#
#     dE/dw = (y - t) y (1 - y) x
#
# We check the formula against autograd.

# %%
neuron = tg.models.SigmoidNeuron(3, generator=torch.Generator().manual_seed(1))
x, t = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[1.0]])
answer_now = neuron(x)
(0.5 * (t - answer_now) ** 2).sum().backward()
by_hand = ((answer_now - t) * answer_now * (1 - answer_now)).detach() * x
print("autograd", neuron.weight.grad.tolist(), "\nby hand ", by_hand.tolist())
assert torch.allclose(neuron.weight.grad, by_hand)

# %% [markdown]
# One sigmoid neuron learns a table of four rows. The target of each row is its first input.

# %%
table = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
targets = torch.tensor([[0.0], [0], [1], [1]])
neuron = tg.models.SigmoidNeuron(3, generator=torch.Generator().manual_seed(1))
rows = tg.Dataset(table, targets)
log = tg.fit(neuron, tg.Backprop("sse"), rows, optimizer="sgd", lr=4.0, epochs=1500, batch_size=4, shuffle=False)
print(
    "answers",
    [round(float(value), 3) for value in neuron(table)[:, 0].tolist()],
    "  weights",
    neuron.weight[0].tolist(),
)
assert ((neuron(table) > 0.5).float() == targets).all()

# %% [markdown]
# ## Exercises
# 1. Which weight became large, and why does that fit the table?
# 2. Set the first weight to 20 and the targets to 1, 1, 0, 0. Why is learning so slow at first?
# 3. This one checks itself: what is the largest slope that a sigmoid can have?

# %%
answer = None  # write your number here


def right(answer):
    return abs(answer - 0.25) < 1e-6  # at u = 0: y (1 - y) = 1/4


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
