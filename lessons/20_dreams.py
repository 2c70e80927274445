# %% [markdown]
# # 20. A deep belief net that dreams
# **Question.** What does a net imagine when it is told "seven"? **Time:** 1 minute.
# **Source:** G. Hinton, S. Osindero and Y. Teh, Neural Computation 18 (2006).
#
# Restricted Boltzmann machines are stacked: each learns from the hidden states of the one below, and the top one sees
# the labels too. One layer after the other, without back-propagation.

# %%
import torch

import threegen as tg

data = tg.load_data("mnist")
dbn = tg.DBN([784, 200, 200, 400], classes=10, generator=torch.Generator().manual_seed(0))
tg.fit(dbn, tg.pretraining(dbn, epochs=3), data.train.take(10_000), seed=0)
accuracy = tg.evaluate(dbn, data.test.take(2_000)).accuracy
print(f"the label with the lowest free energy is right in {accuracy:.1%}")
assert accuracy > 0.75

# %% [markdown]
# With the label held, the top layers run back and forth (Gibbs sampling) and the picture is passed down.

# %%
dreams = dbn.generate(label=7, count=3, steps=200, generator=torch.Generator().manual_seed(0))
for row in dreams[0].reshape(28, 28)[2:26]:
    print("".join("#" if v > 0.5 else "." for v in row))
assert dreams.shape == (3, 784)

# %% [markdown]
# Reconstruction: up to the top and down again, with probabilities instead of random draws.

# %%
again = dbn.reconstruct(data.test.inputs[:100])
error = ((again.reshape(100, 784) - data.test.inputs[:100].flatten(1)) ** 2).mean().item()
print(f"mean squared error of a reconstruction: {error:.3f}")
assert error < 0.08

# %% [markdown]
# Fine-tuning by back-propagation turns the stack into an ordinary net with a good start.

# %%
net = dbn.to_mlp()
tg.fit(net, tg.Backprop(), data.train.take(2_000), optimizer="adam", epochs=2, batch_size=100, seed=0)
print(f"after fine-tuning with 2,000 labels: {tg.evaluate(net, data.test.take(2_000)).accuracy:.1%}")

# %% [markdown]
# ## Exercises
# 1. Dream of every class. Which are convincing, which are not?
# 2. Fine-tune a net of the same sizes from a random start. How many labels make up for the missing pre-training?
# 3. This one checks itself: the top machine connects the last hidden layer and the labels with the top layer. How many
#    weights has it here?

# %%
answer = None  # write your number here


def right(answer):
    return answer == (200 + 10) * 400


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
