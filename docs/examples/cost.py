"""An example for each public name of `tg.cost`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

data = tg.load_data("mnist")
images = data.test.inputs[:20]
net = tg.MLP([784, 20, 10])
spiking = tg.SpikingMLP([784, 20, 10], steps=5, encoder=tg.Bernoulli())

# %% count
bill = tg.cost.count(net, images)
assert bill.operations["mac"] == 784 * 20 + 20 * 10

# %% Bill
bill = tg.count(spiking, images)
assert isinstance(bill, tg.cost.Bill)
print(bill)  # one row per layer
print(bill.compute["total"], bill.memory["total"])

# %% Row
for row in tg.count(net, images).rows:
    assert isinstance(row, tg.cost.Row)
    print(row.name, row.parameters, row.operations)

# %% OPERATIONS
print(tg.cost.OPERATIONS["ac"])  # what each kind of operation means


# %% Cost, Use
class Doubles(torch.nn.Module):
    """A layer of your own that says what it costs."""

    def forward(self, x):
        return 2 * x

    def cost(self, use: tg.cost.Use) -> tg.cost.Cost:
        return tg.cost.Cost("doubles", {"multiply": use.output.numel()}, use.output)


print(tg.count(torch.nn.Sequential(torch.nn.Flatten(), Doubles()), images))

# %% compare
card = tg.cost.compare({"ann": net, "snn": spiking}, data.test.take(100), counted=20)
print(card.verdict[0].headline)

# %% Card
card = tg.compare({"ann": net, "snn": spiking}, data.test.take(100), counted=20)
assert isinstance(card, tg.cost.Card)
print(card)

# %% ENERGY_TABLES
print([table.name for table in tg.cost.ENERGY_TABLES])

# %% EnergyTable
chip = tg.cost.EnergyTable("mine", "my chip", "its data sheet", accumulate=2.0, neuron_update=9.0)  # picojoules
card = tg.compare({"ann": net, "snn": spiking}, data.test.take(100), counted=20, tables=[chip])
