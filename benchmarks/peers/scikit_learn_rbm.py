"""scikit-learn's `BernoulliRBM`, one epoch: `--serve float64-100` names the type of the input and the batch."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.neural_network import BernoulliRBM

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker import serve

KIND, SIZE = sys.argv[-1].split("-")
ROWS = np.load(Path(os.environ["THREEGEN_BENCH_DATA"]) / "rbm.npy").astype(KIND)


def train(quick: bool) -> float:
    """Return the milliseconds of a batch."""
    count = len(ROWS) // int(SIZE) // (10 if quick else 2 if SIZE == "10" else 1)
    net = BernoulliRBM(500, learning_rate=0.05, batch_size=int(SIZE), n_iter=1, random_state=0)
    start = time.perf_counter()
    net.fit(ROWS[: count * int(SIZE)])
    return (time.perf_counter() - start) * 1000 / count


serve(train, ("scikit-learn", "numpy"))
