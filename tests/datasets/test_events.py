"""The 40-bit event format by hand, and real N-MNIST recordings where they are at hand."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from threegen.datasets.dataset import Dataset
from threegen.datasets.events import load_event_recordings, read_events, to_frames
from threegen.errors import DataError
from threegen.gen3.ordered_conv import OrderedConv
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.rule import Rule
from threegen.rules.triplet_stdp import TripletSTDP
from threegen.training.fit import fit

# x = 3, y = 4, brighter, t = 1 * 65536 + 2 * 256 + 5; a carry of 8192; x = 33, y = 0, darker, t = 10 + 8192
TWO = bytes([3, 4, 0x81, 2, 5, 0, 240, 0, 0, 0, 33, 0, 0, 0, 10])
REAL = Path(os.environ.get("THREEGEN_DATA", "")) / "nmnist" / "Train-first-1000.zip"
needs_recordings = pytest.mark.skipif(
    not os.environ.get("THREEGEN_DATA") or not REAL.is_file(),
    reason="the 1,000 real N-MNIST recordings are not here: set THREEGEN_DATA to the folder with nmnist/",
)


def test_five_bytes_an_event() -> None:
    found = read_events(TWO)
    assert (found.x.tolist(), found.y.tolist(), found.polarity.tolist()) == ([3, 33], [4, 0], [1, 0])
    assert found.time.tolist() == [66053, 8202]


def test_frames_count_events() -> None:
    """100 ms in four parts of 25 ms: 66.053 ms lies in the third, 8.202 ms in the first."""
    frames = to_frames(read_events(TWO + TWO[:5]), 4, milliseconds=100.0)
    assert frames.shape == (4, 2, 34, 34)
    assert frames[2, 1, 4, 3] == 2  # the first event, and its repetition after the carry, at 74.245 ms
    assert frames[0, 0, 0, 33] == 1
    assert frames.sum() == 3
    assert to_frames(read_events(TWO), 4, milliseconds=20.0).sum() == 1


def test_archive_of_recordings(tmp_path: Path) -> None:
    path = tmp_path / "some.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Train/7/00002.bin", TWO)
        archive.writestr("Train/3/00001.bin", TWO[:5])
        archive.writestr("Train/readme.txt", "no recording")
    data = load_event_recordings(path, steps=5)
    assert data.targets is not None
    assert data.targets.tolist() == [3, 7]
    assert data.inputs.sum((1, 2, 3, 4)).tolist() == [1, 2]
    assert len(load_event_recordings(path, steps=5, count=1)) == 1


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="12 bytes, which are no whole events"):
        read_events(TWO[:12])
    with pytest.raises(DataError, match=r"event 0 lies at x=40, y=4, outside of 34 x 34"):
        read_events(bytes([40, 4, 0, 0, 0]))
    with pytest.raises(DataError, match="no events"):
        read_events(TWO[5:10])
    with pytest.raises(DataError, match="does not exist"):
        load_event_recordings(tmp_path / "none.zip")
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="no whole zip archive"):
        load_event_recordings(tmp_path / "bad.zip")


@needs_recordings
def test_real_recordings() -> None:
    """Their first ten: MNIST's first labels; some thousand events each, half of them brighter."""
    data = load_event_recordings(REAL, count=10)
    assert data.targets is not None
    assert data.targets.tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = data.inputs.sum((1, 2, 3, 4))
    assert float(counts.min()) > 1000
    assert float(counts.max()) < 8000
    assert 0.4 < float(data.inputs[:, :, 1].sum() / counts.sum()) < 0.6


@needs_recordings
@pytest.mark.parametrize("rule", [TripletSTDP(backend="plain"), TripletSTDP(backend="fused"), OrderBasedSTDP(0.05)])
def test_rules_learn_from_real_recordings(rule: Rule) -> None:
    data = load_event_recordings(REAL, steps=30, count=4)
    generator = torch.Generator().manual_seed(0)
    layer: PlasticLayer | OrderedConv
    if isinstance(rule, OrderBasedSTDP):
        layer = OrderedConv(2, 4, 5, steps=30, threshold=10.0, winners=4, radius=2, generator=generator)
    else:
        layer = PlasticLayer([2, 34, 34], 10, dt=10.0, threshold=5.0, inhibition=5.0, winners=1, generator=generator)
    before = layer.weight.detach().clone()
    fit(layer, rule, Dataset(data.inputs), epochs=1, batch_size=2, seed=0, progress=False)
    moved = (layer.weight.detach() - before).abs()
    assert float(moved.max()) > 1e-3
    assert torch.isfinite(moved).all()
    assert float(layer.weight.detach().min()) >= 0
