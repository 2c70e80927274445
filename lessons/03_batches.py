# %% [markdown]
# # 3. Vectors, sequences, images, video: how data is laid out, and what a batch is
# **Question.** Which axis means what? **Time:** 1 minute.
#
# | data | axes | example |
# |---|---|---|
# | vectors | samples, features | people: age, income, postcode |
# | sequences | samples, time steps, features | one day of a share: minutes, prices |
# | images | samples, channels, height, width | MNIST: 60,000 x 1 x 28 x 28 |
# | video | samples, frames, channels, height, width | an event camera: frames of ON and OFF events |
#
# threegen and PyTorch put channels before height and width; some other libraries put them last.

# %%
import torch

import threegen as tg

images = tg.load_data("mnist").train.inputs
vectors = images.flatten(1)  # for nets that know no neighbourhood
rows = images[:, 0]  # the same numbers as a sequence of 28 rows of 28 pixels, for recurrent nets
frames = images[:, None].expand(-1, 4, -1, -1, -1)  # the same image shown for four time steps
for name, tensor in {"images": images, "vectors": vectors, "rows": rows, "frames": frames}.items():
    print(f"{name:8} {tuple(tensor.shape)}")

# %% [markdown]
# A network is trained on a few samples at a time, a **batch**. The first axis counts the samples of the batch. The last
# batch may be smaller.

# %%
batches = images.split(128)
print(len(batches), "batches; the first", tuple(batches[0].shape), "the last", tuple(batches[-1].shape))
assert sum(len(batch) for batch in batches) == len(images)

# %% [markdown]
# `tg.load_data` gives data sets whose samples `fit` shuffles again in each epoch; `holdout` splits off a validation
# part. Settings are chosen on validation data; the test data are read once, at the end.

# %%
choose = tg.load_data("mnist").holdout(10_000, seed=0)
print("train", len(choose.train), "  validation", len(choose.validation))
assert torch.equal(choose.train.inputs[0], choose.train.inputs[:1][0])

# %% [markdown]
# ## Exercises
# 1. A recording of 50 people, each with 300 samples of 3 accelerometer axes: which shape?
# 2. Turn `vectors` back into images and check that they equal the originals.
# 3. This one checks itself: how many updates does one epoch take with 60,000 samples and batches of 100?

# %%
answer = None  # write your number here


def right(answer):
    return answer == len(images.split(100))


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
