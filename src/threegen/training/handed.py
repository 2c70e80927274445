"""The optimisers that `fit` hands over to a rule that can apply them itself: plain SGD, with momentum and weight
decay."""

from __future__ import annotations

import torch

from threegen.rules.rule import PlainSGD


def plain_sgd(optimizer: torch.optim.Optimizer) -> PlainSGD | None:
    """Return `optimizer` as a `PlainSGD` if that describes it completely, else None.

    All parameters must have the same rate and momentum, without Nesterov's step and dampening; weights may decay,
    biases may not.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return None
    for group in optimizer.param_groups:
        if group["nesterov"] or group["dampening"] or group["maximize"] or group["differentiable"]:
            return None
        if group["weight_decay"] and any(parameter.dim() < 2 for parameter in group["params"]):
            return None
    first, *others = optimizer.param_groups
    if any(group["lr"] != first["lr"] or group["momentum"] != first["momentum"] for group in others):
        return None
    decays = {group["weight_decay"] for group in optimizer.param_groups if any(p.dim() > 1 for p in group["params"])}
    return PlainSGD(optimizer.param_groups) if len(decays) <= 1 else None
