"""`load_data`: a data set by its name."""

from __future__ import annotations

from threegen.datasets.catalogue import find_known
from threegen.datasets.cifar10 import load_cifar10
from threegen.datasets.dataset import Data
from threegen.datasets.folders import Root
from threegen.datasets.mnist import load_idx_data


def load_data(name: str = "mnist", *, root: Root = None, verify: bool = True) -> Data:
    """Load a data set by name."""
    known = find_known(name)
    if known.kind == "cifar":
        return load_cifar10(known, root=root, verify=verify)
    return load_idx_data(known, root=root, verify=verify)
