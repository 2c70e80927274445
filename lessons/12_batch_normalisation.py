# %% [markdown]
# # 12. Batch normalisation
# **Question.** How can a net keep its activations in a suitable range? **Time:** 1 minute.
# **Source:** S. Ioffe and C. Szegedy (2015).
#
# Batch normalisation treats each feature separately. It subtracts the mean over the batch and divides by the standard
# deviation. Then it multiplies by one learnable number and adds another.

# %%
import torch

import threegen as tg

x = 5 + 3 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
mean, variance = x.mean(0), x.var(0, unbiased=False)
by_hand = (x - mean) / (variance + 1e-5).sqrt()
layer = torch.nn.BatchNorm1d(4)
assert torch.allclose(layer(x), by_hand, atol=1e-5)
print("before", [f"{m:.2f} +- {v**0.5:.2f}" for m, v in zip(mean, variance, strict=True)])
print("after ", [f"{m:.2f} +- {s:.2f}" for m, s in zip(by_hand.mean(0), by_hand.std(0), strict=True)])

# %% [markdown]
# In evaluation mode a batch may contain a single sample. The layer then uses running averages that it collected during
# training.

# %%
for _ in range(50):
    layer(x)
layer.eval()
print("one sample, evaluated:", [round(value, 2) for value in layer(x[:1])[0].tolist()])
assert torch.allclose(layer(x[:1]), by_hand[:1], atol=0.1)

# %% [markdown]
# We train a net of five layers from poor initial weights and with a large learning rate:

# %%
data = tg.load_data("mnist")
accuracy = {}
for normalised in (False, True):
    net = tg.MLP(
        [784, 100, 100, 100, 100, 10], init=0.01, batch_norm=normalised, generator=torch.Generator().manual_seed(0)
    )
    tg.fit(net, tg.Backprop(), data.train.take(5_000), optimizer="sgd", lr=0.1, epochs=2, batch_size=100, seed=0)
    accuracy[normalised] = tg.evaluate(net, data.test).accuracy
    print(f"batch normalisation {normalised!s:5}: {accuracy[normalised]:.1%}")
assert accuracy[True] > 0.7 > 0.4 > accuracy[False]

# %% [markdown]
# ## Exercises
# 1. Train both nets from `init="he"`. How much is left of the difference?
# 2. What happens in training mode with a batch of one sample?
# 3. This one checks itself: how many learnable numbers does batch normalisation add to a layer with 100 units?

# %%
answer = None  # write your number here


def right(answer):
    return answer == sum(parameter.numel() for parameter in torch.nn.BatchNorm1d(100).parameters())


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
