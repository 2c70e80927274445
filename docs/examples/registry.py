"""An example for each public name of `tg.registry`; the first cell belongs to all of them."""

# %% setup
import tempfile
from pathlib import Path

import threegen as tg

folder = Path(tempfile.mkdtemp())
data = tg.load_data("mnist")
few = data.train.take(200)

# %% pretrained
net = tg.registry.pretrained("mlp")
print(tg.evaluate(net, data.test.take(200)))

# %% pretrained_models
for name, facts in tg.registry.pretrained_models().items():
    print(name, facts["year"])

# %% Run, load_run, open_run, save_run
net = tg.MLP([784, 20, 10])
tg.fit(net, tg.Backprop(), few, optimizer="adam", epochs=1)
tg.registry.save_run(folder / "mine", net, data="mnist", name="my first net")
run = tg.registry.open_run(folder / "mine", model=lambda: tg.MLP([784, 20, 10]))
assert isinstance(run, tg.registry.Run)
again = tg.registry.load_run(folder / "mine", model=lambda: tg.MLP([784, 20, 10]))

# %% Entry, Plan, train_run
run = tg.registry.train_run("perceptron", tg.datasets.Data("small", few, data.test.take(100)), epochs=1)
assert isinstance(run.entry, tg.registry.Entry)
assert isinstance(run.entry.plans["quick"], tg.registry.Plan)
print(run.entry.paper)

# %% pretraining, up_down
dbn = tg.DBN([784, 20, 30], classes=10)
tg.fit(dbn, [*tg.registry.pretraining(dbn, epochs=1), *tg.registry.up_down(dbn, epochs=1)], few, seed=0)

# %% self_organisation
model = tg.models.Neocognitron1980(planes=6)
tg.fit(model, tg.registry.self_organisation(model, top_epochs=1, batch_size=10), few.take(50))

# %% deep_reward_stages
model = tg.models.Mozafari2019()
tg.fit(model, tg.registry.deep_reward_stages(model, passes=(1, 1, 1), batch_sizes=(20, 20, 20)), few.take(20), seed=0)

# %% kheradpisheh_stages, fit_svm
model = tg.models.Kheradpisheh2018(maps=(8, 20))
tg.fit(model, tg.registry.kheradpisheh_stages(model, passes=(1, 1), batch_size=50), few.take(100))
tg.registry.fit_svm(model, few.take(100), most_passes=5)  # with scikit-learn

# %% shallow_reward_stages
model = tg.models.Mozafari2018(maps=20)
tg.fit(model, tg.registry.shallow_reward_stages(model, passes=1, window=50), few.take(50))

# %% stdp_stages
model = tg.DiehlCook(20, variant="faster")
tg.fit(model, tg.registry.stdp_stages(model, tg.DiehlCookSTDP("pair"), batch_size=50, labelled=50), few)

# %% Classifier
classifier = tg.registry.Classifier("mlp", options={"hidden": [20]}, epochs=1)  # scikit-learn's fit and predict
classifier.fit(few.inputs.flatten(1).numpy(), few.targets.numpy())
print(classifier.predict(data.test.inputs[:3].flatten(1).numpy()))

# %% search
found = tg.registry.search("mlp", {"lr": "log:1e-4:1e-1"}, few, trials=3, epochs=1, options={"hidden": [20]})
print(found.best.settings)

# %% SpikeHealth
net = tg.SpikingMLP([784, 20, 10], steps=3, threshold=0.1)  # a layer that is silent or saturated gives a warning
tg.fit(net, tg.Backprop(), few, callbacks=[tg.registry.SpikeHealth(few.inputs[:5])], optimizer="adam", epochs=1)
