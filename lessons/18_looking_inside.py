# %% [markdown]
# # 18. Looking inside
# **Question.** Which pixels determined the answer? **Time:** 1 minute.
# **Sources:** Zeiler and Fergus (2014); Simonyan et al. (2014); Selvaraju et al. (2017).

# %%
import torch

import threegen as tg

data = tg.load_data("mnist")
net = tg.LeNet5Modern(generator=torch.Generator().manual_seed(0))
tg.fit(net, tg.Backprop(), data.train.take(6_000), optimizer="adam", lr=0.003, epochs=2, batch_size=100, seed=0)
look, x = tg.explain(net), data.test.inputs[:1]


def draw(map_):
    for row in (map_ / map_.max()).reshape(28, 28)[4:24]:
        print("".join("#" if v > 0.5 else "+" if v > 0.2 else "." for v in row))


# %% [markdown]
# **Saliency** is the size of the gradient of the class score with respect to each pixel. It takes one backward pass.

# %%
saliency = look.saliency(x)
draw(saliency[0].abs())
by_hand = x.clone().requires_grad_()
scores = net.eval()(by_hand)
(gradient,) = torch.autograd.grad(scores[0, scores.argmax()], by_hand)
assert torch.allclose(saliency.abs().reshape(28, 28), gradient.abs().reshape(28, 28), atol=1e-5)

# %% [markdown]
# **Occlusion** needs no gradient. It covers one window of the image at a time and measures how much the score falls.

# %%
occlusion = look.occlusion(x)
draw(occlusion[0].clamp(min=0))

# %% [markdown]
# **Grad-CAM** is a weighted sum of the maps of a convolutional layer. The weight of a map is its mean gradient.

# %%
cam = look.grad_cam(x)
draw(cam[0])

# %% [markdown]
# A map that looks right may still be wrong. `check` replaces the weights by random ones, layer by layer. A faithful map
# must change.

# %%
print(look.check(x))

# %% [markdown]
# ## Exercises
# 1. Find a test image that the net misclassifies. Compare the maps of both classes: `look.saliency(x, target=3)`.
# 2. `look.maximise()` finds an image with a high score for each class. Why do these images not look like digits?
# 3. This one checks itself: what is the height of the maps of the last convolution? (`look.summary(x)` prints it.)

# %%
answer = None  # write your number here


def right(answer):
    heights = []
    for part in net.modules():
        if isinstance(part, torch.nn.Conv2d):
            part.register_forward_hook(lambda module, inputs, output: heights.append(output.shape[2]))
    net(x)
    return answer == heights[-1]


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
