# %% [markdown]
# # 13. Overfitting, weight decay, dropout
# **Question.** Why is training accuracy not enough? **Time:** 1 minute.
#
# 300 images are few for a net with six hidden layers. The net memorises them.

# %%
import torch

import threegen as tg

choose = tg.load_data("mnist").holdout(10_000, seed=0)
few, validation = choose.train.take(300), choose.validation.take(2_000)
gaps = {}
for name, decay, dropout in (("plain", 0.0, 0.0), ("weight decay .1", 0.1, 0.0), ("dropout .2", 0.0, 0.2)):
    net = tg.MLP([784, *[100] * 6, 10], init="he", dropout=dropout, generator=torch.Generator().manual_seed(0))
    optimizer = tg.optimizer("sgd", lr=0.01, weight_decay=decay)
    tg.fit(net, tg.Backprop(), few, optimizer=optimizer, epochs=150, batch_size=100, seed=0)
    training, unseen = tg.evaluate(net, few).accuracy, tg.evaluate(net, validation).accuracy
    gaps[name] = training - unseen
    print(f"{name:16} training {training:.1%}   validation {unseen:.1%}   gap {gaps[name]:.1%}")
assert gaps["plain"] > 0.1

# %% [markdown]
# **Weight decay** subtracts a fraction of each weight at every update, so a weight stays large only if it reduces the
# loss. **Dropout** sets random units to 0 during training, so no unit can depend on one other unit. The remaining units
# are multiplied by 1 / (1 - p). In evaluation nothing is dropped. (A textbook program has the drop ratio p in place of
# 1 - p. At p = .5 this makes no difference.)

# %%
x = torch.ones(100_000)
kept = torch.nn.functional.dropout(x, 0.2, training=True)
print(f"zeros {(kept == 0).float().mean():.2f}, others {kept.max():.2f}, mean {kept.mean():.2f}")
assert abs(kept.mean() - 1) < 0.02

# %% [markdown]
# More data help most. Note that here both methods narrow the gap by lowering the training accuracy.
#
# ## Exercises
# 1. Train the plain net on 3,000 images. How large is the gap now?
# 2. Use early stopping with validation data: `stopping=tg.EarlyStopping(...)`. After which epoch does training stop?
# 3. This one checks itself: by which factor does dropout with p = .4 multiply the units that it keeps?

# %%
answer = None  # write your number here


def right(answer):
    return abs(answer - torch.nn.functional.dropout(torch.ones(1000), 0.4).max().item()) < 1e-3


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
