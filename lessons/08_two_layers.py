# %% [markdown]
# # 8. A two-layer net from its equations
# **Question.** What does `tg.MLP` compute? **Time:** 1 minute.
#
#     h = relu(W1 x + b1)        the hidden layer
#     s = W2 h + b2              the scores, one per class
#     p = softmax(s)             the probabilities of the classes
#     L = -log p[label]          the cross-entropy loss

# %%
import torch

import threegen as tg

data = tg.load_data("mnist")
net = tg.MLP([784, 50, 10], generator=torch.Generator().manual_seed(0))
w1, b1, w2, b2 = net.parameters()
for name, tensor in net.named_parameters():
    print(f"{name:20} {tuple(tensor.shape)}")

# %% [markdown]
# We compute the scores by hand for five images and compare.

# %%
x = data.test.inputs[:5].flatten(1)
h = torch.relu(x @ w1.T + b1)
s = h @ w2.T + b2
assert torch.allclose(s, net(data.test.inputs[:5]), atol=1e-5)
p = s.exp() / s.exp().sum(1, keepdim=True)
print("probabilities of the first image:", [f"{value:.2f}" for value in p[0]])
print("sum of each row:", p.sum(1).tolist())

# %% [markdown]
# `exp` overflows for large scores. The remedy is to subtract the largest score first. The result is the same, because
# the common factor cancels.

# %%
large = torch.tensor([1010.0, 1000.0, 990.0])
print("naive:", (large.exp() / large.exp().sum()).tolist())
shifted = (large - large.max()).exp()
print("stable:", (shifted / shifted.sum()).tolist())
assert torch.allclose(shifted / shifted.sum(), torch.softmax(large, 0))

# %% [markdown]
# The accuracy of an untrained net for ten classes is near chance, and its loss is near log 10. One epoch of training
# improves both.

# %%
loss = torch.nn.functional.cross_entropy(net(data.test.inputs[:1000]), data.test.targets[:1000]).item()
print(f"untrained: loss {loss:.2f} (log 10 = 2.30), accuracy {tg.evaluate(net, data.test).accuracy:.1%}")
tg.fit(net, tg.Backprop("cross_entropy"), data.train.take(10_000), optimizer="adam", epochs=1, batch_size=100, seed=0)
trained = tg.evaluate(net, data.test).accuracy
print(f"after one epoch of 10,000 images: {trained:.1%}")
assert trained > 0.85

# %% [markdown]
# ## Exercises
# 1. Replace relu by the identity. Which accuracy do you expect? Why does the net then compute no more than a single
#    layer?
# 2. Print the five test images that the net misclassifies with the highest probability.
# 3. This one checks itself: how many parameters does a net 784-50-10 have?

# %%
answer = None  # write your number here


def right(answer):
    return answer == sum(parameter.numel() for parameter in net.parameters())


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
