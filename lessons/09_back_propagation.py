# %% [markdown]
# # 9. Back-propagation by hand, checked by autograd
# **Question.** How is the gradient of every weight computed? **Time:** 1 minute.
# **Source:** D. Rumelhart, G. Hinton and R. Williams, Nature 323 (1986).
#
# Back-propagation applies the chain rule from the loss back to the inputs. With softmax and cross-entropy, the gradient
# of the scores is the probabilities minus the one-hot label, divided by the batch size B:
#
#     ds = (p - onehot) / B      dW2 = ds^T h      db2 = sum ds
#     dh = ds W2                 du = dh where u > 0, else 0
#     dW1 = du^T x               db1 = sum du

# %%
import torch

import threegen as tg

data = tg.load_data("mnist")
net = tg.MLP([784, 50, 10], generator=torch.Generator().manual_seed(0))
w1, b1, w2, b2 = (parameter.detach() for parameter in net.parameters())
x, labels = data.train.inputs[:100].flatten(1), data.train.targets[:100]

u = x @ w1.T + b1
h = torch.relu(u)
p = torch.softmax(h @ w2.T + b2, 1)
ds = (p - torch.nn.functional.one_hot(labels, 10)) / len(x)
du = (ds @ w2) * (u > 0)
by_hand = [du.T @ x, du.sum(0), ds.T @ h, ds.sum(0)]

# %% [markdown]
# Autograd computes the same gradients from the loss alone.

# %%
torch.nn.functional.cross_entropy(net(x), labels).backward()
for (name, parameter), gradient in zip(net.named_parameters(), by_hand, strict=True):
    difference = (parameter.grad - gradient).abs().max().item()
    print(f"{name:20} largest difference {difference:.1e}")
    assert difference < 1e-6

# %% [markdown]
# A gradient can also be checked by finite differences of the loss. This is slow, but it needs no derivation. Double
# precision makes it accurate enough.

# %%
wide = net.double()
weight = wide.get_parameter(next(name for name, _ in wide.named_parameters()))
entry = divmod(int(weight.grad.abs().argmax()), weight.shape[1])  # row and column of the largest gradient


def loss_with(change):
    with torch.no_grad():
        weight[entry] += change
        loss = torch.nn.functional.cross_entropy(wide(x.double()), labels).item()
        weight[entry] -= change
    return loss


numerical = (loss_with(1e-4) - loss_with(-1e-4)) / 2e-4
print("numerical", numerical, "  autograd", weight.grad[entry].item())
assert abs(numerical - weight.grad[entry].item()) < 1e-5

# %% [markdown]
# ## Exercises
# 1. Some textbook programs overwrite the error of a hidden unit instead of summing it over all units of the next layer.
#    Which line above computes the sum?
# 2. Change relu to the sigmoid, by hand and in the net (`activation="sigmoid"`), and check again.
# 3. This one checks itself: what is the sum of `ds` over the classes of one example?

# %%
answer = None  # write your number here


def right(answer):
    return abs(answer - ds[0].sum().item()) < 1e-6


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
