"""Trained weights that ship in the package: `pretrained("lenet-5")`; commands take the name instead of a run's folder.

`threegen/weights/manifest.json` holds the facts of each model: how it is built, the command that trained it, its
accuracy on the test split, and the SHA-256 of its weights (one safetensors file per model). Large tensors are stored in
float16 if that costs no accuracy; every model computes in its own type. `scripts/pretrained_weights.py` writes both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from threegen.checks import did_you_mean
from threegen.errors import CheckpointError, ConfigError
from threegen.registry.entry import build_model, find_entry
from threegen.runs.converted import built_again
from threegen.training.persistence.checkpoint import load_weights

WEIGHTS = Path(__file__).parents[1] / "weights"
MANIFEST = "manifest.json"
FORMAT = 1
_REINSTALL = "install threegen again"

# fact -> (what it must be, in words; the test)
_SCHEMA: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "entry": ("the name of a model", lambda v: isinstance(v, str)),
    "file": ("a file's name", lambda v: isinstance(v, str) and Path(v).name == v),
    "sha256": ("64 hexadecimal digits", lambda v: isinstance(v, str) and len(v) == 64),
    "shape": ("a list of sizes", lambda v: isinstance(v, list) and all(type(one) is int and one > 0 for one in v)),
    "classes": ("a list of names", lambda v: isinstance(v, list) and all(isinstance(one, str) for one in v)),
    "options": ("options by name", lambda v: isinstance(v, dict)),
    "seed": ("a whole number", lambda v: type(v) is int and v >= 0),
    "accuracy": ("a share of 0 to 1", lambda v: isinstance(v, float) and 0 <= v <= 1),
    "command": ("a command", lambda v: isinstance(v, str)),
}


def pretrained(name: str) -> nn.Module:
    """Return a model with the trained weights that ship in the package, in eval mode; nothing is downloaded.

    Args:
        name: a name from `pretrained_models()`, such as "mlp", "lenet-5" or "spiking-mlp".

    Returns:
        The network in its own type (float32), trained on MNIST's 60,000 training images. It takes images
        `[B, 1, 28, 28]` in 0..1 and returns scores `[B, 10]`. "spiking-events" was trained on simulated recordings and
        takes binary frames of events `[B, 10, 2, 34, 34]` of 30 ms.

    Raises `ConfigError` for a name that does not ship, `CheckpointError` if the package's files are missing or damaged.

    Example:
        >>> import threegen as tg
        >>> net = tg.pretrained("perceptron")
        >>> test = tg.load_data("mnist").test
        >>> int(net(test.inputs[:1]).argmax()), int(test.targets[0])
        (7, 7)
    """
    facts = pretrained_models()
    if name not in facts:
        raise ConfigError(f"no weights ship for {name!r}; choose {', '.join(facts)}{did_you_mean(str(name), facts)}")
    return build_pretrained(facts[name], WEIGHTS)


def pretrained_models() -> dict[str, dict[str, Any]]:
    """Return the facts of each model whose weights ship, by name, the oldest generation first.

    Among them: `title`, `year`, `paper`, `rule`, `generation`; `accuracy` (a fraction), `correct` of `count` test
    images; `steps` (the number of time steps T, None for nets without time); `seed`, `command`; `sha256` and `bytes`
    of the file. Raises `CheckpointError` if the package's manifest is missing or damaged.

    Example:
        >>> from threegen.runs.pretrained import pretrained_models
        >>> pretrained_models()["lenet-5"]["year"]
        1998
    """
    return {name: dict(facts) for name, facts in _manifest(WEIGHTS / MANIFEST).items()}


def build_pretrained(facts: Mapping[str, Any], folder: Path) -> nn.Module:
    """Return the model of a manifest's facts with the weights in `folder`; raises `CheckpointError`."""
    path = folder / facts["file"]
    model: nn.Module
    if "converted" in facts:
        _, model = built_again(path, {**facts, "name": facts["entry"]})
    else:
        entry = find_entry(facts["entry"])
        model = build_model(entry, facts["shape"], len(facts["classes"]), facts["seed"], facts["options"])
    load_weights(model, widened(read_weights(path, facts["sha256"]), model), str(path))
    return model.eval()


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file whose digest is known; raises `CheckpointError`."""
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise CheckpointError(f"cannot read {path}: {problem.strerror}; {_REINSTALL}") from problem
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(f"{path}: its SHA-256 differs from the manifest's: the file is damaged; {_REINSTALL}")
    try:
        tensors: dict[str, Tensor] = load_tensors(content)
    except (SafetensorError, ValueError, RuntimeError, OverflowError, KeyError, TypeError) as problem:
        raise CheckpointError(f"{path} is not a safetensors file ({problem}); {_REINSTALL}") from problem
    return tensors


def widened(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return `weights` with float16 tensors converted to the type of the model's tensor of the same name."""
    own = model.state_dict()
    found = {}
    for name, tensor in weights.items():
        narrow = tensor.dtype == torch.float16 and name in own and own[name].is_floating_point()
        found[name] = tensor.to(own[name].dtype) if narrow else tensor
    return found


@cache
def _manifest(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as problem:
        raise CheckpointError(f"cannot read {path}: {problem.strerror}; {_REINSTALL}") from problem
    except (ValueError, RecursionError) as problem:
        raise CheckpointError(f"{path} is damaged: it is not JSON; {_REINSTALL}") from problem
    models = found.get("models") if isinstance(found, dict) and found.get("format") == FORMAT else None
    if not isinstance(models, dict) or not all(isinstance(facts, dict) for facts in models.values()):
        raise CheckpointError(f"{path} is damaged: it must hold models by name, in format {FORMAT}; {_REINSTALL}")
    for name, facts in models.items():
        for fact, (what, fits) in _SCHEMA.items():
            if fact not in facts or not fits(facts[fact]):
                raise CheckpointError(f"{path}: {fact} of {name} must be {what}; {_REINSTALL}")
    return models
