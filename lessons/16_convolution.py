# %% [markdown]
# # 16. A convolution by hand
# **Question.** What does a layer compute if it uses the same weights at every position? **Time:** 1 minute.
#
# A filter is a small window of weights. It is applied at every position of the image: the output is the dot product of
# the filter and the pixels under it.

# %%
import torch
from torch.nn import functional as F

import threegen as tg

image = tg.load_data("mnist").train.inputs[0, 0]  # a five, [28, 28]
edge = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])  # bright left of dark


def convolve(image, window):
    rows, columns = image.shape[0] - 2, image.shape[1] - 2
    out = torch.zeros(rows, columns)
    for y in range(rows):
        for x in range(columns):
            out[y, x] = (image[y : y + 3, x : x + 3] * window).sum()
    return out


by_hand = convolve(image, edge)
library = F.conv2d(image[None, None], edge[None, None])[0, 0]
assert torch.allclose(by_hand, library, atol=1e-5)
print("28 x 28 and a 3 x 3 window give", tuple(by_hand.shape))
for row in by_hand[4:24:2]:
    print("".join("+" if value > 1 else "-" if value < -1 else "." for value in row))

# %% [markdown]
# Convolution is linear. Its matrix has many zeros, because connections are local, and many equal entries, because
# weights are shared. `unfold` makes each window of the image one column of a matrix. Then one product computes all
# outputs.

# %%
windows = F.unfold(image[None, None], 3)  # [1, 9, 676]
assert torch.allclose((edge.flatten() @ windows[0]).reshape(26, 26), library, atol=1e-5)

# %% [markdown]
# **Pooling** takes the maximum or the mean of each 2 x 2 block. The map becomes smaller, and small shifts of the image
# change it less. **Padding** adds a border of zeros. **Stride** is the distance between two positions of the window.
# The output has (size + 2 padding - window) / stride + 1 rows, rounded down.

# %%
pooled = F.max_pool2d(library[None, None], 2)
print("pooled", tuple(pooled.shape), "  unchanged after a shift by one pixel:", end=" ")
shifted = F.max_pool2d(F.conv2d(image.roll(1, 1)[None, None], edge[None, None]), 2)
print(f"{(shifted == pooled).float().mean():.0%}")

# %% [markdown]
# ## Exercises
# 1. Write the filter for horizontal edges. At which parts of the five does it respond?
# 2. How many weights would a dense layer from 28 x 28 pixels to 26 x 26 outputs have? The convolution has 9.
# 3. This one checks itself: an image has 32 x 32 pixels, the window is 5 x 5, padding and stride are 2. How many rows
#    does the output have?

# %%
answer = None  # write your number here


def right(answer):
    return answer == F.conv2d(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 5, 5), stride=2, padding=2).shape[2]


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
