# %% [markdown]
# # 16. A convolution by hand
# **Question.** What does a layer compute that uses the same weights at every place? **Time:** 1 minute.
#
# A small window of weights, the filter, is laid over every place of the image; its output is the dot product there.

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
# Convolution is linear, so it is a matrix product with many zeros and many equal entries: weights are shared, and
# connections are local. `unfold` writes all windows below each other; then one product does it all.

# %%
windows = F.unfold(image[None, None], 3)  # [1, 9, 676]
assert torch.allclose((edge.flatten() @ windows[0]).reshape(26, 26), library, atol=1e-5)

# %% [markdown]
# **Pooling** takes the largest (or mean) value of each 2 x 2 block: the position matters less, and the map is smaller.
# **Padding** adds a border of zeros, **stride** is the step of the window: the output has
# (size + 2 padding - window) / stride + 1 rows, rounded down.

# %%
pooled = F.max_pool2d(library[None, None], 2)
print("pooled", tuple(pooled.shape), "  shifted by one pixel, the same values in pools:", end=" ")
shifted = F.max_pool2d(F.conv2d(image.roll(1, 1)[None, None], edge[None, None]), 2)
print(f"{(shifted == pooled).float().mean():.0%}")

# %% [markdown]
# ## Exercises
# 1. Write the filter for horizontal edges. Where does it respond to the five?
# 2. How many weights would a dense layer from 28 x 28 pixels to 26 x 26 outputs have? The convolution has 9.
# 3. This one checks itself: image 32 x 32, window 5 x 5, padding 2, stride 2: how many rows has the output?

# %%
answer = None  # write your number here


def right(answer):
    return answer == F.conv2d(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 5, 5), stride=2, padding=2).shape[2]


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
