"""An example for each public name of `tg.testing`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

labels = torch.arange(24) % 3
batch = tg.Batch(2.0 * torch.eye(3, 5)[labels] + 0.1 * torch.rand(24, 5), labels)  # three clouds, easy to learn


def model(generator=None):
    return tg.MLP([5, 4, 3], generator=generator)


# %% check_model
print(tg.testing.check_model(model, batch.inputs, classes=3))  # the names of the checks that it passed

# %% check_rule
print(tg.testing.check_rule(tg.Backprop, model, batch))

# %% run_rule
net = model()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
figures = tg.testing.run_rule(tg.Backprop(), net, batch, torch.Generator().manual_seed(0), optimizer)
print(figures)

# %% ContractViolation
violation = tg.testing.ContractViolation("MyRule", {"parameters-change-only-at-yields": "weight changed"})
print(violation)
