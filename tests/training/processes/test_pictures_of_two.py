"""Two processes that train on one folder of pictures: no picture is read twice, and the weights are those of one.

The expected weights are those of an ordinary run over whole batches, made in this process.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from threegen.datasets.augmentation import Augmentation
from threegen.datasets.dataset import Dataset
from threegen.datasets.picture_dataset import PictureDataset, Reply, Request
from threegen.datasets.picture_files import find_pictures
from threegen.gen2.conv_net import ConvNet
from threegen.gen2.rbm import RBM
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.training.fit import fit
from threegen.training.stages import Stage

EXAMPLES, BATCH, EPOCHS = 39, 8, 2  # 39: four batches of 8 and one of 7, in shares of 4 and 4, 3 and 4


class Noted(PictureDataset):
    """Notes which pictures this process reads."""

    read: list[int]

    def reply(self, request: Request) -> Reply:
        """Return what `PictureDataset` does."""
        self.read.extend(request[0].tolist())
        return super().reply(request)


def train(folder: Path) -> dict[str, Any]:
    """Train in this process (alone, or as one of two) and return its weights and what it read."""
    data = Noted(find_pictures(folder)[0], size=12, workers=0)
    data.read = []
    model = ConvNet("4C3-P2-3", shape=data.shape, batch_norm=False, generator=make_generator("two"))
    settings: dict[str, Any] = {"optimizer": "momentum", "lr": 0.05, "epochs": EPOCHS, "batch_size": BATCH}
    stage = Stage("pictures", Backprop(), transform=Augmentation(scale=0.1, colour=0.1), **settings)
    data.read.clear()
    log = fit(model, [stage], data, seed=2)
    return {
        "read": data.read[-EPOCHS * EXAMPLES :] if "RANK" not in os.environ else data.read,
        "weights": torch.cat([p.detach().ravel() for p in model.parameters()]).tolist(),
        "losses": [step["loss"] for step in log.steps],
    }


def train_rbm() -> list[float]:
    """Train an RBM by CD-2 in this process (alone, or as one of two) and return its weights."""
    inputs = torch.rand(EXAMPLES, 12, generator=torch.Generator().manual_seed(6))
    model = RBM(12, 7, generator=make_generator("two"))
    rule = ContrastiveDivergence(2, draw_data=True)
    fit(model, rule, Dataset(inputs), optimizer="momentum", lr=0.1, epochs=3, batch_size=BATCH, seed=3)
    return torch.cat([p.detach().ravel() for p in model.parameters()]).tolist()


def test_two_processes_share_the_pictures(tmp_path: Path) -> None:
    from ...pictures_on_disk import write_pictures

    folder = write_pictures(tmp_path / "colours", EXAMPLES // 3)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workers = []
    for rank in range(2):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
        joined = {**os.environ, **own, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        workers.append(
            subprocess.Popen([sys.executable, __file__, str(folder), str(tmp_path / f"{rank}.json")], env=joined)
        )
    for worker in workers:
        assert worker.wait(500) == 0
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    alone = train(folder)
    looked = EXAMPLES  # each process computes the principal colours from all pictures, once
    shares = [one["read"][looked:] for one in (first, second)]
    for epoch in range(EPOCHS):
        whole = alone["read"][epoch * EXAMPLES : (epoch + 1) * EXAMPLES]
        parts = [share[epoch * len(share) // EPOCHS : (epoch + 1) * len(share) // EPOCHS] for share in shares]
        assert sorted(parts[0] + parts[1]) == sorted(whole) == list(range(EXAMPLES))
    assert first["weights"] == second["weights"]
    difference = torch.tensor(first["weights"]) - torch.tensor(alone["weights"])
    assert float(difference.abs().max()) < 1e-6
    assert alone["losses"][-1] < alone["losses"][0]
    assert first["rbm"] == second["rbm"]  # contrastive divergence draws what one process draws
    assert float((torch.tensor(first["rbm"]) - torch.tensor(train_rbm())).abs().max()) < 1e-6


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps({**train(Path(sys.argv[1])), "rbm": train_rbm()}))
