# %% [markdown]
# # 15. Recurrent nets
# **Question.** How can a net process a sequence step by step and keep what it has read? **Time:** 1 minute.
# **Sources:** J. Elman (1990); S. Hochreiter and J. Schmidhuber (1997).
#
#     h_t = tanh(W x_t + U h_(t-1) + b)
#
# The same weights are used at every time step. The state h carries information from one step to the next. We compute
# the states by hand and by PyTorch's layer:

# %%
import torch

import threegen as tg

g = torch.Generator().manual_seed(0)
layer = torch.nn.RNN(3, 5, batch_first=True)
x = torch.randn(2, 7, 3, generator=g)  # [B, T, inputs]
W, U, b = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0 + layer.bias_hh_l0
h = torch.zeros(2, 5)
for t in range(7):
    h = torch.tanh(x[:, t] @ W.T + h @ U.T + b)
outputs, last = layer(x)
assert torch.allclose(h, last[0], atol=1e-6)
print("state after seven steps:", [round(value, 2) for value in h[0].tolist()])

# %% [markdown]
# **Back-propagation through time** unrolls the time steps. The gradient is multiplied by U at each of them, so over
# many steps it vanishes or explodes. The cell state of an LSTM is only multiplied by a gate between 0 and 1. While the
# gate is near 1, the gradient is preserved.

# %%
for scale in (0.5, 1.0, 1.5):
    state = torch.randn(1, 50, generator=g, requires_grad=True)
    turn = scale * torch.linalg.qr(torch.randn(50, 50, generator=g))[0]  # multiplies lengths by `scale`
    end = state
    for _ in range(30):
        end = end @ turn
    (gradient,) = torch.autograd.grad(end.sum(), state)
    print(f"recurrent weights scaled by {scale}: gradient after 30 steps {gradient.norm():.1e}")

# %% [markdown]
# An image can be read as a sequence of 28 rows.

# %%
data = tg.load_data("mnist")
net = tg.models.RecurrentNet(28, 64, 10, cell="lstm", generator=torch.Generator().manual_seed(0))
tg.fit(net, tg.Backprop(), data.train.take(5_000), optimizer="adam", lr=0.005, epochs=2, batch_size=100, seed=0)
accuracy = tg.evaluate(net, data.test.take(2_000)).accuracy
print(f"LSTM on rows, two epochs of 5,000 images: {accuracy:.1%}")
assert accuracy > 0.75

# %% [markdown]
# ## Exercises
# 1. Replace the LSTM by `cell="elman"` and `cell="gru"`. Which of the three is most accurate?
# 2. Read the columns instead of the rows (`images.transpose(2, 3)`). Must the net be trained again?
# 3. This one checks itself: how many parameters does `torch.nn.LSTM(28, 64)` have? (It has four gates with two biases
#    per unit.)

# %%
answer = None  # write your number here


def right(answer):
    return answer == sum(parameter.numel() for parameter in torch.nn.LSTM(28, 64).parameters())


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
