# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.rules.backprop import Backprop as Backprop
from threegen.rules.boltzmann_learning import BoltzmannLearning as BoltzmannLearning
from threegen.rules.contrastive_divergence import ContrastiveDivergence as ContrastiveDivergence
from threegen.rules.delta import DeltaRule as DeltaRule
from threegen.rules.diehl_cook_stdp import AssignLabels as AssignLabels
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP as DiehlCookSTDP
from threegen.rules.distillation import Distillation as Distillation
from threegen.rules.exponential_stdp import ExponentialSTDP as ExponentialSTDP
from threegen.rules.growing_seeds import GrowingSeeds as GrowingSeeds
from threegen.rules.growing_seeds import LabelledSeeds as LabelledSeeds
from threegen.rules.hybrid_learning import HybridLearning as HybridLearning
from threegen.rules.label_planes import LabelPlanes as LabelPlanes
from threegen.rules.levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
from threegen.rules.mstdp import MSTDP as MSTDP
from threegen.rules.mstdpet import MSTDPET as MSTDPET
from threegen.rules.online_backprop import OnlineBackprop as OnlineBackprop
from threegen.rules.order_based_stdp import OrderBasedSTDP as OrderBasedSTDP
from threegen.rules.pair_stdp import PairSTDP as PairSTDP
from threegen.rules.perceptron import PerceptronRule as PerceptronRule
from threegen.rules.policy_gradient import PolicyGradient as PolicyGradient
from threegen.rules.post_pre import PostPre as PostPre
from threegen.rules.power_law_stdp import PowerLawSTDP as PowerLawSTDP
from threegen.rules.reward import AnswerCritic as AnswerCritic
from threegen.rules.reward import SpikeCritic as SpikeCritic
from threegen.rules.reward_stdp import RewardSTDP as RewardSTDP
from threegen.rules.rule import Applied as Applied
from threegen.rules.rule import PlainSGD as PlainSGD
from threegen.rules.rule import Rule as Rule
from threegen.rules.rule import Update as Update
from threegen.rules.rule import ascend as ascend
from threegen.rules.rule import descend as descend
from threegen.rules.seed_cells import CompetitiveSeeds as CompetitiveSeeds
from threegen.rules.seed_cells import TaughtSeeds as TaughtSeeds
from threegen.rules.spiking_losses import FirstSpikeCrossEntropy as FirstSpikeCrossEntropy
from threegen.rules.spiking_losses import FirstSpikeMSE as FirstSpikeMSE
from threegen.rules.spiking_losses import MembraneCrossEntropy as MembraneCrossEntropy
from threegen.rules.spiking_losses import MembraneMSE as MembraneMSE
from threegen.rules.spiking_losses import SpikeCountCrossEntropy as SpikeCountCrossEntropy
from threegen.rules.spiking_losses import SpikeCountMSE as SpikeCountMSE
from threegen.rules.symmetric_stdp import SymmetricSTDP as SymmetricSTDP
from threegen.rules.triplet_stdp import TripletSTDP as TripletSTDP
from threegen.rules.truncated_bptt import TruncatedBPTT as TruncatedBPTT
from threegen.rules.wake_sleep import WakeSleep as WakeSleep

__all__ = [
    "AnswerCritic",
    "Applied",
    "AssignLabels",
    "Backprop",
    "BoltzmannLearning",
    "CompetitiveSeeds",
    "ContrastiveDivergence",
    "DeltaRule",
    "DiehlCookSTDP",
    "Distillation",
    "ExponentialSTDP",
    "FirstSpikeCrossEntropy",
    "FirstSpikeMSE",
    "GrowingSeeds",
    "HybridLearning",
    "LabelPlanes",
    "LabelledSeeds",
    "LevenbergMarquardt",
    "MSTDP",
    "MSTDPET",
    "MembraneCrossEntropy",
    "MembraneMSE",
    "OnlineBackprop",
    "OrderBasedSTDP",
    "PairSTDP",
    "PerceptronRule",
    "PlainSGD",
    "PolicyGradient",
    "PostPre",
    "PowerLawSTDP",
    "RewardSTDP",
    "Rule",
    "SpikeCountCrossEntropy",
    "SpikeCountMSE",
    "SpikeCritic",
    "SymmetricSTDP",
    "TaughtSeeds",
    "TripletSTDP",
    "TruncatedBPTT",
    "Update",
    "WakeSleep",
    "ascend",
    "descend",
]
