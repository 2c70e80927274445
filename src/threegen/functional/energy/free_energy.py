"""Free energies of nets of two layers, and of their labels.

    E(v, h) = E0(v) + E0(h) - a . v - b . h - h . W v
    F(v)    = -log sum over h of exp(-E(v, h)) = E0(v) - a . v - A(b + W v)

with E0 and A of the kinds of units (`functional/energy/units.py`); for binary hidden units A is sum softplus. p(v) is
exp(-F(v)) / Z. With one label unit per class in addition to the visible ones, all classes share W v, so that one
product is enough:

    F(v, y) = E0(v) - a . v - c_y - sum_j softplus(b_j + (W v)_j + U_jy)

Hinton, "A practical guide to training restricted Boltzmann machines", UTML TR 2010-003, section 16; labels: Hinton,
Osindero and Teh, Neural Computation 18 (2006) 1527-1554; Larochelle and Bengio, ICML 2008.

Shapes: B examples, V visible units, H hidden units, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from threegen.checks import require_labels
from threegen.functional.energy.rbm_kernels import squared_distance
from threegen.functional.energy.units import Units


def free_energy(visible: Units, hidden: Units, states: Tensor, visible_bias: Tensor, hidden_input: Tensor) -> Tensor:
    """Return F [...] of visible `states` [..., V], given the hidden units' total inputs b + W v [..., H]."""
    return visible.own_energy(states) - states @ visible_bias - hidden.log_sum(hidden_input)


def class_free_energies(hidden_input: Tensor, label_weight: Tensor, label_bias: Tensor) -> Tensor:
    """Return -c_y - sum_j softplus(x_j + U_jy) [B, C] for every class: F(v, y) without the terms that all classes
    share.

    `hidden_input` [B, H] is b + W v, `label_weight` U [H, C], `label_bias` c [C]. Examples are processed in blocks, so
    that B x C x H numbers are never in memory at once.
    """
    columns = label_weight.T.contiguous()
    block = max(1, 2_000_000 // columns.numel())
    # An exported net must not depend on the number of examples, so it processes all of them at once.
    parts = (hidden_input,) if torch.compiler.is_exporting() else torch.split(hidden_input, block)
    sums = [F.softplus(part.unsqueeze(1) + columns).sum(2) for part in parts]
    return -(torch.cat(sums) + label_bias)


def join_labels(inputs: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return [B, V + C]: `inputs` [B, V] with the one-hot code of `labels` [B] appended.

    Labels may also be probabilities [B, C]. Raises `DataError` for labels outside 0..C-1.
    """
    if labels.is_floating_point():
        return torch.cat([inputs, labels.to(inputs.dtype)], 1)
    coded = F.one_hot(require_labels(labels, classes), classes).to(inputs.dtype)
    return torch.cat([inputs, coded], 1)


def squared_error(states: Tensor, reconstructions: Tensor) -> Tensor:
    """Return the squared error of reconstructions [B, V], summed over units, mean over cases, 0-d."""
    arrays = [part.detach() for part in (states, reconstructions)]
    if all(part.is_cpu and part.dtype == torch.float32 and part.is_contiguous() for part in arrays):
        total = squared_distance(*(part.numpy() for part in arrays))  # in one pass: half the time of two
        return torch.scalar_tensor(total / len(states))
    return F.mse_loss(reconstructions, states, reduction="sum") / len(states)
