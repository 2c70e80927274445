"""Checkpoints: safetensors and JSON with a SHA-256 per tensor, written atomically, never a pickle.

A checkpoint is a folder `checkpoints/00000012` (numbered in the order of writing) of three files:

    weights.safetensors    the model's parameters and buffers
    state.safetensors      optimiser, rule, generators, early stopping: what a resumed run needs to be bit-equal
    checkpoint.json        the position, the settings, the versions and a SHA-256 for each tensor and file header

The JSON holds a digest of itself and is accepted in its canonical form only: a single flipped bit anywhere in the three
files is detected.
"""

from __future__ import annotations

import hashlib
import json
import platform
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
from threegen.training.persistence.files import (
    make_folder,
    remove_folder,
    remove_partials,
    write_folder_whole,
    write_whole,
)

FORMAT = 1
_JSON = "checkpoint.json"
_FILES = {"weights": "weights.safetensors", "state": "state.safetensors"}
_LONGEST_JSON = 64 * 2**20
_PICKLE_ENDINGS = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint: `weights` and `state` by name, `facts` (position, settings, versions)."""

    weights: dict[str, Tensor]
    state: dict[str, Tensor]
    facts: dict[str, Any]


def versions() -> dict[str, str]:
    """Return the versions that must be equal for a bit-equal result."""
    return {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}


# -- writing --------------------------------------------------------------------------------------------------------


def save_checkpoint(folder: Path, number: int, checkpoint: Checkpoint, *, keep: int = 2) -> Path:
    """Write checkpoint `number` under `folder` and drop all but the newest `keep`; return its path.

    Raises `CheckpointError` if it cannot be written; earlier checkpoints stay as they were.
    """
    make_folder(folder)
    target = folder / f"{number:08d}"
    files = pack_checkpoint(checkpoint)

    def fill(beside: Path) -> None:
        for name, content in files.items():
            (beside / name).write_bytes(content)

    write_folder_whole(target, sum(map(len, files.values())), fill)
    for old in list_checkpoints(folder)[:-keep]:
        remove_folder(old)
    return target


def pack_checkpoint(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the content of each file of a checkpoint."""
    tensors = {"weights": checkpoint.weights, "state": checkpoint.state}
    packed = {part: save_tensors(_plain(named)) for part, named in tensors.items()}
    facts = {
        "format": FORMAT,
        **checkpoint.facts,
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "sha256": {
            part: {"header": _header_hash(packed[part]), "tensors": tensor_hashes(named)}
            for part, named in tensors.items()
        },
    }
    try:
        plain = json.loads(json.dumps(facts))  # as it is read back: lists for tuples, texts for keys
        return {_JSON: _canonical(plain), **{_FILES[part]: content for part, content in packed.items()}}
    except TypeError as problem:
        raise CheckpointError(f"a checkpoint holds numbers, texts and tensors only: {problem}") from problem


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write named tensors as one safetensors file, whole or not at all."""
    write_whole(path, save_tensors(_plain(tensors)))


def tensor_hashes(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return a SHA-256 for each tensor, over its type, shape and bytes."""
    return {name: hash_tensor(tensor) for name, tensor in tensors.items()}


def hash_tensor(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's type, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype}{list(tensor.shape)}".encode())
    if tensor.numel():
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU that share no memory, as safetensors wants them."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def _canonical(facts: Mapping[str, Any]) -> bytes:
    """Return the canonical form of checkpoint.json for `facts`."""
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return json.dumps({"digest": digest, "facts": facts}, indent=1).encode()


def _header_hash(content: bytes) -> str:
    """Return the SHA-256 of a safetensors file up to its first tensor: names, types, shapes and offsets."""
    length = 8 + int.from_bytes(content[:8], "little")
    return hashlib.sha256(content[:length]).hexdigest()


# -- the folder -----------------------------------------------------------------------------------------------------


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints under `folder`, oldest first."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())
    return sorted(found, key=lambda path: int(path.name))


def clean_checkpoints(folder: Path) -> None:
    """Remove the partial files of an interrupted writer from a run's `folder` and its checkpoints."""
    for place in (folder, folder / "checkpoints"):
        if place.is_dir():
            remove_partials(place)


# -- reading --------------------------------------------------------------------------------------------------------


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint and verify every tensor; raises `CheckpointError` that says what is wrong and what to do."""
    if path.is_file():
        refuse_pickle(path)
        raise CheckpointError(f"{path} is a file; a checkpoint is a folder with {_JSON} in it")
    facts = load_facts(path)
    parts = {}
    for part, name in _FILES.items():
        content = _read_file(path / name)
        parts[part] = unpack_tensors(content, facts["sha256"][part]["tensors"], path / name)
        if _header_hash(content) != facts["sha256"][part]["header"]:
            raise CheckpointError(f"{path / name}: the header's sha256 differs; use an older checkpoint")
    return Checkpoint(parts["weights"], parts["state"], facts)


def load_facts(path: Path) -> dict[str, Any]:
    """Read and verify the checkpoint.json of a checkpoint; raises `CheckpointError`."""
    return unpack_facts(_read_file(path / _JSON, _LONGEST_JSON), path / _JSON)


def unpack_facts(content: bytes, source: Path | str) -> dict[str, Any]:
    """Return the facts in the bytes of a checkpoint.json; raises `CheckpointError` naming `source`."""
    try:
        facts = json.loads(content)["facts"]
        form = facts["format"]
        whole = _canonical(facts)
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise CheckpointError(f"{source} is damaged ({type(problem).__name__}); use an older checkpoint") from problem
    if type(form) is int and form > FORMAT:
        raise CheckpointError(f"{source} was written in format {form}, this is {FORMAT}; upgrade threegen to open it")
    if content != whole:
        raise CheckpointError(f"{source}: sha256 differs; the file is damaged; use an older checkpoint")
    if type(form) is not int or form != FORMAT or not _lists_tensors(facts.get("sha256")):
        raise CheckpointError(f"{source} is not a checkpoint of threegen: it lacks fields of format {FORMAT}")
    return dict(facts)


def _lists_tensors(hashes: object) -> bool:
    """Return whether `hashes` has the form that `pack_checkpoint` writes."""
    return isinstance(hashes, dict) and all(
        isinstance(hashes.get(part), dict)
        and isinstance(hashes[part].get("header"), str)
        and isinstance(hashes[part].get("tensors"), dict)
        for part in _FILES
    )


def read_tensors(path: Path, hashes: Mapping[str, str]) -> dict[str, Tensor]:
    """Read a safetensors file and verify every tensor against `hashes`; raises `CheckpointError`."""
    return unpack_tensors(_read_file(path), hashes, path)


def unpack_tensors(content: bytes, hashes: Mapping[str, str], source: Path | str) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a safetensors file; raises `CheckpointError` naming `source`."""
    if _looks_like_pickle(content[:9]):
        raise _pickle_error(source)
    try:
        tensors: dict[str, Tensor] = load_tensors(content)
    except (SafetensorError, ValueError, RuntimeError, OverflowError, KeyError, TypeError) as problem:
        raise CheckpointError(f"{source} is damaged ({problem}); use an older checkpoint") from problem
    if set(tensors) != set(hashes):
        raise CheckpointError(f"{source} does not hold the tensors that are listed for it; use an older checkpoint")
    for name, tensor in tensors.items():
        if hash_tensor(tensor) != hashes[name]:
            raise CheckpointError(f"{source}: tensor {name}: sha256 differs; use an older checkpoint")
    return tensors


def _read_file(path: Path, most: int | None = None) -> bytes:
    try:
        if most is not None and path.stat().st_size > most:
            raise CheckpointError(f"{path} is {path.stat().st_size:,} bytes long; it is not a checkpoint of threegen")
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as problem:
        raise CheckpointError(f"{path} is missing; the folder is not a whole checkpoint") from problem
    except OSError as problem:
        raise CheckpointError(f"cannot read {path}: {problem.strerror}") from problem


def refuse_pickle(path: Path) -> None:
    """Raise `CheckpointError` if a file looks like a pickle or a torch archive; such files are never opened."""
    with path.open("rb") as stream:
        head = stream.read(9)
    if _looks_like_pickle(head) or path.suffix in _PICKLE_ENDINGS:
        raise _pickle_error(path)


def _looks_like_pickle(head: bytes) -> bool:
    # The first eight bytes of a safetensors file are a length, which can have any value; its JSON comes next.
    return (head[:2] == b"PK" or head[:1] == b"\x80") and head[8:9] != b"{"


def _pickle_error(source: Path | str) -> CheckpointError:
    return CheckpointError(f"{source} is a pickle; pickles can run code and are never opened; export safetensors")


# -- into a model ---------------------------------------------------------------------------------------------------


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy `weights` into `model` after comparing names, shapes and types; raises `CheckpointError` on the first."""
    check_weights(model, weights, source)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            tensor.copy_(weights[name])


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Raise `CheckpointError` at the first of `weights` whose name, shape or type is not the model's."""
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
        raise CheckpointError(f"{source} has {extra[0]}, which the model lacks; it was saved from another model")
