# %% [markdown]
# # 20. A deep belief net that generates images
# **Question.** How can a net generate the image of a seven? **Time:** 1 minute.
# **Source:** G. Hinton, S. Osindero and Y. Teh, Neural Computation 18 (2006).
#
# A deep belief net is a stack of restricted Boltzmann machines. Each learns from the hidden states of the one below.
# The top one also learns the labels. The layers are trained one after the other, without back-propagation.

# %%
import torch

import threegen as tg

data = tg.load_data("mnist")
dbn = tg.DBN([784, 200, 200, 400], classes=10, generator=torch.Generator().manual_seed(0))
tg.fit(dbn, tg.pretraining(dbn, epochs=3), data.train.take(10_000), seed=0)
accuracy = tg.evaluate(dbn, data.test.take(2_000)).accuracy
print(f"the label with the lowest free energy is right for {accuracy:.1%} of the images")
assert accuracy > 0.75

# %% [markdown]
# To generate an image, the label is fixed and the two top layers are sampled in turn (Gibbs sampling). The result is
# passed down to the pixels. Such images are called fantasies or dreams.

# %%
dreams = dbn.generate(label=7, count=3, steps=200, generator=torch.Generator().manual_seed(0))
for row in dreams[0].reshape(28, 28)[2:26]:
    print("".join("#" if v > 0.5 else "." for v in row))
assert dreams.shape == (3, 784)

# %% [markdown]
# A reconstruction passes an image up to the top and down again, with probabilities instead of random states.

# %%
again = dbn.reconstruct(data.test.inputs[:100])
error = ((again.reshape(100, 784) - data.test.inputs[:100].flatten(1)) ** 2).mean().item()
print(f"mean squared error of a reconstruction: {error:.3f}")
assert error < 0.08

# %% [markdown]
# `to_mlp` makes an ordinary net of the stack. Back-propagation then fine-tunes the pre-trained weights.

# %%
net = dbn.to_mlp()
tg.fit(net, tg.Backprop(), data.train.take(2_000), optimizer="adam", epochs=2, batch_size=100, seed=0)
print(f"after fine-tuning with 2,000 labels: {tg.evaluate(net, data.test.take(2_000)).accuracy:.1%}")

# %% [markdown]
# ## Exercises
# 1. Generate images of every class. Which classes are convincing?
# 2. Train a net of the same sizes from random weights. How many labels does it need for the same accuracy?
# 3. This one checks itself: the top machine connects the last hidden layer and the labels with the top layer. How many
#    weights does it have here?

# %%
answer = None  # write your number here


def right(answer):
    return answer == (200 + 10) * 400


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
