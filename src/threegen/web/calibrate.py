"""Confidence of networks whose scores are not probabilities: one temperature per model, fitted on training images.

    share_k = softmax(scores / temperature)_k

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, section 4.2; the targets are
softened as Platt (1999) does, so that a network without a mistake on few images does not become certain.
"""

from __future__ import annotations

import torch
from torch import Tensor


def temperature_for(scores: Tensor, labels: Tensor) -> float:
    """Return the temperature that gives scores [N, K] the highest likelihood of softened labels [N]; 1 for flat scores.

    Example:
        >>> confident = torch.eye(10).repeat(20, 1)          # right every time, by a margin of one
        >>> temperature_for(confident, torch.arange(10).repeat(20)) < 0.2
        True
    """
    count, classes = scores.shape
    spread = float((scores - scores.mean(1, keepdim=True)).std())
    if not spread > 0:
        return 1.0
    soft = torch.full((count, classes), 1.0 / (count + 2) / (classes - 1), dtype=torch.float64)
    soft.scatter_(1, labels.long()[:, None], 1.0 - 1.0 / (count + 2))
    tried = spread * torch.logspace(-2.5, 2.0, 91, dtype=torch.float64)
    losses = [float(-(soft * (scores.double() / t).log_softmax(1)).sum(1).mean()) for t in tried.tolist()]
    return float(tried[min(range(len(losses)), key=losses.__getitem__)])
