# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.registry.deep_reward import deep_reward_stages as deep_reward_stages
from threegen.registry.entry import Entry as Entry
from threegen.registry.entry import Plan as Plan
from threegen.registry.pretraining import pretraining as pretraining
from threegen.registry.pretraining import up_down as up_down
from threegen.registry.self_organisation import self_organisation as self_organisation
from threegen.registry.shallow_reward import shallow_reward_stages as shallow_reward_stages
from threegen.registry.spike_timing import stdp_stages as stdp_stages
from threegen.registry.stdp_features import fit_svm as fit_svm
from threegen.registry.stdp_features import kheradpisheh_stages as kheradpisheh_stages
from threegen.runs.classifier import Classifier as Classifier
from threegen.runs.pretrained import pretrained as pretrained
from threegen.runs.pretrained import pretrained_models as pretrained_models
from threegen.runs.run import Run as Run
from threegen.runs.run import load_run as load_run
from threegen.runs.run import open_run as open_run
from threegen.runs.run import save_run as save_run
from threegen.runs.search import search as search
from threegen.runs.spike_health import SpikeHealth as SpikeHealth
from threegen.runs.train import train_run as train_run

__all__ = [
    "Classifier",
    "Entry",
    "Plan",
    "Run",
    "SpikeHealth",
    "deep_reward_stages",
    "fit_svm",
    "kheradpisheh_stages",
    "load_run",
    "open_run",
    "pretrained",
    "pretrained_models",
    "pretraining",
    "save_run",
    "search",
    "self_organisation",
    "shallow_reward_stages",
    "stdp_stages",
    "train_run",
    "up_down",
]
