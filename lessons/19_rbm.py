# %% [markdown]
# # 19. The restricted Boltzmann machine
# **Question.** Can a net learn what images look like, without labels? **Time:** 1 minute.
# **Source:** G. Hinton, Neural Computation 14 (2002).
#
#     E(v, h) = -a.v - b.h - h.Wv       P(h=1|v) = sigmoid(b + Wv)       P(v=1|h) = sigmoid(a + W'h)
#
# Some textbooks print the unit as sigmoid(Wv - b) but update b as if it were added. The sign must be the same in both
# places.

# %%
import itertools

import torch

import threegen as tg

tiny = tg.RBM(4, 3, generator=torch.Generator().manual_seed(0))
states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
p = torch.exp(-tiny.free_energy(states))
p = (p / p.sum()).detach()  # exact: a sum over all 16 images
print("the four largest probabilities of the 16 images:", sorted(p.tolist(), reverse=True)[:4])

# %% [markdown]
# **Contrastive divergence** raises the probability of the data. It lowers the probability of the samples that one step
# of Gibbs sampling makes from the data.

# %%
data = tg.load_data("mnist")
rbm = tg.RBM(784, 100, generator=torch.Generator().manual_seed(0))
rbm.start_visible_bias(data.train.inputs)
log = tg.fit(
    rbm, tg.ContrastiveDivergence(), data.train.take(10_000), optimizer="sgd", lr=0.05, epochs=3, batch_size=100, seed=0
)


def error(net):
    v = data.test.inputs[:1000].flatten(1)
    return ((net.visible_given_hidden(net.hidden_given_visible(v)) - v) ** 2).mean().item()


fresh = tg.RBM(784, 100, generator=torch.Generator().manual_seed(0))
print(f"reconstruction error: untrained {error(fresh):.3f}, trained {error(rbm):.3f}")
assert error(rbm) < error(fresh) / 3

# %% [markdown]
# Many hidden units have learnt to detect strokes. These are the weights of one of them:

# %%
field = rbm.weight[0].detach().reshape(28, 28)
for row in field[2:26:2]:
    print("".join("+" if v > 0.3 else "-" if v < -0.3 else "." for v in row))

# %% [markdown]
# ## Exercises
# 1. Reconstruct an image with half of its pixels set to 0.
# 2. Train with `tg.ContrastiveDivergence(steps=5)`. Is the reconstruction better? Is the reconstruction error the right
#    measure?
# 3. This one checks itself: how many parameters does an RBM with 784 visible and 100 hidden units have?

# %%
answer = None  # write your number here


def right(answer):
    return answer == sum(parameter.numel() for parameter in rbm.parameters())


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
