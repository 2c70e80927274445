"""learnergy's RBM, one epoch of CD-1: `--serve float32-100` names the batch."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from learnergy.models.bernoulli import RBM

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker import serve

SIZE = int(sys.argv[-1].split("-")[1])
ROWS = torch.from_numpy(np.load(Path(os.environ["THREEGEN_BENCH_DATA"]) / "rbm.npy"))


def train(quick: bool) -> float:
    """Return the milliseconds of a batch."""
    count = len(ROWS) // SIZE // (10 if quick else 2 if SIZE == 10 else 1)
    data = torch.utils.data.TensorDataset(ROWS[: count * SIZE], torch.zeros(count * SIZE))
    net = RBM(n_visible=784, n_hidden=500, steps=1, learning_rate=0.05, momentum=0.5, decay=2e-4, use_gpu=False)
    start = time.perf_counter()
    net.fit(data, batch_size=SIZE, epochs=1)
    return (time.perf_counter() - start) * 1000 / count


serve(train, ("learnergy", "torch"))
