"""A trained `Classifier` in a run's folder: its weights, and in `run.json` the facts to map rows and answers.

The folder has the layout of `run.py`. Its `module` names the `Classifier`, so that no command applies the bare network
to rows that must be scaled first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from threegen.errors import CheckpointError, ConfigError
from threegen.registry.entry import build_model, find_entry
from threegen.runs.feature_range import FeatureRange
from threegen.runs.record import FORMAT, read_record, require_free, write_record
from threegen.training.persistence.checkpoint import load_weights, read_tensors, tensor_hashes, versions, write_tensors
from threegen.training.persistence.files import make_folder
from threegen.training.persistence.lock import locked

WEIGHTS = "weights.safetensors"
MODULE = "threegen.runs.classifier:Classifier"


def keep_classifier(classifier: Any, path: str | Path, *, overwrite: bool) -> None:
    """Write a trained classifier into the folder `path`. Raises `ConfigError` if it holds a run already."""
    folder, kind = Path(path), classifier.classes_.dtype
    if kind.kind not in "biufUSO":
        raise ConfigError(f"labels of type {kind} cannot be saved; use numbers or texts")
    settings = {name: value for name, value in classifier.get_params().items() if _is_plain(value)}
    own = find_entry(classifier.model)
    options = {**own.plan(classifier.mode).options, **(classifier.options or {})}
    if not _is_plain(options):
        raise ConfigError(f"options must be plain values (numbers, texts, lists), got {options!r}")
    labels = classifier.classes_.tolist()
    if not _is_plain(labels):
        raise ConfigError(f"labels must be numbers or texts to be saved, got {labels!r}")
    facts = {
        "format": FORMAT,
        "name": classifier.model,
        "settings": {
            "classifier": settings,
            "labels": labels,
            "label_type": "object" if kind.kind == "O" else kind.str,
            "features": classifier.n_features_in_,
            "feature_names": [str(name) for name in getattr(classifier, "feature_names_in_", [])],
            "range": None if classifier.range_ is None else classifier.range_.facts(),
        },
        "mode": classifier.mode,
        "plan": {"options": options},
        "data": "",
        "data_options": {},
        "data_sha256": {},
        "shape": list(classifier._shape),
        "classes": [str(name) for name in classifier.classes_],
        "seed": classifier._seed,
        "versions": versions(),
        "module": MODULE,
        "examples": 0,
        "held_out": 0,
        "finished": True,
        "sha256": tensor_hashes(classifier.model_.state_dict()),
    }
    make_folder(folder)
    with locked(folder):
        require_free(folder, overwrite)
        write_tensors(folder / WEIGHTS, classifier.model_.state_dict())
        write_record(folder, facts)


def restore_classifier(kind: Any, path: str | Path) -> Any:
    """Return the classifier of class `kind` in the folder `path`. Raises `CheckpointError` for anything else."""
    folder = Path(path)
    facts = read_record(folder)
    if facts["module"] != MODULE:
        raise CheckpointError(f"{folder} holds {facts['module'] or facts['name']}, no Classifier; use load_run")
    kept = facts["settings"]
    try:
        classifier = kind(**kept["classifier"])
        classifier.classes_ = np.array(kept["labels"], dtype=np.dtype(kept["label_type"]))
        classifier.n_features_in_ = int(kept["features"])
        if kept["feature_names"]:
            classifier.feature_names_in_ = np.array(kept["feature_names"], dtype=object)
        classifier.range_ = None if kept["range"] is None else FeatureRange.from_facts(kept["range"])
        classifier._shape, classifier._seed = tuple(facts["shape"]), facts["seed"]
        classifier._rule, classifier._optimizer, classifier._calls = None, None, 0
        hashes = facts["sha256"]
    except (KeyError, TypeError, ValueError) as problem:
        raise CheckpointError(f"{folder} is damaged: {problem}; save the classifier again") from problem
    own = find_entry(facts["name"])
    network = build_model(own, facts["shape"], len(classifier.classes_), facts["seed"], facts["plan"]["options"])
    load_weights(network, read_tensors(folder / WEIGHTS, hashes), str(folder / WEIGHTS))
    classifier.model_ = network.eval()
    return classifier


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
