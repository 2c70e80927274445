"""A published data set small enough for tests: the same files, sums and code paths as Fashion-MNIST and CIFAR-10."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from threegen.datasets.catalogue import CIFAR10, FASHION_MNIST, KNOWN, KnownData, KnownFile
from threegen.datasets.idx import write_idx


@pytest.fixture
def fashion_files(tmp_path: Path) -> Path:
    """A folder with four small IDX files under the canonical names, not compressed."""
    random = np.random.default_rng(0)
    folder = tmp_path / "given"
    folder.mkdir()
    for split, count in (("train", 30), ("t10k", 20)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return folder


@pytest.fixture
def fashion(fashion_files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> KnownData:
    """`fashion-mnist` as if these small files were the published ones, and an empty data folder."""
    files = tuple(
        KnownFile(file.name, len(content), hashlib.sha256(content).hexdigest())
        for file in FASHION_MNIST.files
        for content in [(fashion_files / file.name).read_bytes()]
    )
    known = dataclasses.replace(FASHION_MNIST, files=files, train=30, test=20, installed="")
    monkeypatch.setitem(KNOWN, known.name, known)
    monkeypatch.setenv("THREEGEN_DATA", str(tmp_path / "data"))
    return known


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[KnownData, dict[str, bytes]]:
    """`cifar10` with ten records a file, as if published, and the content of its six files."""
    random = np.random.default_rng(1)
    contents: dict[str, bytes] = {}
    for file in CIFAR10.files:
        records = random.integers(0, 256, (10, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(10)
        contents[file.name] = records.tobytes()
    files = tuple(KnownFile(name, len(body), hashlib.sha256(body).hexdigest()) for name, body in contents.items())
    known = dataclasses.replace(CIFAR10, files=files, train=50, test=10)
    monkeypatch.setitem(KNOWN, known.name, known)
    monkeypatch.setenv("THREEGEN_DATA", str(tmp_path / "data"))
    return known, contents
