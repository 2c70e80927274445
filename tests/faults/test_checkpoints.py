"""Damaged, foreign, newer and malicious checkpoints: each its own clear CheckpointError."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_tensors

from threegen.datasets.dataset import Dataset
from threegen.errors import CheckpointError
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.log import TrainingLog
from threegen.training.persistence.checkpoint import (
    FORMAT,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    load_facts,
    read_tensors,
    save_checkpoint,
    tensor_hashes,
    write_tensors,
)


def train(out: Path, **settings: Any) -> TrainingLog:
    data = Dataset(torch.rand(32, 12, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4, name="toy")
    model = MLP([12, 16, 4], batch_norm=True, generator=torch.Generator().manual_seed(0))
    return fit(model, Backprop(), data, epochs=2, batch_size=16, out=out, **settings)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    train(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def newest(run: Path) -> Path:
    return list_checkpoints(run / "checkpoints")[-1]


def error_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    return str(caught.value)


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the facts of a checkpoint and give them a valid digest, as somebody with bad intent would."""
    content = json.loads((path / "checkpoint.json").read_bytes())
    change(content["facts"])
    content["digest"] = hashlib.sha256(json.dumps(content["facts"]).encode()).hexdigest()
    (path / "checkpoint.json").write_bytes(json.dumps(content, indent=1).encode())


def test_a_whole_one_loads(newest: Path) -> None:
    found = load_checkpoint(newest)
    assert found.facts["format"] == FORMAT
    assert found.facts["threads"] == torch.get_num_threads()
    assert found.facts["versions"]["torch"] == torch.__version__
    assert sorted(path.name for path in newest.iterdir()) == [
        "checkpoint.json", "state.safetensors", "weights.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["checkpoint.json", "weights.safetensors", "state.safetensors"])
def test_one_flipped_bit_anywhere_is_found(name: str, newest: Path) -> None:
    """Every 97th byte of each file, one of its eight bits in turn: headers, padding, white space included."""
    path = newest / name
    whole = path.read_bytes()
    for number, place in enumerate(range(0, len(whole), 97)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << number % 8
        path.write_bytes(damaged)
        assert str(path) in error_of(newest)
    path.write_bytes(whole)
    load_checkpoint(newest)


def test_a_flipped_bit_in_a_weight_names_the_tensor(newest: Path) -> None:
    path = newest / "weights.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    last = max((name for name in header if name != "__metadata__"), key=lambda name: header[name]["data_offsets"])
    assert error_of(newest) == f"{path}: tensor {last}: sha256 differs; use an older checkpoint"


def test_a_damaged_one_names_the_one_before_it_which_can_be_resumed(run: Path, newest: Path) -> None:
    path = newest / "weights.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError) as caught:
        train(run, resume=True)
    assert str(caught.value).endswith(
        f"sha256 differs; use an older checkpoint: delete {newest} to resume from 00000002"
    )
    shutil.rmtree(newest)
    assert len(train(run, resume=True).steps) == 4


@pytest.mark.parametrize("name", ["checkpoint.json", "weights.safetensors", "state.safetensors"])
def test_truncated_files(name: str, newest: Path) -> None:
    path = newest / name
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert error_of(newest).startswith(f"{path} is damaged (")
    path.write_bytes(whole + b"\0")
    assert str(path) in error_of(newest)
    path.unlink()
    assert error_of(newest) == f"{path} is missing; the folder is not a whole checkpoint"
    path.mkdir()
    assert error_of(newest) == f"cannot read {path}: Is a directory"


def test_a_newer_format(newest: Path) -> None:
    rewrite(newest, lambda facts: facts.update(format=FORMAT + 1))
    assert error_of(newest) == (
        f"{newest}/checkpoint.json was written in format {FORMAT + 1}, this is {FORMAT}; upgrade threegen to open it"
    )


@pytest.mark.parametrize("form", [0, -1, "1", None, True, [1], 1.0])
def test_a_format_that_never_was(form: object, newest: Path) -> None:
    rewrite(newest, lambda facts: facts.update(format=form))
    assert (
        error_of(newest)
        == f"{newest}/checkpoint.json is not a checkpoint of threegen: it lacks fields of format {FORMAT}"
    )


def test_tensors_of_another_checkpoint(run: Path, newest: Path) -> None:
    older = list_checkpoints(run / "checkpoints")[0]
    shutil.copy(older / "state.safetensors", newest / "state.safetensors")
    assert (
        error_of(newest)
        == f"{newest}/state.safetensors does not hold the tensors that are listed for it; use an older checkpoint"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("progress"),
        lambda facts: facts["progress"].update(stage="x"),
        lambda facts: facts["progress"].update(more=1),
        lambda facts: facts.pop("settings"),
        lambda facts: facts["settings"].pop("stages"),
        lambda facts: facts.update(settings=[]),
        lambda facts: facts.pop("threads"),
        lambda facts: facts.pop("versions"),
        lambda facts: facts.pop("log"),
        lambda facts: facts.update(log={"epochs": 3}),
        lambda facts: facts.pop("frozen"),
        lambda facts: facts.pop("sha256"),
        lambda facts: facts.update(sha256={"weights": {}, "state": []}),
    ],
)
def test_facts_with_a_right_digest_and_wrong_content(change: Callable[[Any], None], run: Path, newest: Path) -> None:
    rewrite(newest, change)
    with pytest.raises(CheckpointError) as caught:
        train(run, resume=True)
    assert str(newest) in str(caught.value)


class Exploit:
    """Opening this pickle would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


def pickles(trap: Path) -> list[bytes]:
    import io

    archive = io.BytesIO()
    torch.save({"weight": Exploit(trap)}, archive)
    return [*(pickle.dumps(Exploit(trap), protocol) for protocol in (2, 4, 5)), archive.getvalue()]


def test_pickles_are_never_opened(newest: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for content in pickles(trap):
        for name in ("model.pt", "model.safetensors", "model"):
            path = tmp_path / name
            path.write_bytes(content)
            sentence = f"{path} is a pickle; pickles can run code and are never opened; export safetensors"
            assert error_of(path) == sentence
            with pytest.raises(CheckpointError) as caught:
                read_tensors(path, {})
            assert str(caught.value) == sentence
        inside = newest / "weights.safetensors"
        inside.write_bytes(content)
        assert (
            error_of(newest) == f"{inside} is a pickle; pickles can run code and are never opened; export safetensors"
        )
    assert not trap.exists()


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    assert error_of(path) == f"{path} is a file; a checkpoint is a folder with checkpoint.json in it"
    assert error_of(tmp_path) == f"{tmp_path}/checkpoint.json is missing; the folder is not a whole checkpoint"


def test_safetensors_that_only_look_like_a_pickle_are_read(tmp_path: Path) -> None:
    """The first byte of a safetensors file is the lowest of its header's length: 0x80 is as good as any other."""
    for length in range(1, 200):
        tensors = {"x" * length: torch.ones(2)}
        write_tensors(tmp_path / "file", tensors)
        if (tmp_path / "file").read_bytes()[0] == 0x80:
            assert torch.equal(read_tensors(tmp_path / "file", tensor_hashes(tensors))["x" * length], torch.ones(2))
            return
    pytest.fail("no length gave that byte")


@pytest.mark.parametrize(
    "header",
    [
        b"{}" + b" " * 6,
        b'{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}',
        b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}',
        b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}',
        b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
        b"[" * 4000,
        b"\xff\xfe",
    ],
)
def test_headers_that_lie(header: bytes, tmp_path: Path) -> None:
    for length in (len(header), 2**63, 2**40):
        path = tmp_path / "file"
        path.write_bytes(struct.pack("<Q", length) + header + bytes(16))
        with pytest.raises(CheckpointError) as caught:
            read_tensors(path, {"a": "0"})
        assert str(path) in str(caught.value)


def test_a_json_without_end_is_not_read(newest: Path) -> None:
    path = newest / "checkpoint.json"
    with path.open("r+b") as stream:
        stream.truncate(65 * 2**20)
    assert error_of(newest) == f"{path} is 68,157,440 bytes long; it is not a checkpoint of threegen"


def test_what_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="a checkpoint holds numbers, texts and tensors only"):
        save_checkpoint(tmp_path, 0, Checkpoint({}, {}, {"odd": object()}))
    assert list(tmp_path.iterdir()) == []


def test_odd_tensors_survive(tmp_path: Path) -> None:
    """0-d, empty, transposed, shared, bfloat16, bool and NaN."""
    shared = torch.arange(6.0).view(2, 3)
    tensors = {
        "zero": torch.tensor(3), "empty": torch.zeros(0, 3), "transposed": shared.t(), "shared": shared,
        "half": torch.ones(2, dtype=torch.bfloat16), "bool": torch.tensor([True, False]),
        "nan": torch.tensor([torch.nan]),
    }  # fmt: skip
    path = save_checkpoint(tmp_path, 3, Checkpoint(tensors, {}, {"number": 0.1, "text": "é", "inf": float("inf")}))
    found = load_checkpoint(path)
    assert load_facts(path)["inf"] == float("inf")
    for name, tensor in tensors.items():
        assert found.weights[name].dtype == tensor.dtype
        assert torch.equal(found.weights[name].nan_to_num(9), tensor.nan_to_num(9))
    assert save_tensors(found.weights)
