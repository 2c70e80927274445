"""Make the weights that ship in the package: train by the registry's plan, store small, evaluate once, note the facts.

    python scripts/pretrained_weights.py NAME|all [--runs FOLDER]

For each model: a run on MNIST's 60,000 training images with seed 0 (a finished run in FOLDER/NAME is used, an
interrupted one is resumed), then `src/threegen/weights/NAME.safetensors` and its entry in `manifest.json`. Tensors of
4,096 values or more are stored in float16 unless that costs more than `ALLOWED` of the answers that were right on the
first 10,000 training images. The test split is read once, by the stored weights. The manifest also lists which of the
hundred drawings in `tests/fixtures` are misread. Afterwards `scripts/weights_page.py` writes `docs/weights.md`.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.datasets.strokes import mnist_form_of_strokes
from threegen.figures.recordings import MILLISECONDS, STEPS, real_frames, simulated_frames
from threegen.gen1.neocognitron import Neocognitron
from threegen.gen1.neocognitron_cells import GrowingSCells
from threegen.randomness import forked_randomness
from threegen.registry.entry import build_model, find_entry
from threegen.runs.pretrained import FORMAT, MANIFEST, WEIGHTS, build_pretrained, widened
from threegen.runs.record import NAME, read_record
from threegen.runs.run import Run, open_run
from threegen.runs.train import train_run
from threegen.training.evaluate import evaluate
from threegen.training.persistence.checkpoint import load_weights
from threegen.training.persistence.files import write_whole
from threegen.web.lineup import for_drawings

DRAWINGS = Path(__file__).parents[1] / "tests" / "fixtures" / "hundred_strokes.json"
LARGE = 4096  # values from which a tensor is stored in float16
ALLOWED = 2  # allowed loss of right answers in 10,000 by float16
CHECKED = 500  # first test images that the tests classify again
CHECKED_BY_CAMERA = 50  # of them, if each is recorded by the simulated camera first
SIMULATED = 24_000  # digits of MNIST's training split after the first 1,000, recorded by the simulated camera


@cache
def digits() -> Data:
    """Return MNIST."""
    return load_data("mnist")


@cache
def recordings() -> Data:
    """Return simulated recordings for training; the 1,000 real ones at hand, of other digits, are the test split."""
    return Data("n-mnist-simulated", simulated_frames(STEPS, seed=0, count=SIMULATED), real_frames(STEPS))


@dataclass(frozen=True)
class Recipe:
    """How one model is trained and stored: its plan and options, and the options that differ in inference.

    `answering` are options of the shipped network that replace those of the training. `fitted` returns options and
    tensors of a smaller network with the same answers. `likelihood` says that the softmax of the scores is already a
    probability, because the network was trained with it. `judged` is the number of training images for the check of
    float16. `data` loads the training and the test data; `facts` replace those of the run in the manifest.
    """

    mode: str = "full"
    epochs: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    answering: Mapping[str, Any] = field(default_factory=dict)
    fitted: Callable[[nn.Module], tuple[dict[str, Any], dict[str, Tensor]]] | None = None
    likelihood: bool = False
    judged: int = 10_000
    data: Callable[[], Data] = digits
    facts: Mapping[str, Any] = field(default_factory=dict)


def existing_planes(model: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the neocognitron with only its existing planes, without memory for more."""
    net = cast(Neocognitron, model)
    counts = [int(layer.count) for layer in net.layers.values() if isinstance(layer, GrowingSCells)]
    weights = dict(net.state_dict())
    for name, below, own in zip(("S2", "S3", "S4"), (None, *counts), counts, strict=False):
        for key in ("a", "labels"):
            weights[f"layers.{name}.{key}"] = weights[f"layers.{name}.{key}"][:own]
        weights[f"layers.{name}.a"] = weights[f"layers.{name}.a"][:, :below]
    return {"planes": counts}, weights


RECIPES = {
    "perceptron": Recipe(),
    "neocognitron": Recipe(
        "quick", options={"digits": 3000, "planes": [60, 120, 1500]}, fitted=existing_planes, judged=1000
    ),
    "mlp": Recipe(likelihood=True),
    "lenet-1989": Recipe(),
    "lenet-5": Recipe("quick", epochs=2, likelihood=True),
    "lenet-5-modern": Recipe(likelihood=True),
    "rbm-softmax": Recipe(likelihood=True),
    "dbn": Recipe("quick", epochs=6, likelihood=True),
    "diehl-cook": Recipe(),
    "mozafari": Recipe(),
    "spiking-mlp": Recipe("quick", epochs=5, answering={"steps": 10}),
    "converted": Recipe("quick", epochs=1, likelihood=True, judged=2000),
    "spiking-events": Recipe(
        judged=2000,
        data=recordings,
        facts={
            "data": "n-mnist",
            "data_options": {"frames": STEPS, "milliseconds": MILLISECONDS, "binary": True},
            "trained_on": f"{SIMULATED:,} digits of MNIST's training images shown to the simulated camera of N-MNIST",
            "tested_on": "the 1,000 real recordings of N-MNIST that show the first 1,000 training images, none of "
            "which it was trained on",
        },
    ),
    "spiking-conv": Recipe("quick", epochs=1, answering={"steps": 10}, likelihood=True, judged=2000),
}


def main() -> None:
    """Make the weights that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*RECIPES, "all"])
    parser.add_argument("--runs", type=Path, default=Path("runs/pretrained"))
    given = parser.parse_args()
    for name in RECIPES if given.name == "all" else [given.name]:
        facts = make_weights(name, RECIPES[name], given.runs / name)
        sys.stdout.write(
            f"{name}: {facts['correct']} of {facts['count']}, {facts['bytes']:,} bytes, {facts['precision']}\n"
        )


def make_weights(name: str, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Train, store and evaluate one model, write its entry of the manifest and return it."""
    data = recipe.data()
    run = trained(name, recipe, folder, data)
    entry, facts = find_entry(name), run.facts
    options = {**facts["plan"].get("options", {}), **recipe.answering}
    weights = dict(run.model.state_dict())
    if recipe.fitted is not None:
        smaller, weights = recipe.fitted(run.model)
        options |= smaller
    model = run.model
    if "converted" not in facts:
        model = build_model(entry, facts["shape"], len(facts["classes"]), facts["seed"], options).eval()
    stored, precision = packed(model, weights, data.train.take(recipe.judged), str(folder))
    content = save_tensors(stored)
    WEIGHTS.mkdir(exist_ok=True)
    write_whole(WEIGHTS / f"{name}.safetensors", content)
    found: dict[str, Any] = {
        "entry": name,
        "title": entry.title,
        "generation": entry.generation,
        "year": entry.year,
        "paper": entry.paper,
        "rule": entry.rule_name,
        "file": f"{name}.safetensors",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        **precision,
        **({"converted": facts["converted"]} if "converted" in facts else {}),
        "parameters": sum(one.numel() for one in model.parameters()),
        "name": name,
        "mode": facts["mode"],
        "settings": facts["settings"],
        "plan": facts["plan"],
        "options": options,
        "steps": options.get("steps") or getattr(getattr(model, "variant", None) or model, "steps", None),
        "module": "",
        "data": facts["data"],
        "data_options": facts["data_options"],
        "data_sha256": facts["data_sha256"],
        "shape": facts["shape"],
        "classes": facts["classes"],
        "examples": facts["examples"],
        "seed": facts["seed"],
        "seconds": round(facts["seconds"], 1),
        "versions": facts["versions"],
        "date": datetime.date.today().isoformat(),
        "command": f"python scripts/pretrained_weights.py {name}",
        **recipe.facts,
    }
    if "tested_on" in recipe.facts:  # it is not the test split of the data by their name
        found["data_sha256"] = {"train": facts["data_sha256"]["train"], "tested_on": facts["data_sha256"]["test"]}
    shipped = build_pretrained(found, WEIGHTS)
    found["temperature"] = 1.0 if recipe.likelihood else temperature(shipped, data.train.take(10_000))
    whole = evaluate(shipped, data.test, seed=0)
    reader = for_drawings(shipped, found)
    checked = load_data("mnist").test.take(CHECKED if reader is shipped else CHECKED_BY_CAMERA)
    few = evaluate(reader, checked, seed=0)
    found |= {
        "accuracy": whole.accuracy,
        "interval": list(whole.interval),
        "correct": whole.correct,
        "count": whole.count,
        "checked": {"images": len(checked), "correct": few.correct, "seed": 0},
        "drawings": drawings_read(reader),
    }
    note(name, found)
    return found


def trained(name: str, recipe: Recipe, folder: Path, data: Data) -> Run:
    """Return the finished run in `folder`, resumed or trained if there is none."""
    begun = (folder / NAME).is_file()
    if begun and read_record(folder)["finished"]:
        return open_run(folder)
    if begun:
        return train_run(data=data, out=folder, resume=True, progress=True)
    settings = {"mode": recipe.mode, "epochs": recipe.epochs, "options": recipe.options or None}
    return train_run(name, data, **settings, seed=0, out=folder, progress=True)  # type: ignore[arg-type]


def packed(
    model: nn.Module, weights: dict[str, Tensor], judged: Dataset, source: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors to store, and how many answers on `judged` are right in either precision."""
    whole = {key: value.detach().cpu().clone().contiguous() for key, value in weights.items()}
    narrow = {key: value.half() if _is_large(value) else value for key, value in whole.items()}
    right = []
    for tensors in (whole, narrow):
        load_weights(model, widened(tensors, model), source)
        right.append(evaluate(model, judged, seed=0).correct)
    taken = right[1] >= right[0] - ALLOWED
    facts = {
        "precision": "float16" if taken else "float32",
        "right_training_images": {"of": len(judged), "float32": right[0], "float16": right[1]},
    }
    return (narrow if taken else whole), facts


def drawings_read(model: nn.Module) -> dict[str, Any]:
    """Return how many of the hundred drawings are read, and the answer to each that is misread, by its number."""
    drawings = json.loads(DRAWINGS.read_text())
    images = torch.stack([mnist_form_of_strokes(one["strokes"]) for one in drawings])
    with forked_randomness(0, "drawings"), torch.no_grad():
        answers = model(images).argmax(1).tolist()
    pairs = enumerate(zip(answers, drawings, strict=True))
    misread = {str(number): answer for number, (answer, one) in pairs if answer != one["digit"]}
    return {"read": len(drawings) - len(misread), "misread": misread}


def temperature(model: nn.Module, judged: Dataset) -> float:
    """Return the divisor of the scores with which their softmax fits the labels best, among 20 values per decade.

    Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017; on training images here,
    because the weights have seen all of them: a guide for bars on a page, not a calibrated probability.
    """
    with forked_randomness(0, "temperature"), torch.no_grad():
        scores = torch.cat([model(part) for part in torch.split(judged.inputs, 500)]).double()
    tried = [10 ** (power / 20) for power in range(-80, 81)]
    losses = [float(cross_entropy(scores / one, judged.targets)) for one in tried]
    return float(f"{tried[losses.index(min(losses))]:.3g}")


def _is_large(value: Tensor) -> bool:
    return value.is_floating_point() and value.numel() >= LARGE and bool(value.half().isfinite().all())


def note(name: str, facts: dict[str, Any]) -> None:
    """Write the entry of one model into the manifest, which lists the oldest generation first."""
    path = WEIGHTS / MANIFEST
    models = json.loads(path.read_text())["models"] if path.is_file() else {}
    models[name] = facts
    ordered = sorted(models.items(), key=lambda item: (item[1]["generation"], item[1]["year"], item[0]))
    write_whole(path, json.dumps({"format": FORMAT, "models": dict(ordered)}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
