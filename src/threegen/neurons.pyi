# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.functional.energy.units import BernoulliUnits as BernoulliUnits
from threegen.functional.energy.units import GaussianUnits as GaussianUnits
from threegen.functional.energy.units import JoinedUnits as JoinedUnits
from threegen.functional.energy.units import SoftmaxUnits as SoftmaxUnits
from threegen.gen3.neurons import IF as IF
from threegen.gen3.neurons import LIF as LIF
from threegen.gen3.neurons import LeakyIntegrator as LeakyIntegrator
from threegen.gen3.normalisation import NeuNorm as NeuNorm
from threegen.gen3.normalisation import ThresholdBatchNorm as ThresholdBatchNorm
from threegen.gen3.synaptic import SynapticLIF as SynapticLIF

__all__ = [
    "BernoulliUnits",
    "GaussianUnits",
    "IF",
    "JoinedUnits",
    "LIF",
    "LeakyIntegrator",
    "NeuNorm",
    "SoftmaxUnits",
    "SynapticLIF",
    "ThresholdBatchNorm",
]
