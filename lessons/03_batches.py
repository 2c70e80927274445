# %% [markdown]
# # 3. Vectors, sequences, images, video: the axes of data, and what a batch is
# **Question.** What does each axis mean? **Time:** 1 minute.
#
# | data | axes | example |
# |---|---|---|
# | vectors | samples, features | people: age, income, postcode |
# | sequences | samples, time steps, features | a share price: days, minutes, prices |
# | images | samples, channels, height, width | MNIST: 60,000 x 1 x 28 x 28 |
# | video | samples, frames, channels, height, width | an event camera: recordings, frames, ON and OFF, 34 x 34 |
#
# PyTorch and threegen put the channels before height and width. Some other libraries put them last.

# %%
import torch

import threegen as tg

images = tg.load_data("mnist").train.inputs
vectors = images.flatten(1)  # for dense nets, which ignore the positions of pixels
rows = images[:, 0]  # the same numbers as a sequence of 28 rows of 28 pixels, for recurrent nets
frames = images[:, None].expand(-1, 4, -1, -1, -1)  # the same image shown for four time steps
for name, tensor in {"images": images, "vectors": vectors, "rows": rows, "frames": frames}.items():
    print(f"{name:8} {tuple(tensor.shape)}")

# %% [markdown]
# A network is trained on a few samples at a time. They form a **batch**, and the first axis of its tensor counts them.
# The last batch of an epoch may be smaller.

# %%
batches = images.split(128)
print(len(batches), "batches; the first", tuple(batches[0].shape), "the last", tuple(batches[-1].shape))
assert sum(len(batch) for batch in batches) == len(images)

# %% [markdown]
# `tg.load_data` returns training data and test data. `fit` shuffles the training data in each epoch. `holdout` splits
# validation data off the training data. Settings are chosen on the validation data. The test data are read only once,
# at the end.

# %%
choose = tg.load_data("mnist").holdout(10_000, seed=0)
print("train", len(choose.train), "  validation", len(choose.validation))
assert torch.equal(choose.train.inputs[0], choose.train.inputs[:1][0])

# %% [markdown]
# ## Exercises
# 1. An accelerometer measures 3 numbers at each of 300 time steps, for 50 people. What is the shape of the tensor?
# 2. Turn `vectors` back into images and check that they equal the originals.
# 3. This one checks itself: how many updates does one epoch take with 60,000 samples and batches of 100?

# %%
answer = None  # write your number here


def right(answer):
    return answer == len(images.split(100))


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
