"""Checkpoints: safetensors and JSON, a SHA-256 per tensor, whole or not there, never a pickle.

A checkpoint is a folder `checkpoints/00000123` (the number counts batches) of three files:

    weights.safetensors    the model's parameters and buffers
    state.safetensors      optimiser, rule, generators, early stopping: what a resumed run needs to be bit-equal
    checkpoint.json        the position, the settings, the versions and a SHA-256 for each tensor

The JSON holds a digest of itself too, so that one flipped bit anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from threegen.errors import CheckpointError
from threegen.training.files import remove_partials, write_folder_whole

FORMAT = 1
_JSON = "checkpoint.json"
_WEIGHTS = "weights.safetensors"
_STATE = "state.safetensors"
_LONGEST_JSON = 64 * 2**20


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds: `weights` and `state` by name, `facts` (position, settings, versions)."""

    weights: dict[str, Tensor]
    state: dict[str, Tensor]
    facts: dict[str, Any]


def versions() -> dict[str, str]:
    """Return the versions that decide whether bits can be promised again."""
    return {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}


def save_checkpoint(folder: Path, number: int, checkpoint: Checkpoint, *, keep: int = 2) -> Path:
    """Write checkpoint `number` under `folder` and drop all but the newest `keep`; return its path.

    Raises `CheckpointError` where it cannot be written; earlier checkpoints stay as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{number:08d}"
    if target.exists():
        return target
    files = {_WEIGHTS: save_tensors(_plain(checkpoint.weights)), _STATE: save_tensors(_plain(checkpoint.state))}
    facts = {
        "format": FORMAT,
        **checkpoint.facts,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "sha256": {
            "weights": {name: _tensor_hash(tensor) for name, tensor in checkpoint.weights.items()},
            "state": {name: _tensor_hash(tensor) for name, tensor in checkpoint.state.items()},
        },
    }
    text = json.dumps({"digest": _digest(facts), "facts": facts}, indent=1, sort_keys=True)
    files[_JSON] = text.encode()

    def fill(beside: Path) -> None:
        for name, content in files.items():
            (beside / name).write_bytes(content)

    write_folder_whole(target, sum(map(len, files.values())), fill)
    for old in list_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints under `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())


def clean_checkpoints(folder: Path) -> None:
    """Remove the parts that an interrupted writer left under `folder`."""
    if folder.is_dir():
        remove_partials(folder)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and verify every tensor; raises `CheckpointError` that says what is wrong and what to do."""
    if path.is_file():
        refuse_pickle(path)
        raise CheckpointError(f"{path} is a file; a checkpoint is a folder with {_JSON} in it")
    facts = _read_facts(path / _JSON)
    weights = _read_tensors(path / _WEIGHTS, facts["sha256"]["weights"])
    state = _read_tensors(path / _STATE, facts["sha256"]["state"])
    return Checkpoint(weights, state, facts)


def refuse_pickle(path: Path) -> None:
    """Raise `CheckpointError` where a file looks like a pickle or a torch archive; such files are never opened."""
    with path.open("rb") as stream:
        head = stream.read(8)
    if head[:2] == b"PK" or head[:1] == b"\x80" or path.suffix in {".pt", ".pth", ".pkl", ".pickle", ".bin"}:
        raise CheckpointError(f"{path} is a pickle; pickles can run code and are never opened; export safetensors")


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy `weights` into `model` after comparing names, shapes and types; raises `CheckpointError` on the first."""
    own = model.state_dict()
    for name, tensor in own.items():
        if name not in weights:
            raise CheckpointError(f"{source} has no {name}, which the model has; it was saved from another model")
        saved = weights[name]
        if saved.shape != tensor.shape:
            raise CheckpointError(
                f"{source}: {name} is {list(saved.shape)}, the model has {list(tensor.shape)}; "
                "build the model with the sizes that it was saved with"
            )
        if saved.dtype != tensor.dtype:
            raise CheckpointError(f"{source}: {name} is {saved.dtype}, the model has {tensor.dtype}")
    extra = [name for name in weights if name not in own]
    if extra:
        raise CheckpointError(f"{source} has {extra[0]}, which the model has not; it was saved from another model")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LONGEST_JSON:
            raise CheckpointError(f"{path} is {path.stat().st_size:,} bytes long; it is not one of ours")
        content = json.loads(path.read_bytes())
        digest, facts = content["digest"], content["facts"]
        form = facts["format"]
    except FileNotFoundError as problem:
        raise CheckpointError(f"{path} is missing; the folder is not a whole checkpoint") from problem
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise CheckpointError(f"{path} is damaged ({type(problem).__name__}); use an older checkpoint") from problem
    if isinstance(form, int) and form > FORMAT:
        raise CheckpointError(f"{path} was written in format {form}, this is {FORMAT}; upgrade threegen to open it")
    if digest != _digest(facts):
        raise CheckpointError(f"{path}: sha256 differs; the file is damaged; use an older checkpoint")
    return dict(facts)


def _read_tensors(path: Path, hashes: Mapping[str, str]) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_tensors(path.read_bytes())
    except FileNotFoundError as problem:
        raise CheckpointError(f"{path} is missing; the folder is not a whole checkpoint") from problem
    except (OSError, SafetensorError, ValueError, RuntimeError, OverflowError) as problem:
        raise CheckpointError(f"{path} is damaged ({problem}); use an older checkpoint") from problem
    if set(tensors) != set(hashes):
        raise CheckpointError(f"{path} holds other tensors than {_JSON} lists; use an older checkpoint")
    for name, tensor in tensors.items():
        if _tensor_hash(tensor) != hashes[name]:
            raise CheckpointError(f"{path}: tensor {name}: sha256 differs; use an older checkpoint")
    return tensors


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU that share no memory, as safetensors wants them."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _tensor_hash(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8) if tensor.numel() else torch.empty(0)
    digest = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}".encode())
    digest.update(flat.numpy().data)
    return digest.hexdigest()


def _digest(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
