"""What a user writes: a neuron, a read-out and a loop of their own, and the tools of others on threegen's models."""

from __future__ import annotations

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, prune

import threegen as tg


class Leak(nn.Module):
    """A neuron of one's own: u = .8 u + I, a spike where u >= 1, reset by subtraction."""

    part = "neurons"

    def forward(self, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u = torch.zeros_like(currents[0]) if state is None else state
        spikes = []
        for current in currents:
            u = 0.8 * u + current
            fired = (u >= 1).to(u.dtype)
            near = torch.sigmoid(4 * (u - 1))  # what the gradient goes through
            spikes.append(fired + near - near.detach())
            u = u - fired
        return torch.stack(spikes), u


class LastHalf(nn.Module):
    """A read-out of one's own: the spikes of the last half of the time steps."""

    def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
        return spikes[len(spikes) // 2 :].mean(0) + 0.01 * currents.mean(0)


def main() -> None:
    data = tg.load_data("mnist")
    train, test = data.train.take(3000), data.test.take(1000)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(784, 100), Leak(), nn.Linear(100, 10), Leak()]
    net = tg.SpikingSequential(layers, shape=(1, 28, 28), steps=6, readout=LastHalf())
    adam = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(2):  # a loop of one's own
        for batch in train.batches(64, generator=generator):
            assert batch.targets is not None
            loss = nn.functional.cross_entropy(10 * net(batch.inputs, generator), batch.targets)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
    log = tg.fit(net, tg.Backprop("cross_entropy"), train, optimizer=adam, batch_size=64, accumulate=2)
    print("spiking", tg.evaluate(net, test).accuracy, len(log.steps))

    mlp = tg.MLP([784, 32, 10], generator=generator)
    tg.fit(mlp, tg.Backprop(), (train.inputs, train.targets), optimizer=torch.optim.Adam, epochs=2)
    save_file(mlp.state_dict(), "mlp.safetensors")
    mlp.load_state_dict(load_file("mlp.safetensors"))
    labels = train.targets
    assert labels is not None
    bfgs = torch.optim.LBFGS(mlp.parameters(), max_iter=10)  # flattens the parameters

    def closure() -> Tensor:
        bfgs.zero_grad()
        loss = nn.functional.cross_entropy(mlp(train.inputs), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    bfgs.step(closure)  # type: ignore[no-untyped-call]
    for module in mlp.modules():
        if isinstance(module, nn.Linear):
            prune.l1_unstructured(module, "weight", amount=0.5)  # type: ignore[no-untyped-call]
    print("dense", tg.evaluate(mlp, test).accuracy, len(parameters_to_vector(mlp.parameters())))
    print("bill", tg.count(mlp, test.inputs[:10]).operations)


main()
