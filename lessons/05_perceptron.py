# %% [markdown]
# # 5. The perceptron and its gates
# **Question.** Can a unit learn a logical function from examples? **Time:** 1 minute.
# **Source:** F. Rosenblatt, Psychological Review 65 (1958).
#
# The output of a perceptron is 1 if w . x + b > 0, and 0 otherwise. With these weights, chosen by hand, it is an AND
# gate:

# %%
import torch

import threegen as tg

inputs = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
gate = tg.models.Perceptron(2)
with torch.no_grad():
    gate.weight.copy_(torch.tensor([[0.5, 0.5]]))
    gate.bias.fill_(-0.7)
print("by hand:", gate.predict(inputs).tolist())
assert gate.predict(inputs).tolist() == [0, 0, 0, 1]

# %% [markdown]
# The perceptron rule learns such weights from examples. It changes the weights only after a mistake: each weight by
# rate x (target - output) x input. If one straight line separates the two classes, the rule makes only finitely many
# mistakes (the perceptron convergence theorem).

# %%
for name, targets in {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "NAND": [1, 1, 1, 0]}.items():
    unit = tg.models.Perceptron(2)
    examples = tg.Dataset(inputs, torch.tensor(targets), name=name)
    tg.fit(unit, tg.rules.PerceptronRule(), examples, optimizer="sgd", lr=0.1, epochs=20, batch_size=1, shuffle=False)
    w1, w2 = unit.weight[0].tolist()
    print(f"{name:4} w = ({w1:.1f}, {w2:.1f}), b = {unit.bias.item():.1f}: {unit.predict(inputs).tolist()}")
    assert unit.predict(inputs).tolist() == targets

# %% [markdown]
# Some textbooks train with the table of AND and call it NAND. NAND is 0 only if both inputs are 1.
#
# The same rule classifies digits with ten units, one per class. The unit with the largest score gives the answer.

# %%
data = tg.load_data("mnist")
net = tg.models.Perceptron(784, 10)
tg.fit(net, tg.rules.PerceptronRule(), data.train.take(5_000), optimizer="sgd", lr=1.0, epochs=1, batch_size=1, seed=0)
accuracy = tg.evaluate(net, data.test).accuracy
print(f"digits, after one epoch of 5,000 images: {accuracy:.1%}")
assert 0.75 < accuracy < 0.92

# %% [markdown]
# ## Exercises
# 1. Find by hand a weight and a bias for NOT (one input).
# 2. Train XOR (targets 0, 1, 1, 0) for 100 epochs. What do you see, and why? The next lesson has the answer.
# 3. This one checks itself: of the 16 functions of two bits, how many can one perceptron learn?

# %%
answer = None  # write your number here


def right(answer):
    return answer == 14  # all but XOR and its opposite


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
