"""Let AlexNet at its full size learn 64 enlarged digits by heart: python scripts/alexnet_by_heart.py

All 60,965,224 parameters and 1,000 classes, of which ten occur; images of 28 x 28 enlarged to 227 x 227 in three
channels; the paper's initial values; a fifth of the hidden units dropped (the paper: half); Adam in place of momentum.
Training ends when the loss of all 64 in evaluation mode is below .01; it needs 2 GiB of memory.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from torch.nn import functional as F

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.gen2.alexnet import AlexNet
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.training.evaluate import evaluation_mode
from threegen.training.fit import fit
from threegen.training.loop import Callback
from threegen.training.optimizers import optimizer

PICTURES, ENOUGH, MOST = 64, 0.01, 100


def say(sentence: str) -> None:
    """Write a line at once."""
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


class LookAtTheLoss(Callback):
    """Ends the training when all pictures are known."""

    def __init__(self, data: Dataset) -> None:
        self.data = data
        self.begun = time.perf_counter()

    def on_epoch(self, run: Any, record: dict[str, Any]) -> None:
        """Print the loss in evaluation mode after every second pass."""
        if record["epoch"] % 2 == 0:
            return
        with evaluation_mode(run.model), torch.no_grad():
            scores = run.model(self.data.inputs)
        loss = float(F.cross_entropy(scores, self.data.targets))
        right = int((scores.argmax(1) == self.data.targets).sum())
        minutes = (time.perf_counter() - self.begun) / 60
        say(f"pass {record['epoch'] + 1}: loss {loss:.4f}, {right} of {PICTURES} right, {minutes:.1f} minutes")
        if loss < ENOUGH:
            run.stop(f"the loss is below {ENOUGH}")


def main() -> None:
    """Build the net, count it and train it."""
    digits = load_data("mnist").train.take(PICTURES)
    data = Dataset(digits.inputs.expand(-1, 3, -1, -1).contiguous(), digits.targets, (), "64 digits")
    model = AlexNet(picture=28, dropout=0.2, generator=make_generator(0, "alexnet"))
    say(f"{sum(p.numel() for p in model.parameters()):,} parameters, {torch.get_num_threads()} threads")
    fit(
        model,
        Backprop(),
        data,
        optimizer=optimizer("adam", lr=3e-4),
        epochs=MOST,
        batch_size=32,
        seed=0,
        callbacks=[LookAtTheLoss(data)],
    )


if __name__ == "__main__":
    main()
