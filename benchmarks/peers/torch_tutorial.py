"""The classic program as PyTorch's tutorials write it: TensorDataset, DataLoader, `.item()` each step."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).parents[1]))
from worker import serve


def train(quick: bool) -> float:
    """Return the seconds of the training loop."""
    device = torch.device("cpu")
    dataset = TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
    loader = DataLoader(dataset, batch_size=128, shuffle=True)
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)).to(device)
    loss_function = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    start = time.perf_counter()
    for _ in range(1 if quick else 5):
        model.train()
        running = 0.0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            prediction = model(images)
            loss = loss_function(prediction, labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            running += loss.item()
    return time.perf_counter() - start


FOLDER = Path(os.environ["THREEGEN_BENCH_DATA"])
IMAGES, LABELS = np.load(FOLDER / "x.npy"), np.load(FOLDER / "y.npy")
serve(train, ("torch",))
