# %% [markdown]
# # 6. XOR: what one layer cannot do
# **Question.** Why does a net need hidden layers? **Time:** 1 minute.
# **Source:** M. Minsky and S. Papert, Perceptrons (1969).
#
# XOR is 1 if exactly one input is 1. No straight line separates the points of the two classes, so no perceptron can
# learn XOR.

# %%
import torch

import threegen as tg

inputs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
targets = torch.tensor([0, 1, 1, 0])
unit = tg.models.Perceptron(2)
log = tg.fit(
    unit, tg.rules.PerceptronRule(), tg.Dataset(inputs, targets), optimizer="sgd", lr=0.1, epochs=100, batch_size=1
)
wrong = int((unit.predict(inputs) != targets).sum())
print("one perceptron after 100 epochs:", unit.predict(inputs).tolist(), "-", wrong, "wrong")
assert wrong > 0

# %% [markdown]
# A net of two layers can compute it. XOR is "OR, but not AND": two hidden units compute OR and AND, and the output unit
# combines them.


# %%
def step(x):
    return (x > 0).float()


hidden_w, hidden_b = torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([-0.5, -1.5])  # OR, AND
hidden = step(inputs @ hidden_w.T + hidden_b)
out = step(hidden @ torch.tensor([1.0, -1.0]) - 0.5)
print("two layers by hand:", out.tolist())
assert out.tolist() == targets.tolist()

# %% [markdown]
# The hidden layer maps (1, 0) and (0, 1) to the same point. After that, a straight line separates the classes. A net
# with sigmoid units learns such a hidden layer by back-propagation.

# %%
net = tg.models.TwoLayerNet(2, 5, generator=torch.Generator().manual_seed(0))
patterns = tg.Dataset(inputs.repeat(100, 1), targets[:, None].float().repeat(100, 1))
tg.fit(net, tg.Backprop("sse"), patterns, optimizer="momentum", lr=0.5, epochs=25, batch_size=4, shuffle=False, seed=0)
learnt = net(inputs)[:, 0].detach()
print("learnt:", [round(float(x), 2) for x in learnt])
assert ((learnt > 0.5).long() == targets).all()

# %% [markdown]
# ## Exercises
# 1. Plot the four points after the hidden layer of the net made by hand.
# 2. Train the second net with two hidden units and ten different seeds. How often does it learn XOR?
# 3. This one checks itself: XOR of three bits is 1 if an odd number of them is 1. In how many of the 8 rows of its
#    table is it 1?

# %%
answer = None  # write your number here


def right(answer):
    return answer == sum((a + b + c) % 2 for a in (0, 1) for b in (0, 1) for c in (0, 1))


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
