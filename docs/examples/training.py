"""An example for each public name of `tg.training`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

data = tg.load_data("mnist")
few = data.train.take(200)
net = tg.MLP([784, 20, 10], generator=torch.Generator().manual_seed(0))
settings = {"optimizer": "adam", "epochs": 2, "batch_size": 50, "seed": 0}

# %% fit
log = tg.training.fit(net, tg.Backprop(), few, optimizer="adam", lr=1e-3, epochs=2, batch_size=50, seed=0)

# %% TrainingLog
log = tg.fit(net, tg.Backprop(), few, **settings)
assert isinstance(log, tg.training.TrainingLog)
figure = log.plot()  # a matplotlib figure: loss and accuracy per epoch
print(log.epochs[-1])

# %% evaluate
print(tg.training.evaluate(net, data.test.take(500)))  # accuracy with its 95 % interval

# %% Evaluation
found = tg.evaluate(net, data.test.take(500))
assert isinstance(found, tg.training.Evaluation)
print(found.accuracy, found.interval, found.confusion.shape)

# %% optimizer
tg.fit(net, tg.Backprop(), few, optimizer=tg.training.optimizer("momentum", lr=0.1, weight_decay=1e-4), epochs=1)


# %% Callback
class Shows(tg.training.Callback):
    """Print a line after each epoch."""

    def on_epoch_end(self, run):
        print("an epoch has ended")


tg.fit(net, tg.Backprop(), few, callbacks=[Shows()], **settings)

# %% EarlyStopping
stopping = tg.training.EarlyStopping(patience=2)
tg.fit(net, tg.Backprop(), few, validation=data.test.take(100), stopping=stopping, **settings)

# %% RateSchedule
tg.fit(net, tg.Backprop(), few, schedule=tg.training.RateSchedule("cosine", warmup=0.1), **settings)

# %% EpochSteps
momentum = tg.training.EpochSteps("momentum", {0: 0.5, 1: 0.9})
tg.fit(net, tg.Backprop(), few, optimizer=tg.optimizer("momentum", lr=0.1), schedule=momentum, epochs=2)

# %% RuleValue
layer = tg.models.PlasticLayer(784, 10, encoder=tg.Poisson(0.05), threshold=8.0, winners=1, steps=20)
tg.fit(
    layer,
    tg.rules.PowerLawSTDP(),
    few.take(20),
    schedule=tg.training.RuleValue("rate", 0.01, 0.001),
    epochs=1,
    batch_size=20,
)

# %% Progress
where = tg.training.Progress(stage=0, epoch=1, batches_done=6, batches_total=8)
print(where.fraction, tg.training.RateSchedule("linear").factor(where.fraction))

# %% Stage
stages = [
    tg.training.Stage("fast", tg.Backprop(), optimizer="adam", lr=1e-2, epochs=1),
    tg.training.Stage("slow", tg.Backprop(), optimizer="adam", lr=1e-3, epochs=1),
]
tg.fit(net, stages, few)

# %% EnergyMonitor
monitor = tg.training.EnergyMonitor(few, data.test.take(100), cases=50)
tg.fit(tg.RBM(784, 20), tg.ContrastiveDivergence(), few, optimizer="sgd", lr=0.05, epochs=1, callbacks=[monitor])
print(monitor.history[-1])

# %% StopAtDivergence
stop = tg.training.StopAtDivergence(few, bound=1.0, cases=50)
tg.fit(tg.RBM(784, 20), tg.ContrastiveDivergence(), few, optimizer="sgd", lr=0.05, epochs=1, callbacks=[stop])

# %% Choice, Numbers, SearchResult
space = {"lr": tg.training.Numbers(1e-4, 1e-1, log=True), "activation": tg.training.Choice(("relu", "tanh"))}
found = tg.search("mlp", space, few, trials=3, epochs=1, options={"hidden": [20]}, validation=data.test.take(100))
assert isinstance(found, tg.training.SearchResult)
print(found.best.settings)

# %% Plateau
schedule = tg.training.Plateau(patience=1)  # divides the rate by 10 if the validation error has not fallen
tg.fit(net, tg.Backprop(), few, validation=data.test.take(100), schedule=schedule, **settings)
assert schedule.factor([0.5, 0.4, 0.4]) == 0.1

# %% PassReport, RewardMonitor
model = tg.models.Mozafari2019(generator=torch.Generator().manual_seed(0))
monitor = tg.training.RewardMonitor()
stages = tg.registry.deep_reward_stages(model, passes=(1, 1, 1), batch_sizes=(20, 20, 20))
tg.fit(model, stages, few.take(20), callbacks=[monitor], seed=0)
assert isinstance(monitor.reports[-1], tg.training.PassReport)
print(monitor.reports[-1])
