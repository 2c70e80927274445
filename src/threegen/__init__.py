"""threegen: one PyTorch package for the three generations of neural networks.

import threegen as tg

data = tg.load_data("mnist")
model = tg.MLP([784, 512, 10])
tg.fit(model, tg.Backprop("cross_entropy"), data.train, optimizer="adam", epochs=3)
print(tg.evaluate(model, data.test))
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0.dev0"

# Where each public name lives. A name is loaded on its first use, so that `import threegen` costs little more than
# nothing and `import threegen` plus one model costs little more than `import torch`.
_HOMES: dict[str, tuple[str, ...]] = {
    "threegen.errors": (
        "CheckpointError",
        "ConfigError",
        "DataError",
        "Interrupted",
        "NumericError",
        "ResourceError",
        "ShapeError",
        "ThreegenError",
        "WorkerError",
    ),
    "threegen.datasets.batches": ("Batch",),
    "threegen.datasets.dataset": ("Data", "Dataset", "Split"),
    "threegen.datasets.distortions": ("Distortions",),
    "threegen.datasets.load": ("load_data",),
    "threegen.datasets.text": ("read_text",),
    "threegen.functional.decoding": ("binary_image", "intensity_image"),
    "threegen.functional.energy.units": ("BernoulliUnits", "GaussianUnits", "JoinedUnits", "SoftmaxUnits"),
    "threegen.gen1.neocognitron_1980": ("Neocognitron1980",),
    "threegen.gen1.neocognitron_1988": ("Neocognitron1988",),
    "threegen.gen1.neocognitron_2003": ("Neocognitron2003",),
    "threegen.gen1.perceptron": ("Perceptron", "SigmoidNeuron"),
    "threegen.gen2.dbn": ("DBN",),
    "threegen.gen2.mlp": ("MLP",),
    "threegen.gen2.lenet": ("LeNet5Modern",),
    "threegen.gen2.lenet_1989": ("LeNet1989",),
    "threegen.gen2.lenet_5": ("LeNet5",),
    "threegen.gen2.alexnet": ("AlexNet",),
    "threegen.gen2.boltzmann": ("BoltzmannMachine",),
    "threegen.gen2.classification_rbm": ("ClassificationRBM",),
    "threegen.gen2.rbm": ("RBM",),
    "threegen.gen3.encoders": ("Bernoulli", "Direct", "Latency", "Poisson"),
    "threegen.gen3.neurons": ("IF", "LIF", "LeakyIntegrator"),
    "threegen.gen3.normalisation": ("NeuNorm", "ThresholdBatchNorm"),
    "threegen.gen3.networks": ("Record", "SpikingMLP"),
    "threegen.gen3.conv_networks": ("SpikingConvNet",),
    "threegen.gen3.sequential": ("SpikingSequential",),
    "threegen.gen3.diehl_cook": ("DiehlCook",),
    "threegen.gen3.health": ("unhealthy_layers",),
    "threegen.gen3.plastic_layer": ("PlasticLayer",),
    "threegen.gen3.ordered_conv": ("DecisionConv", "OrderedConv", "RankLatency"),
    "threegen.gen2.recurrent": ("RecurrentNet",),
    "threegen.gen2.softmax_on_rbm": ("SoftmaxOnRBM",),
    "threegen.gen2.two_layer": ("TwoLayerNet",),
    "threegen.rules.truncated_bptt": ("TruncatedBPTT",),
    "threegen.rules.policy_gradient": ("PolicyGradient",),
    "threegen.rules.rule": ("Applied", "Rule", "Update", "ascend", "descend"),
    "threegen.rules.backprop": ("Backprop",),
    "threegen.rules.boltzmann_learning": ("BoltzmannLearning",),
    "threegen.rules.contrastive_divergence": ("ContrastiveDivergence",),
    "threegen.rules.fused_contrastive_divergence": ("FusedContrastiveDivergence",),
    "threegen.rules.hybrid_learning": ("HybridLearning",),
    "threegen.rules.delta": ("DeltaRule",),
    "threegen.rules.diehl_cook": ("AssignLabels", "DiehlCookSTDP"),
    "threegen.rules.growing_seeds": ("GrowingSeeds", "LabelledSeeds"),
    "threegen.rules.label_planes": ("LabelPlanes",),
    "threegen.rules.levenberg_marquardt": ("LevenbergMarquardt",),
    "threegen.rules.online_backprop": ("OnlineBackprop",),
    "threegen.rules.perceptron": ("PerceptronRule",),
    "threegen.rules.seed_cells": ("CompetitiveSeeds", "TaughtSeeds"),
    "threegen.rules.wake_sleep": ("WakeSleep",),
    "threegen.rules.pair_stdp": ("PairSTDP",),
    "threegen.rules.post_pre": ("PostPre",),
    "threegen.rules.power_law_stdp": ("PowerLawSTDP",),
    "threegen.rules.exponential_stdp": ("ExponentialSTDP",),
    "threegen.rules.symmetric_stdp": ("SymmetricSTDP",),
    "threegen.rules.triplet_stdp": ("TripletSTDP",),
    "threegen.rules.order_based_stdp": ("OrderBasedSTDP",),
    "threegen.rules.reward_stdp": ("RewardSTDP",),
    "threegen.rules.mstdp": ("MSTDP",),
    "threegen.rules.mstdpet": ("MSTDPET",),
    "threegen.rules.reward": ("AnswerCritic", "SpikeCritic"),
    "threegen.testing": ("check_model", "check_rule"),
    "threegen.training.energy_monitors": ("EnergyMonitor", "StopAtDivergence"),
    "threegen.training.evaluate": ("Evaluation", "evaluate"),
    "threegen.training.fit": ("Callback", "fit"),
    "threegen.training.log": ("TrainingLog",),
    "threegen.training.optimizers.build": ("optimizer",),
    "threegen.registry.pretraining": ("pretraining", "up_down"),
    "threegen.training.schedules": ("EpochSteps", "RateSchedule", "RuleValue"),
    "threegen.registry.self_organisation": ("self_organisation",),
    "threegen.training.stages": ("Stage",),
    "threegen.training.stopping": ("EarlyStopping",),
    "threegen.cost.bill": ("Bill",),
    "threegen.cost.count": ("count",),
    "threegen.explanations.competition": ("receptive_fields", "theta_histogram"),
    "threegen.explanations.explain": ("explain",),
    "threegen.runs.classifier": ("Classifier",),
    "threegen.registry.diehl_cook": ("stdp_stages",),
    "threegen.registry.entry": ("Entry", "Plan"),
    "threegen.runs.spike_health": ("SpikeHealth",),
    "threegen.runs.run": ("Run", "load_run", "open_run", "train_run"),
    "threegen.studies.registry": ("run_study", "study_names"),
    "threegen.tracing.trace": ("trace_model",),
    "threegen.report.history": ("make_history",),
}
_PUBLIC = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_PUBLIC)]  # the table above is the one list of public names


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'threegen' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
