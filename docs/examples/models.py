"""An example for each public name of `tg.models`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

data = tg.load_data("mnist")
images = data.test.inputs[:4]  # [4, 1, 28, 28]
seeded = torch.Generator().manual_seed(0)

# %% Neocognitron1980
model = tg.models.Neocognitron1980(planes=6)
tg.fit(model, tg.registry.self_organisation(model, top_epochs=1, batch_size=10), data.train.take(50), seed=0)
assert model(images).shape == (4, 10)

# %% Neocognitron1988
model = tg.models.Neocognitron1988(planes=(8, 8, 2))
assert model(images).shape == (4, 10)

# %% Neocognitron2003
model = tg.models.Neocognitron2003(planes=[20, 30, 50])
assert model(images).shape == (4, 10)

# %% Perceptron
gate = tg.models.Perceptron(2)
with torch.no_grad():
    gate.weight.copy_(torch.tensor([[1.0, 1.0]]))
    gate.bias.fill_(-1.5)
assert gate.predict(torch.tensor([[0.0, 1.0], [1.0, 1.0]])).tolist() == [0, 1]  # AND

# %% SigmoidNeuron
neuron = tg.models.SigmoidNeuron(3, generator=seeded)
print(neuron(torch.rand(2, 3)))

# %% AlexNet
model = tg.models.AlexNet(10, width=0.125, channels=1, size=67)
print(sum(parameter.numel() for parameter in model.parameters()), "parameters")

# %% BoltzmannMachine
machine = tg.models.BoltzmannMachine(4, 2, generator=seeded)
tg.fit(
    machine,
    tg.rules.BoltzmannLearning(sweeps=2, machines=10),
    tg.Dataset(torch.eye(4)),
    optimizer="sgd",
    lr=0.1,
    batch_size=4,
)

# %% ClassificationRBM
model = tg.models.ClassificationRBM(784, 10, 20)
tg.fit(model, tg.rules.HybridLearning(0.01), data.train.take(200), optimizer="sgd", lr=0.05, batch_size=20)
assert model(images).shape == (4, 10)

# %% ConvNet
model = tg.models.ConvNet("8C5-P2-16C5-P2-10")
assert model(images).shape == (4, 10)

# %% DBN
dbn = tg.models.DBN([784, 30, 40], classes=10)
tg.fit(dbn, tg.pretraining(dbn, epochs=1), data.train.take(200), seed=0)
dream = dbn.generate(label=7, count=1, steps=5, generator=seeded)  # [1, 784]

# %% LeNet5Modern
model = tg.models.LeNet5Modern()
assert model(images).argmax(1).shape == (4,)

# %% LeNet1989
model = tg.models.LeNet1989()
assert sum(parameter.numel() for parameter in model.parameters()) == 9_760

# %% LeNet5
model = tg.models.LeNet5(compiled=False)
assert model(images).shape == (4, 10)  # negated distances to ten drawn digits

# %% MLP
model = tg.models.MLP([784, 100, 10], init="he", dropout=0.2)
assert model(images).shape == (4, 10)

# %% RBM
rbm = tg.models.RBM(784, 30)
tg.fit(rbm, tg.ContrastiveDivergence(), data.train.take(200), optimizer="sgd", lr=0.05, batch_size=20)
print(rbm.free_energy(images.flatten(1)))

# %% RecurrentNet
model = tg.models.RecurrentNet(28, 16, 10, cell="lstm")  # reads an image row by row
assert model(images[:, 0]).shape == (4, 10)

# %% SoftmaxOnRBM
model = tg.models.SoftmaxOnRBM(784, 30, 10)
assert model(images).shape == (4, 10)

# %% SoftLIF
rate = tg.models.SoftLIF(noise=0.0)
print(rate(torch.linspace(0.0, 2.0, 5)))  # a smooth rate of a leaky integrate-and-fire neuron

# %% StepReLU
steps = tg.models.StepReLU(levels=4, ceiling=8.0)
print(steps(torch.tensor([-1.0, 3.0, 9.0])))  # a rectifier with four steps

# %% TwoLayerNet
model = tg.models.TwoLayerNet(2, 2, generator=seeded)
assert model(torch.rand(5, 2)).shape[0] == 5

# %% SpikingConvNet
model = tg.models.SpikingConvNet("4C5-P2-10", steps=3)
assert model(images).shape == (4, 10)

# %% DiehlCook
model = tg.models.DiehlCook(20, variant="faster", generator=seeded)
tg.fit(model, tg.registry.stdp_stages(model, tg.DiehlCookSTDP("pair"), batch_size=10), data.train.take(50))
assert model(images).shape == (4, 10)

# %% unhealthy_layers
model = tg.models.SpikingMLP([784, 20, 10], steps=3)
print(tg.models.unhealthy_layers(model, images, torch.Generator().manual_seed(0)))  # silent or saturated layers

# %% Record
model = tg.models.SpikingMLP([784, 20, 10], steps=3)
record = model.run(images)
print([tuple(spikes.shape) for spikes in record.spikes])  # [T, B, N] for each layer

# %% SpikingMLP
model = tg.models.SpikingMLP([784, 100, 10], steps=5, encoder=tg.Bernoulli())
assert model(images).shape == (4, 10)

# %% DecisionConv
model = tg.models.DecisionConv(6, 20, 3, classes=10, encoder=tg.encoders.RankLatency(), generator=seeded)
print(model(images).shape)

# %% OrderedConv
model = tg.models.OrderedConv(6, 8, 5, encoder=tg.encoders.RankLatency(), generator=seeded)
print(model(images).shape)

# %% PlasticLayer
layer = tg.models.PlasticLayer(784, 10, encoder=tg.Poisson(0.05), threshold=8.0, winners=1, steps=20)
tg.fit(layer, tg.rules.PairSTDP(), data.train.take(20), epochs=1, batch_size=10)

# %% SpikingSequential
parts = [torch.nn.Flatten(), torch.nn.Linear(784, 20), tg.LIF(), torch.nn.Linear(20, 10), tg.LIF()]
model = tg.models.SpikingSequential(parts, shape=(1, 28, 28), steps=3)
assert model(images).shape == (4, 10)

# %% TimeDropout
drop = tg.models.TimeDropout(0.5)  # the same units are dropped at all time steps of an example
kept = drop(torch.ones(3, 2, 8))  # [T, B, N]
assert torch.equal(kept[0], kept[2])

# %% GraphLayer, SpikingGraph, Wire
net = tg.convert(tg.pretrained("lenet-5-modern"), calibrate=data.train.take(500), steps=4)  # a SpikingGraph
again = tg.models.SpikingGraph(**net.plan)  # the same layers with weights that are not filled yet
again.load_state_dict(net.state_dict())
print(net.plan["layers"][0])  # a GraphLayer with its Wires, as plain data

# %% ResNet
model = tg.models.ResNet(10, shape=(3, 16, 16), blocks=1, width=0.25)
assert model(torch.rand(2, 3, 16, 16)).shape == (2, 10)

# %% VGG
model = tg.models.VGG(10, width=0.0625, hidden=32)
assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)

# %% Mozafari2019
model = tg.models.Mozafari2019(generator=seeded)
assert model(images).shape == (4, 10)

# %% Mozafari2018
model = tg.models.Mozafari2018(maps=20, generator=seeded)
assert model(images).shape == (4, 10)

# %% Kheradpisheh2018
model = tg.models.Kheradpisheh2018(maps=(8, 20), generator=seeded)
assert model.features(images).shape == (4, 20, 9, 9)
