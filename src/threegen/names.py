"""The table of all public names, and how they are loaded.

A new name is one line in `NAMESPACES`: under its namespace, with the module that defines it. It is then `tg.rules.NAME`
and is loaded on its first use, so that `import threegen` takes no time and needs no optional package. A name that
README and docs write as `tg.NAME` is in `FLAT` too. `python scripts/public_names.py` afterwards writes the stubs
(`*.pyi`) for type checkers and editors, and the snapshot of the tests.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from threegen.errors import MissingExtraError
from threegen.wrong_types import name_wrong_types

# namespace -> module -> its public names
NAMESPACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "models": {
        "threegen.gen1.neocognitron_1980": ("Neocognitron1980",),
        "threegen.gen1.neocognitron_1988": ("Neocognitron1988",),
        "threegen.gen1.neocognitron_2003": ("Neocognitron2003",),
        "threegen.gen1.perceptron": ("Perceptron", "SigmoidNeuron"),
        "threegen.gen2.alexnet": ("AlexNet",),
        "threegen.gen2.boltzmann": ("BoltzmannMachine",),
        "threegen.gen2.classification_rbm": ("ClassificationRBM",),
        "threegen.gen2.conv_net": ("ConvNet",),
        "threegen.gen2.dbn": ("DBN",),
        "threegen.gen2.lenet": ("LeNet5Modern",),
        "threegen.gen2.lenet_1989": ("LeNet1989",),
        "threegen.gen2.lenet_5": ("LeNet5",),
        "threegen.gen2.mlp": ("MLP",),
        "threegen.gen2.rbm": ("RBM",),
        "threegen.gen2.recurrent": ("RecurrentNet",),
        "threegen.gen2.resnet": ("ResNet",),
        "threegen.gen2.softmax_on_rbm": ("SoftmaxOnRBM",),
        "threegen.gen2.spike_activations": ("SoftLIF", "StepReLU"),
        "threegen.gen2.two_layer": ("TwoLayerNet",),
        "threegen.gen2.vgg": ("VGG",),
        "threegen.gen3.conv_networks": ("SpikingConvNet",),
        "threegen.gen3.diehl_cook": ("DiehlCook",),
        "threegen.gen3.health": ("unhealthy_layers",),
        "threegen.gen3.kheradpisheh": ("Kheradpisheh2018",),
        "threegen.gen3.mozafari": ("Mozafari2019",),
        "threegen.gen3.mozafari_2018": ("Mozafari2018",),
        "threegen.gen3.networks": ("Record", "SpikingMLP"),
        "threegen.gen3.ordered_conv": ("DecisionConv", "OrderedConv"),
        "threegen.gen3.plastic_layer": ("PlasticLayer",),
        "threegen.gen3.sequential": ("SpikingSequential", "TimeDropout"),
        "threegen.gen3.spiking_graph": ("GraphLayer", "SpikingGraph", "Wire"),
    },
    "neurons": {
        "threegen.functional.energy.units": ("BernoulliUnits", "GaussianUnits", "JoinedUnits", "SoftmaxUnits"),
        "threegen.gen3.neurons": ("IF", "LIF", "LeakyIntegrator"),
        "threegen.gen3.normalisation": ("NeuNorm", "ThresholdBatchNorm"),
        "threegen.gen3.synaptic": ("SynapticLIF",),
    },
    "encoders": {
        "threegen.functional.decoding": ("binary_image", "intensity_image"),
        "threegen.gen3.encoders": ("Bernoulli", "Direct", "Latency", "Poisson"),
        "threegen.gen3.mozafari_2018": ("GaborLatency",),
        "threegen.gen3.ordered_conv": ("RankLatency",),
    },
    "rules": {
        "threegen.rules.backprop": ("Backprop",),
        "threegen.rules.boltzmann_learning": ("BoltzmannLearning",),
        "threegen.rules.contrastive_divergence": ("ContrastiveDivergence",),
        "threegen.rules.delta": ("DeltaRule",),
        "threegen.rules.distillation": ("Distillation",),
        "threegen.rules.diehl_cook_stdp": ("AssignLabels", "DiehlCookSTDP"),
        "threegen.rules.exponential_stdp": ("ExponentialSTDP",),
        "threegen.rules.growing_seeds": ("GrowingSeeds", "LabelledSeeds"),
        "threegen.rules.hybrid_learning": ("HybridLearning",),
        "threegen.rules.label_planes": ("LabelPlanes",),
        "threegen.rules.levenberg_marquardt": ("LevenbergMarquardt",),
        "threegen.rules.mstdp": ("MSTDP",),
        "threegen.rules.mstdpet": ("MSTDPET",),
        "threegen.rules.online_backprop": ("OnlineBackprop",),
        "threegen.rules.order_based_stdp": ("OrderBasedSTDP",),
        "threegen.rules.pair_stdp": ("PairSTDP",),
        "threegen.rules.perceptron": ("PerceptronRule",),
        "threegen.rules.policy_gradient": ("PolicyGradient",),
        "threegen.rules.post_pre": ("PostPre",),
        "threegen.rules.power_law_stdp": ("PowerLawSTDP",),
        "threegen.rules.reward": ("AnswerCritic", "SpikeCritic"),
        "threegen.rules.reward_stdp": ("RewardSTDP",),
        "threegen.rules.rule": ("Applied", "PlainSGD", "Rule", "Update", "ascend", "descend"),
        "threegen.rules.seed_cells": ("CompetitiveSeeds", "TaughtSeeds"),
        "threegen.rules.spiking_losses": (
            "FirstSpikeCrossEntropy",
            "FirstSpikeMSE",
            "MembraneCrossEntropy",
            "MembraneMSE",
            "SpikeCountCrossEntropy",
            "SpikeCountMSE",
        ),
        "threegen.rules.symmetric_stdp": ("SymmetricSTDP",),
        "threegen.rules.triplet_stdp": ("TripletSTDP",),
        "threegen.rules.truncated_bptt": ("TruncatedBPTT",),
        "threegen.rules.wake_sleep": ("WakeSleep",),
    },
    "datasets": {
        "threegen.datasets.augmentation": ("Augmentation", "TenCrops", "principal_colours", "ten_crops"),
        "threegen.datasets.batches": ("Batch",),
        "threegen.datasets.dataset": ("Data", "Dataset", "Split"),
        "threegen.datasets.distortions": ("Distortions",),
        "threegen.datasets.events.aedat2": ("read_aedat2", "write_aedat2"),
        "threegen.datasets.events.aedat3": ("cut_gesture", "read_aedat3", "read_gestures", "write_aedat3"),
        "threegen.datasets.events.aedat4": ("read_aedat4",),
        "threegen.datasets.events.bin40": ("read_bin", "write_bin"),
        "threegen.datasets.events.evt": ("read_evt",),
        "threegen.datasets.events.filters": (
            "crop",
            "crop_time",
            "denoise",
            "drop",
            "flip",
            "jitter",
            "shrink",
            "stabilise",
            "without_hot_pixels",
        ),
        "threegen.datasets.events.frames": ("to_frames", "to_sliding_frames", "to_time_surface", "to_voxel_grid"),
        "threegen.datasets.events.prophesee": ("read_dat",),
        "threegen.datasets.events.read": ("read_events",),
        "threegen.datasets.events.spike_hdf5": ("SpikeFile",),
        "threegen.datasets.events.stream": ("Events", "make_events"),
        "threegen.datasets.load": ("load_data",),
        "threegen.datasets.picture_dataset": ("PictureDataset",),
        "threegen.datasets.mnist_form": ("mnist_form",),
        "threegen.datasets.motions": ("Loop", "Saccades", "Stroke"),
        "threegen.datasets.saccades": ("Camera", "simulate"),
        "threegen.datasets.simulated": ("simulate_data",),
        "threegen.datasets.strokes": ("mnist_form_of_strokes",),
        "threegen.datasets.text": ("read_text",),
    },
    "training": {
        "threegen.training.energy_monitors": ("EnergyMonitor", "StopAtDivergence"),
        "threegen.training.reward_monitor": ("PassReport", "RewardMonitor"),
        "threegen.training.evaluate": ("Evaluation", "evaluate"),
        "threegen.training.fit": ("Callback", "fit"),
        "threegen.training.log": ("TrainingLog",),
        "threegen.training.optimizers.build": ("optimizer",),
        "threegen.training.search.results": ("SearchResult",),
        "threegen.training.search.space": ("Choice", "Numbers"),
        "threegen.training.schedules": ("EpochSteps", "Plateau", "Progress", "RateSchedule", "RuleValue"),
        "threegen.training.stages": ("Stage",),
        "threegen.training.stopping": ("EarlyStopping",),
    },
    "explanations": {
        "threegen.explanations.competition": ("receptive_fields", "theta_histogram"),
        "threegen.explanations.explain": ("Explainer", "explain"),
        "threegen.explanations.maps": ("Maps",),
        "threegen.explanations.single_spikes": ("first_spike_gif", "seen_sheet"),
        "threegen.explanations.summary": ("Summary",),
        "threegen.tracing.trace": ("trace_model",),
    },
    "cost": {
        "threegen.cost.bill": ("OPERATIONS", "Bill", "Row"),
        "threegen.cost.count": ("count",),
        "threegen.cost.energy_tables": ("ENERGY_TABLES", "EnergyTable"),
        "threegen.gen3.parts": ("Cost", "Use"),
        "threegen.report.comparing": ("Card", "compare"),
    },
    "conversion": {
        "threegen.conversion.convert": ("ConversionWarning", "ConvertedNet", "convert"),
        "threegen.conversion.nir_read": ("import_nir",),
        "threegen.conversion.nir_write": ("NirFile", "export_nir"),
        "threegen.conversion.onnx": ("OnnxFile", "export_onnx"),
        "threegen.conversion.report": ("ConversionReport",),
    },
    "registry": {
        "threegen.registry.deep_reward": ("deep_reward_stages",),
        "threegen.registry.spike_timing": ("stdp_stages",),
        "threegen.registry.entry": ("Entry", "Plan"),
        "threegen.registry.pretraining": ("pretraining", "up_down"),
        "threegen.registry.self_organisation": ("self_organisation",),
        "threegen.registry.shallow_reward": ("shallow_reward_stages",),
        "threegen.registry.stdp_features": ("fit_svm", "kheradpisheh_stages"),
        "threegen.runs.classifier": ("Classifier",),
        "threegen.runs.pretrained": ("pretrained", "pretrained_models"),
        "threegen.runs.run": ("Run", "load_run", "open_run", "save_run"),
        "threegen.runs.search": ("search",),
        "threegen.runs.train": ("train_run",),
        "threegen.runs.spike_health": ("SpikeHealth",),
    },
    "testing": {
        "threegen.testing.models": ("check_model",),
        "threegen.testing.rules": ("check_rule",),
        "threegen.testing.tools": ("ContractViolation", "run_rule"),
    },
    "studies": {
        "threegen.report.history": ("make_history",),
        "threegen.studies.registry": ("run_study", "study_names"),
    },
    "errors": {
        "threegen.errors": (
            "CheckpointError",
            "ConfigError",
            "DataError",
            "Interrupted",
            "MissingExtraError",
            "NumericError",
            "ResourceError",
            "ShapeError",
            "ThreegenError",
            "WorkerError",
        ),
    },
}

# Names that are also `tg.NAME`: those that README, docs and the first pages of a user's own code use.
FLAT: tuple[str, ...] = (
    # data
    "Batch",
    "Data",
    "Dataset",
    "load_data",
    # models
    "AlexNet",
    "DBN",
    "DiehlCook",
    "LeNet1989",
    "LeNet5",
    "LeNet5Modern",
    "MLP",
    "Neocognitron2003",
    "Perceptron",
    "RBM",
    "RecurrentNet",
    "SpikingConvNet",
    "SpikingMLP",
    "SpikingSequential",
    "IF",
    "LIF",
    "Bernoulli",
    "Direct",
    "Latency",
    "Poisson",
    # rules
    "Applied",
    "Backprop",
    "ContrastiveDivergence",
    "DiehlCookSTDP",
    "PairSTDP",
    "PerceptronRule",
    "RewardSTDP",
    "Rule",
    "Update",
    "WakeSleep",
    # training
    "Classifier",
    "EarlyStopping",
    "Evaluation",
    "Stage",
    "TrainingLog",
    "evaluate",
    "fit",
    "load_run",
    "save_run",
    "optimizer",
    "pretrained",
    "pretraining",
    "search",
    # looking, counting, converting
    "compare",
    "convert",
    "count",
    "explain",
    "export_nir",
    "export_onnx",
    "import_nir",
    "ThreegenError",
)


def homes_of(namespace: str) -> dict[str, str]:
    """Return the module of each public name of a namespace."""
    return {name: module for module, names in NAMESPACES[namespace].items() for name in names}


def flat_homes() -> dict[str, str]:
    """Return the module of each name that is `tg.NAME`."""
    everywhere = {name: home for namespace in NAMESPACES for name, home in homes_of(namespace).items()}
    return {name: everywhere[name] for name in FLAT}


def load_name(home: str, name: str) -> Any:
    """Return the object called `name` in the module `home`; if an extra is missing, a class that says so when it is
    used."""
    try:
        return name_wrong_types(getattr(importlib.import_module(home), name))
    except MissingExtraError as problem:
        return _stand_in(name, str(problem))


def open_namespace(module: str) -> list[str]:
    """Give a module the public names of its namespace, each loaded on first use; return the names.

    A name takes precedence over a sub-module of the same name: `tg.training.fit` is the function, also after
    `threegen.training.fit` was imported.
    """
    namespace = sys.modules[module]
    namespace.__class__ = _Namespace
    homes = homes_of(module.removeprefix("threegen."))
    namespace.__dict__["_homes"] = homes
    return sorted(homes)


class _Namespace(ModuleType):
    """A module whose public names are loaded when they are first asked for."""

    _homes: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        home = self._homes.get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = load_name(home, name)
        self.__dict__[name] = value
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in self._homes:  # Python binds a sub-module that it has imported
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._homes})


def _stand_in(name: str, sentence: str) -> type:
    """Return a placeholder class for an object whose optional package is missing: using it raises the sentence."""

    class Missing:
        def __new__(cls, *_: object, **__: object) -> Any:
            raise MissingExtraError(sentence)

        def __init_subclass__(cls) -> None:
            raise MissingExtraError(sentence)

    Missing.__name__ = Missing.__qualname__ = name
    Missing.__doc__ = f"Not usable here: {sentence}."
    return Missing
