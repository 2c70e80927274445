"""The nets of `spiking_training.py` in snnTorch: `Leaky` with hidden state and the loop over time written by the
user."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import snntorch as snn
import torch
from snntorch import utils
from torch import Tensor, nn
from torch_spiking_net import Rectangle, synapses, training
from worker import serve


def neurons() -> nn.Module:
    """Return a layer of neurons; snnTorch has no rectangular surrogate, but takes any function."""
    return snn.Leaky(beta=0.5, threshold=0.5, init_hidden=True, reset_mechanism="zero", spike_grad=Rectangle.apply)


net = nn.Sequential(*(one for layer in synapses() for one in (layer, neurons())))


def rates(spikes: Tensor) -> Tensor:
    """Return the rates [B, 10]."""
    utils.reset(net)
    return torch.stack([net(x) for x in spikes]).mean(0)


serve(training(net, rates), ("snntorch", "torch"))
