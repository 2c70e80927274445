"""A busy machine: one update of a net on two cores while another process keeps one of them busy.

The figure is milliseconds per update with the threads and the waiting that the command line chooses on the busy
machine; the floor is the same work on the idle machine, with the choice made there. The other rows run with torch's own
waiting, on the busy and on the idle machine (the second shows the cost of the choice on an idle machine), and on one
thread of the idle machine: next to a process that is never idle, no choice can be much better. Nets:
15C5-P2-40C5-P2-300-10 over 10 time steps in batches of 64 (`busy-conv`), 784-512-10 in batches of 128 (`busy-mlp`).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SPIN = "while True: pass"
SCRIPT = Path(__file__).resolve()
SIDES = {"torchs-own-busy": True, "torchs-own-quiet": False, "one-thread-quiet": False}
SERVED = sys.argv[sys.argv.index("--serve") + 1].rpartition("/")[2] if "--serve" in sys.argv else ""


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Keep one core busy, on the cores that this process may use."""
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        time.sleep(0.3)
        yield
    finally:
        process.kill()
        process.wait()


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
if SERVED in ("ours", "one-thread-quiet"):
    for name in THREADS:  # the harness's
        os.environ.pop(name, None)
if SERVED == "one-thread-quiet":
    os.environ["OMP_NUM_THREADS"] = "1"
elif SERVED == "ours":  # on an idle machine, for the floor, nothing is changed
    from threegen.machine.waiting import choose_waiting  # as the command line does, before torch is loaded

    with neighbour(True):
        choose_waiting()

from harness import Contestant, Job, main


class Update:
    """Times updates of one net; it is built at the first request."""

    def __init__(self, kind: str, busy: bool) -> None:
        self.kind, self.busy = kind, busy
        self.ready = False

    def build(self) -> None:
        """Make the net, its data and its optimiser."""
        import torch

        import threegen as tg

        torch.manual_seed(0)
        batch = 64 if self.kind == "conv" else 128
        images = tg.load_data("mnist").train.take(batch)
        if self.kind == "conv":
            self.net: torch.nn.Module = tg.SpikingConvNet(steps=10)
            self.optimizer: torch.optim.Optimizer = torch.optim.Adam(self.net.parameters())
        else:
            self.net = tg.MLP([784, 512, 10])
            self.optimizer = torch.optim.RMSprop(self.net.parameters(), lr=1e-4)
        self.inputs, self.targets = images.inputs, images.targets
        self.loss = torch.nn.functional.cross_entropy
        self.ready = True

    def step(self) -> None:
        """One update."""
        self.optimizer.zero_grad()
        self.loss(self.net(self.inputs), self.targets).backward()
        self.optimizer.step()

    def __call__(self, quick: bool) -> float:
        """Return milliseconds per update, the mean over about a second, because the disturbance varies."""
        import torch

        if not self.ready:
            self.build()
        updates = (25 if self.kind == "conv" else 600) // (5 if quick else 1)
        for _ in range(3):
            self.step()
        with neighbour(self.busy):
            begin = time.perf_counter()
            for _ in range(updates):
                self.step()
            found = (time.perf_counter() - begin) / updates * 1000
        threads = torch.get_num_threads()
        sys.stderr.write(f"{SERVED}: {threads} threads, {found:.2f} ms\n")
        return found


@dataclass(frozen=True)
class BusyJob(Job):
    """A job with two more processes, which use torch's own waiting."""

    def __getattr__(self, side: str) -> Update:
        if side in SIDES:
            return Update(self.name.removeprefix("busy-"), SIDES[side])
        raise AttributeError(side)


def job(kind: str) -> Job:
    """Return the job for one net."""
    return BusyJob(
        f"busy-{kind}",
        lambda quick: "milliseconds per update",
        ours=Update(kind, True),
        floor=Update(kind, False),
        peers=[Contestant(name, SCRIPT, f"busy-{kind}/{name}") for name in SIDES],
        threads=2,
    )


if __name__ == "__main__":
    main([job("conv"), job("mlp")], __file__)
