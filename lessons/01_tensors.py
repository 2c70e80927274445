# %% [markdown]
# # 1. Tensors: axes, shape and type
# **Question.** What is the data that a neural network works on? **Time:** 1 minute.
#
# A tensor is a block of numbers. Its number of axes is its rank: a single number has none, a vector one, a matrix two.
# Its shape says how long each axis is, its dtype what kind of number it holds.

# %%
import torch

import threegen as tg

number, vector, matrix = torch.tensor(12.0), torch.tensor([1.0, 2.0, 3.0]), torch.zeros(2, 3)
for tensor in (number, vector, matrix):
    print(f"axes {tensor.dim()}   shape {tuple(tensor.shape)}   dtype {tensor.dtype}")

# %% [markdown]
# The handwritten digits of MNIST are one tensor of rank 4: images, channels, rows, columns. They come with threegen.

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
# A picture for the terminal: dark pixels are printed as a hash.

# %%
for row in images[0, 0, 5:25]:
    print("".join("#" if pixel > 0.5 else "." for pixel in row))

# %% [markdown]
# ## Exercises
# 1. Print the image with index 7. Which digit is it? Compare with its label.
# 2. How many bytes do all training images take as float32? (`images.numel() * images.element_size()`)
# 3. This one checks itself: how many of the first 100 training labels are 1?

# %%
answer = None  # write your number here


def right(answer):
    return answer == int((labels[:100] == 1).sum())


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
