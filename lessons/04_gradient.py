# %% [markdown]
# # 4. Derivative and gradient
# **Question.** In which direction should the weights change? **Time:** 1 minute.
#
# The derivative of a function of one number is its slope. It can be estimated from the values of the function at two
# points close together.

# %%
import torch


def slope(f, x, h=1e-4):
    return (f(x + h) - f(x - h)) / (2 * h)  # the central difference: its error shrinks with h squared


def parabola(x):
    return 0.01 * x**2 + 0.1 * x


print("numerical slope at 5:", slope(parabola, 5.0), "   exact: 0.02 * 5 + 0.1 = 0.2")
assert abs(slope(parabola, 5.0) - 0.2) < 1e-6

# %% [markdown]
# The gradient of a function of many numbers contains its slope along every axis. It points in the direction in which
# the function grows fastest. Training goes in the opposite direction. PyTorch computes gradients by the chain rule,
# without differences.

# %%
point = torch.tensor([3.0, 4.0], requires_grad=True)
value = (point**2).sum()
value.backward()
print("gradient of x0^2 + x1^2 at (3, 4):", point.grad.tolist())
assert point.grad.tolist() == [6.0, 8.0]

# %% [markdown]
# **Gradient descent** takes small steps against the gradient. The learning rate scales the steps. If it is too small,
# progress is too slow. If it is too large, the steps overshoot the minimum and grow.


# %%
def descend(rate, steps=100):
    x = torch.tensor([-3.0, 4.0], requires_grad=True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad((x**2).sum(), x)
        x = (x - rate * gradient).detach().requires_grad_()
    return x.detach()


for rate in (1e-10, 0.1, 1.1):
    print(f"rate {rate:g}: after 100 steps at {descend(rate).tolist()}")
assert descend(0.1).norm() < 1e-8

# %% [markdown]
# ## Exercises
# 1. Try `h=1e-50` in `slope`. Why is the result 0?
# 2. What is the largest rate at which `descend` still approaches the minimum?
# 3. This one checks itself: what is the derivative of x^3 at x = 2?

# %%
answer = None  # write your number here


def right(answer):
    return abs(answer - slope(lambda x: x**3, 2.0)) < 1e-3


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
