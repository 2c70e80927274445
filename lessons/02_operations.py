# %% [markdown]
# # 2. What a layer computes: element-wise operations, broadcasting, products, reshaping
# **Question.** Which operations are enough for a neural network? **Time:** 1 minute.
#
# Element-wise operations act on each number by itself. A rectified unit, `max(x, 0)`, is one of them.

# %%
import torch

x = torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]])
print(torch.relu(x))

# %% [markdown]
# **Broadcasting.** Shapes are compared from the last axis on; an axis of length 1, or a missing one, is repeated. So
# one bias vector is added to every row of a batch, without a loop and without a copy.

# %%
bias = torch.tensor([10.0, 20.0, 30.0])
print(x + bias)
assert torch.equal(x + bias, torch.stack([row + bias for row in x]))

# %% [markdown]
# **Product.** The dot product of two vectors is the sum of the products of their entries. A matrix product holds the
# dot product of every row of the first matrix with every column of the second: `[2, 3] @ [3, 4]` is `[2, 4]`.

# %%
w = torch.arange(12.0).reshape(3, 4)
by_hand = torch.tensor([[sum(x[i, k] * w[k, j] for k in range(3)) for j in range(4)] for i in range(2)])
print(x @ w)
assert torch.equal(x @ w, by_hand)

# %% [markdown]
# **Reshaping** orders the same numbers in other axes; transposing exchanges two axes. They are not the same thing.

# %%
m = torch.tensor([[0, 1], [2, 3], [4, 5]])
print(m.reshape(2, 3), m.T)
assert not torch.equal(m.reshape(2, 3), m.T)

# %% [markdown]
# A dense layer is all of this together: `relu(x @ w + b)`. Geometrically it rotates and stretches the points of the
# batch, shifts them, and folds space along the coordinate planes.
#
# ## Exercises
# 1. Why does `x + torch.tensor([1.0, 2.0])` fail? Read the message, then repair it for a shift per row.
# 2. Write `relu` by a comparison and a product.
# 3. This one checks itself: a batch of 128 images of 28 x 28 pixels goes through a layer with 512 units. How many
#    multiplications does the product take?

# %%
answer = None  # write your number here


def right(answer):
    return answer == 128 * 28 * 28 * 512


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
