# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.functional.decoding import binary_image as binary_image
from threegen.functional.decoding import intensity_image as intensity_image
from threegen.gen3.encoders import Bernoulli as Bernoulli
from threegen.gen3.encoders import Direct as Direct
from threegen.gen3.encoders import Latency as Latency
from threegen.gen3.encoders import Poisson as Poisson
from threegen.gen3.mozafari_2018 import GaborLatency as GaborLatency
from threegen.gen3.ordered_conv import RankLatency as RankLatency

__all__ = [
    "Bernoulli",
    "Direct",
    "GaborLatency",
    "Latency",
    "Poisson",
    "RankLatency",
    "binary_image",
    "intensity_image",
]
