# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen import conversion as conversion
from threegen import cost as cost
from threegen import datasets as datasets
from threegen import encoders as encoders
from threegen import errors as errors
from threegen import explanations as explanations
from threegen import models as models
from threegen import neurons as neurons
from threegen import registry as registry
from threegen import rules as rules
from threegen import studies as studies
from threegen import testing as testing
from threegen import training as training

__version__: str

from threegen.conversion.convert import convert as convert
from threegen.conversion.nir_read import import_nir as import_nir
from threegen.conversion.nir_write import export_nir as export_nir
from threegen.conversion.onnx import export_onnx as export_onnx
from threegen.cost.count import count as count
from threegen.datasets.batches import Batch as Batch
from threegen.datasets.dataset import Data as Data
from threegen.datasets.dataset import Dataset as Dataset
from threegen.datasets.load import load_data as load_data
from threegen.errors import ThreegenError as ThreegenError
from threegen.explanations.explain import explain as explain
from threegen.gen1.neocognitron_2003 import Neocognitron2003 as Neocognitron2003
from threegen.gen1.perceptron import Perceptron as Perceptron
from threegen.gen2.alexnet import AlexNet as AlexNet
from threegen.gen2.dbn import DBN as DBN
from threegen.gen2.lenet import LeNet5Modern as LeNet5Modern
from threegen.gen2.lenet_1989 import LeNet1989 as LeNet1989
from threegen.gen2.lenet_5 import LeNet5 as LeNet5
from threegen.gen2.mlp import MLP as MLP
from threegen.gen2.rbm import RBM as RBM
from threegen.gen2.recurrent import RecurrentNet as RecurrentNet
from threegen.gen3.conv_networks import SpikingConvNet as SpikingConvNet
from threegen.gen3.diehl_cook import DiehlCook as DiehlCook
from threegen.gen3.encoders import Bernoulli as Bernoulli
from threegen.gen3.encoders import Direct as Direct
from threegen.gen3.encoders import Latency as Latency
from threegen.gen3.encoders import Poisson as Poisson
from threegen.gen3.networks import SpikingMLP as SpikingMLP
from threegen.gen3.neurons import IF as IF
from threegen.gen3.neurons import LIF as LIF
from threegen.gen3.sequential import SpikingSequential as SpikingSequential
from threegen.registry.pretraining import pretraining as pretraining
from threegen.report.comparing import compare as compare
from threegen.rules.backprop import Backprop as Backprop
from threegen.rules.contrastive_divergence import ContrastiveDivergence as ContrastiveDivergence
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP as DiehlCookSTDP
from threegen.rules.pair_stdp import PairSTDP as PairSTDP
from threegen.rules.perceptron import PerceptronRule as PerceptronRule
from threegen.rules.reward_stdp import RewardSTDP as RewardSTDP
from threegen.rules.rule import Applied as Applied
from threegen.rules.rule import Rule as Rule
from threegen.rules.rule import Update as Update
from threegen.rules.wake_sleep import WakeSleep as WakeSleep
from threegen.runs.classifier import Classifier as Classifier
from threegen.runs.pretrained import pretrained as pretrained
from threegen.runs.run import load_run as load_run
from threegen.runs.run import save_run as save_run
from threegen.runs.search import search as search
from threegen.training.evaluate import Evaluation as Evaluation
from threegen.training.evaluate import evaluate as evaluate
from threegen.training.fit import fit as fit
from threegen.training.log import TrainingLog as TrainingLog
from threegen.training.optimizers.build import optimizer as optimizer
from threegen.training.stages import Stage as Stage
from threegen.training.stopping import EarlyStopping as EarlyStopping

__all__ = [
    "AlexNet",
    "Applied",
    "Backprop",
    "Batch",
    "Bernoulli",
    "Classifier",
    "ContrastiveDivergence",
    "DBN",
    "Data",
    "Dataset",
    "DiehlCook",
    "DiehlCookSTDP",
    "Direct",
    "EarlyStopping",
    "Evaluation",
    "IF",
    "LIF",
    "Latency",
    "LeNet1989",
    "LeNet5",
    "LeNet5Modern",
    "MLP",
    "Neocognitron2003",
    "PairSTDP",
    "Perceptron",
    "PerceptronRule",
    "Poisson",
    "RBM",
    "RecurrentNet",
    "RewardSTDP",
    "Rule",
    "SpikingConvNet",
    "SpikingMLP",
    "SpikingSequential",
    "Stage",
    "ThreegenError",
    "TrainingLog",
    "Update",
    "WakeSleep",
    "__version__",
    "compare",
    "conversion",
    "convert",
    "cost",
    "count",
    "datasets",
    "encoders",
    "errors",
    "evaluate",
    "explain",
    "explanations",
    "export_nir",
    "export_onnx",
    "fit",
    "import_nir",
    "load_data",
    "load_run",
    "models",
    "neurons",
    "optimizer",
    "pretrained",
    "pretraining",
    "registry",
    "rules",
    "save_run",
    "search",
    "studies",
    "testing",
    "training",
]
