"""Spiking convolutional nets as text, such as 15C5-P2-40C5-P2-300-10, in the notation of the papers.

    15C5     a convolution, 15 kernels of 5 by 5 without padding          15C5S   with padding that keeps the size
    P2, AP2  the mean over windows of 2 by 2, after a convolution or a block
    BN       threshold-dependent batch normalisation of the summed input, after a convolution, a block or a full layer
    NN       NeuNorm, after a convolution or a block
    R64C3    a residual block: two convolutions of 64 kernels of 3 by 3 that keep the size, and a shortcut
    300      a full layer; 300FC is the same
    10V5     as last layer: 10 classes, 5 voting neurons each (voting layer)

Neurons follow every convolution and every full layer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from threegen.checks import require_whole
from threegen.errors import ConfigError

_CONVOLUTION = re.compile(r"(R?)(\d+)C(\d+)(S?)")
_POOLING = re.compile(r"A?P(\d+)")
_FULL = re.compile(r"(\d+)(?:FC)?")
_VOTING = re.compile(r"(\d+)V(\d+)")


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer of neurons: `outputs` channels or neurons, `kernel` 0 if it is fully connected, `pool` after it.

    `batch_norm` and `neu_norm` are its normalisations; `block` is 1 and 2 for the two layers of a residual block, else
    0; `votes` is the number of neurons of the last layer per class.
    """

    outputs: int
    kernel: int = 0
    padding: int = 0
    pool: int = 1
    batch_norm: bool = False
    neu_norm: bool = False
    block: int = 0
    votes: int = 1


def parse_layers(text: str) -> list[LayerPlan]:
    """Return the layers of a string such as `"15C5-P2-40C5-P2-300-10"`; the notation is that of this module.

    Convolutions come first, then full layers; the last one is the classes. Raises `ConfigError`.
    """
    hint = f'layers must be a text such as "15C5-P2-40C5-P2-300-10", got {text!r}'
    if not isinstance(text, str):
        raise ConfigError(hint)
    plans: list[LayerPlan] = []
    for word in text.split("-"):
        if not (_add_convolution(word, plans, hint) or _refine(word, plans) or _add_full(word, plans)):
            raise ConfigError(
                f"{hint}: {word!r} is not a layer here; convolutions (15C5) and blocks (R15C5) come first, each "
                f"optionally followed by BN, NN or P2, then numbers"
            )
    if plans[-1].kernel:
        raise ConfigError(f"{hint}: it must end with the number of classes")
    if any(plan.votes > 1 for plan in plans[:-1]):
        raise ConfigError(f"{hint}: a voting layer (10V5) must be the last one")
    for plan in plans:
        require_whole(f"outputs in {text!r}", plan.outputs)
        require_whole(f"pooling in {text!r}", plan.pool)
        require_whole(f"kernel in {text!r}", plan.kernel, least=0)
        require_whole(f"votes in {text!r}", plan.votes)
    return plans


def _add_convolution(word: str, plans: list[LayerPlan], hint: str) -> bool:
    found = _CONVOLUTION.fullmatch(word)
    if not found or (plans and plans[-1].kernel == 0):
        return False
    block, outputs, kernel, same = bool(found[1]), int(found[2]), int(found[3]), bool(found[1] or found[4])
    if same and kernel % 2 == 0:
        raise ConfigError(f"{hint}: {word!r} keeps the size, which needs an odd kernel")
    one = LayerPlan(outputs, kernel, kernel // 2 if same else 0)
    plans += [replace(one, block=1), replace(one, block=2)] if block else [one]
    return True


def _refine(word: str, plans: list[LayerPlan]) -> bool:
    """Add pooling or a normalisation after the last layer; in a residual block BN is for both of its layers."""
    if not plans:
        return False
    last, found = plans[-1], _POOLING.fullmatch(word)
    if found and last.kernel and last.pool == 1:
        plans[-1] = replace(last, pool=int(found[1]))
        return True
    if last.pool > 1 or word not in ("BN", "NN") or last.neu_norm or (word == "BN" and last.batch_norm):
        return False
    if word == "NN":
        plans[-1] = replace(last, neu_norm=True)
        return last.kernel > 0
    plans[-1] = replace(last, batch_norm=True)
    if last.block:
        plans[-2] = replace(plans[-2], batch_norm=True)
    return True


def _add_full(word: str, plans: list[LayerPlan]) -> bool:
    if found := _FULL.fullmatch(word):
        plans.append(LayerPlan(int(found[1])))
    elif found := _VOTING.fullmatch(word):
        plans.append(LayerPlan(int(found[1]), votes=int(found[2])))
    return found is not None
