"""The closest equivalent in scikit-learn: `MLPClassifier` with the same layers and batches; it has Adam, no RMSprop."""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker import serve


def train(quick: bool) -> float:
    """Return the seconds of `fit`."""
    net = MLPClassifier(
        (512,), solver="adam", alpha=0.0, batch_size=128, max_iter=1 if quick else 5, tol=0.0, random_state=0
    )
    start = time.perf_counter()
    net.fit(IMAGES, LABELS)
    return time.perf_counter() - start


warnings.simplefilter("ignore")  # it warns that five epochs are not enough to converge
FOLDER = Path(os.environ["THREEGEN_BENCH_DATA"])
IMAGES, LABELS = np.load(FOLDER / "x.npy"), np.load(FOLDER / "y.npy")
serve(train, ("scikit-learn", "numpy"))
