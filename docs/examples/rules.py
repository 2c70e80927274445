"""An example for each public name of `tg.rules`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

data = tg.load_data("mnist").train.take(100)
small = {"epochs": 1, "batch_size": 20, "seed": 0}


def layer():
    return tg.models.PlasticLayer(784, 10, encoder=tg.Poisson(0.05), threshold=8.0, winners=1, steps=20)


def ordered():
    return tg.models.OrderedConv(6, 8, 5, encoder=tg.encoders.RankLatency(), winners=2, radius=2)


def decision():
    return tg.models.DecisionConv(6, 20, 3, classes=10, encoder=tg.encoders.RankLatency())


# %% Backprop
log = tg.fit(tg.MLP([784, 20, 10]), tg.rules.Backprop("cross_entropy"), data, optimizer="adam", lr=1e-3, **small)
print(log.epochs[-1]["loss"])

# %% TruncatedBPTT
rule = tg.rules.TruncatedBPTT(window=7)  # gradients flow through seven steps at most
rows = tg.Dataset(data.inputs[:, 0], data.targets)
tg.fit(tg.models.RecurrentNet(28, 16, 10), rule, rows, optimizer="adam", **small)

# %% PerceptronRule
tg.fit(tg.models.Perceptron(784, 10), tg.rules.PerceptronRule(), data, optimizer="sgd", lr=1.0, epochs=1, batch_size=1)

# %% DeltaRule
tg.fit(tg.models.Perceptron(784, 10), tg.rules.DeltaRule(), data, optimizer="sgd", lr=1e-3, **small)

# %% OnlineBackprop
tg.fit(tg.models.LeNet1989(), tg.rules.OnlineBackprop(0.03), data.take(20), epochs=1, batch_size=20)

# %% LevenbergMarquardt
model = tg.models.LeNet5(compiled=False)
tg.fit(model, tg.rules.LevenbergMarquardt(examples=10), data.take(10), optimizer="sgd", lr=1e-4, epochs=1, batch_size=1)

# %% Distillation
teacher = tg.pretrained("mlp")
tg.fit(tg.MLP([784, 20, 10]), tg.rules.Distillation(teacher), data, optimizer="adam", **small)


# %% PolicyGradient
class Arms:
    """An environment: one step, three arms to choose from, of which the last pays most."""

    def begin(self, starts):
        return starts

    def step(self, actions):
        return torch.zeros(len(actions), 1), actions.float(), torch.ones(len(actions), dtype=torch.bool)


starts = tg.Dataset(torch.ones(100, 1))
tg.fit(tg.MLP([1, 3]), tg.rules.PolicyGradient(Arms()), starts, optimizer="adam", lr=1e-2, **small)


# %% ContrastiveDivergence
tg.fit(tg.RBM(784, 20), tg.rules.ContrastiveDivergence(steps=1), data, optimizer="sgd", lr=0.05, **small)

# %% HybridLearning
model = tg.models.ClassificationRBM(784, 10, 20)
tg.fit(model, tg.rules.HybridLearning(0.01), data, optimizer="sgd", lr=0.05, **small)

# %% BoltzmannLearning
machine = tg.models.BoltzmannMachine(4, 2)
rule = tg.rules.BoltzmannLearning(sweeps=2, machines=10)
tg.fit(machine, rule, tg.Dataset(torch.eye(4)), optimizer="sgd", lr=0.1, epochs=2, batch_size=4)

# %% WakeSleep
dbn = tg.DBN([784, 20, 30], classes=10)
stages = [*tg.pretraining(dbn, epochs=1), *tg.registry.up_down(dbn, epochs=1)]  # the second part uses WakeSleep
tg.fit(dbn, stages, data, seed=0)
assert isinstance(stages[-1].rule, tg.rules.WakeSleep)

# %% PairSTDP
tg.fit(layer(), tg.rules.PairSTDP(), data, **small)

# %% PostPre
tg.fit(layer(), tg.rules.PostPre(), data, **small)

# %% TripletSTDP
tg.fit(layer(), tg.rules.TripletSTDP(), data, **small)

# %% PowerLawSTDP
tg.fit(layer(), tg.rules.PowerLawSTDP(), data.take(20), **small)

# %% ExponentialSTDP
tg.fit(layer(), tg.rules.ExponentialSTDP(), data.take(20), **small)

# %% SymmetricSTDP
tg.fit(layer(), tg.rules.SymmetricSTDP(), data.take(20), **small)

# %% MSTDP, AnswerCritic
critic = tg.rules.AnswerCritic(classes=10, at=19)  # one verdict, at the last of 20 steps
tg.fit(layer(), tg.rules.MSTDP(critic), data.take(20), **small)

# %% MSTDPET, SpikeCritic
critic = tg.rules.SpikeCritic(classes=10)  # every spike is judged
tg.fit(layer(), tg.rules.MSTDPET(critic), data.take(20), **small)

# %% OrderBasedSTDP
tg.fit(ordered(), tg.rules.OrderBasedSTDP(), data.take(20), **small)

# %% RewardSTDP
tg.fit(decision(), tg.rules.RewardSTDP(classes=10), data.take(20), **small)

# %% AssignLabels, DiehlCookSTDP
model = tg.DiehlCook(20, variant="faster")
stages = tg.registry.stdp_stages(model, tg.rules.DiehlCookSTDP("pair"), batch_size=50, labelled=50)
tg.fit(model, stages, data)
assert isinstance(stages[-1].rule, tg.rules.AssignLabels)  # names each neuron after the class it fires for most

# %% CompetitiveSeeds, GrowingSeeds, LabelPlanes, LabelledSeeds, TaughtSeeds
for model in (tg.models.Neocognitron1980(planes=6), tg.models.Neocognitron2003(planes=[20, 30, 50])):
    stages = tg.registry.self_organisation(model, top_epochs=1, batch_size=10)
    tg.fit(model, stages, data.take(50))
    print([type(stage.rule).__name__ for stage in stages])  # layer by layer
taught = tg.registry.self_organisation(tg.models.Neocognitron1988())  # by TaughtSeeds: features chosen by a teacher

# %% FirstSpikeCrossEntropy
net = tg.SpikingMLP([784, 20, 10], steps=4)
tg.fit(net, tg.Backprop(tg.rules.FirstSpikeCrossEntropy()), data, optimizer="adam", **small)

# %% FirstSpikeMSE
net = tg.SpikingMLP([784, 20, 10], steps=4)
tg.fit(net, tg.Backprop(tg.rules.FirstSpikeMSE()), data, optimizer="adam", **small)

# %% MembraneCrossEntropy
net = tg.SpikingMLP([784, 20, 10], steps=4)
tg.fit(net, tg.Backprop(tg.rules.MembraneCrossEntropy()), data, optimizer="adam", **small)

# %% MembraneMSE
net = tg.SpikingMLP([784, 20, 10], steps=4)
tg.fit(net, tg.Backprop(tg.rules.MembraneMSE()), data, optimizer="adam", **small)

# %% SpikeCountCrossEntropy
net = tg.SpikingMLP([784, 20, 10], steps=4)
tg.fit(net, tg.Backprop(tg.rules.SpikeCountCrossEntropy()), data, optimizer="adam", **small)

# %% SpikeCountMSE
net = tg.SpikingMLP([784, 20, 10], steps=4)
tg.fit(net, tg.Backprop(tg.rules.SpikeCountMSE()), data, optimizer="adam", **small)


# %% Rule, Update, descend
class SignOfTheInput(tg.rules.Rule):
    """A rule of your own: it fills gradients and yields when an update is due."""

    def __call__(self, model, batch, generator):
        loss = torch.nn.functional.cross_entropy(model(batch.inputs), batch.targets)
        for parameter, gradient in zip(model.parameters(), torch.autograd.grad(loss, model.parameters()), strict=True):
            tg.rules.descend(parameter, gradient.sign())
        yield tg.rules.Update(loss=loss.detach())


tg.fit(tg.MLP([784, 20, 10]), SignOfTheInput(), data, optimizer="sgd", lr=1e-3, **small)

# %% ascend
weight = torch.nn.Parameter(torch.zeros(3))
tg.rules.ascend(weight, torch.ones(3))  # a gradient that an optimiser follows upwards
assert weight.grad.tolist() == [-1.0, -1.0, -1.0]


# %% Applied
class Shrinks(tg.rules.Rule):
    """A rule that moves the weights itself and tells the loop so."""

    def __call__(self, model, batch, generator):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.99)
        yield tg.rules.Applied(norm=torch.tensor(1.0))


tg.fit(tg.MLP([784, 20, 10]), Shrinks(), data, **small)

# %% PlainSGD
rule = tg.rules.ContrastiveDivergence()
rule.hand_over(tg.rules.PlainSGD([{"lr": 0.1}]))  # in a loop of your own: the rule then moves the weights itself
