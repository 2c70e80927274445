# %% [markdown]
# # 1. Tensors: axes, shape and type
# **Question.** In which form does a neural network get its data? **Time:** 1 minute.
#
# A tensor is an array of numbers. The number of its axes is its rank: a single number has rank 0, a vector has rank 1,
# a matrix has rank 2. The shape gives the length of each axis. The dtype gives the type of the numbers.

# %%
import torch

import threegen as tg

number, vector, matrix = torch.tensor(12.0), torch.tensor([1.0, 2.0, 3.0]), torch.zeros(2, 3)
for tensor in (number, vector, matrix):
    print(f"axes {tensor.dim()}   shape {tuple(tensor.shape)}   dtype {tensor.dtype}")

# %% [markdown]
# MNIST is a data set of handwritten digits and part of the threegen package. Its images are one tensor of rank 4:
# images, channels, rows, columns.

# %%
data = tg.load_data("mnist")
images, labels = data.train.inputs, data.train.targets
print("images", tuple(images.shape), images.dtype, "   labels", tuple(labels.shape), labels.dtype)
assert images.shape == (60_000, 1, 28, 28)

# %% [markdown]
# Square brackets select along an axis: a single index removes the axis, a slice keeps it.

# %%
first = images[0]  # the first image, [1, 28, 28]
middle = images[:, :, 7:21, 7:21]  # the middle of every image
print("first image", tuple(first.shape), "   label", int(labels[0]), "   middles", tuple(middle.shape))
assert int(labels[0]) == 5

# %% [markdown]
# An image in the terminal: each pixel above 0.5 is printed as `#`.

# %%
for row in images[0, 0, 5:25]:
    print("".join("#" if pixel > 0.5 else "." for pixel in row))

# %% [markdown]
# ## Exercises
# 1. Print the image with index 7. Which digit is it? Compare your answer with its label.
# 2. How many bytes do all training images take as float32? (`images.numel() * images.element_size()`)
# 3. This one checks itself: how many of the first 100 training labels are 1?

# %%
answer = None  # write your number here


def right(answer):
    return answer == int((labels[:100] == 1).sum())


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
