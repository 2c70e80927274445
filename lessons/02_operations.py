# %% [markdown]
# # 2. What a layer computes: element-wise operations, broadcasting, products, reshaping
# **Question.** Which operations are enough for a neural network? **Time:** 1 minute.
#
# An element-wise operation acts on each number separately. An example is the rectifier, relu(x) = max(x, 0).

# %%
import torch

x = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
print(torch.relu(x))

# %% [markdown]
# **Broadcasting.** PyTorch compares two shapes from the last axis to the first. It repeats an axis that has length 1 or
# is missing. Therefore one bias vector can be added to every row of a batch without a loop and without a copy.

# %%
bias = torch.tensor([10.0, 20.0, 30.0])
print(x + bias)
assert torch.equal(x + bias, torch.stack([row + bias for row in x]))

# %% [markdown]
# **Product.** The dot product of two vectors is the sum of the products of their entries. A matrix product contains the
# dot product of every row of the first matrix with every column of the second. The shapes `[2, 3]` and `[3, 4]` give
# `[2, 4]`.

# %%
w = torch.arange(12.0).reshape(3, 4)
by_hand = torch.tensor([[sum(x[i, k] * w[k, j] for k in range(3)) for j in range(4)] for i in range(2)])
print(x @ w)
assert torch.equal(x @ w, by_hand)

# %% [markdown]
# **Reshaping** keeps the order of the numbers and changes the lengths of the axes. **Transposing** exchanges two axes.
# The results differ.

# %%
m = torch.tensor([[0, 1], [2, 3], [4, 5]])
print(m.reshape(2, 3), m.T)
assert not torch.equal(m.reshape(2, 3), m.T)

# %% [markdown]
# A dense layer combines these operations: `relu(x @ w + b)`. Geometrically, the product is a linear map of the points
# of the batch, the bias shifts them, and relu sets negative coordinates to 0.
#
# ## Exercises
# 1. Why does `x + torch.tensor([1.0, 2.0])` fail? Read the message, then change the tensor so that each row is shifted
#    by its own number.
# 2. Write `relu` with a comparison and a product.
# 3. This one checks itself: a layer with 512 units gets a batch of 128 images of 28 x 28 pixels. How many
#    multiplications does the product take?

# %%
answer = None  # write your number here


def right(answer):
    return answer == 128 * 28 * 28 * 512


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
