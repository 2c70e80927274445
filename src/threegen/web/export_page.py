"""`threegen export-page FILE`: one HTML file in which four networks answer a drawing, without a server.

The page holds the weights, the layers' JavaScript (`static/layers`, one small file per kind of layer) and the same
preparation of strokes as `threegen.datasets.strokes`. It opens from `file://` and loads nothing from outside; spiking
networks draw the same spikes as on the page of `threegen play`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.errors import ConfigError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.gen3.encoders import Bernoulli
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF
from threegen.gen3.readouts import RateReadout
from threegen.randomness import draw_key, make_generator
from threegen.registry.entry import lineage_entries
from threegen.runs.run import Run, open_run
from threegen.training.persistence.files import make_folder, write_whole

NETWORKS = ("perceptron", "mlp", "lenet-5-modern", "spiking-mlp")
MOST_BYTES = 8_000_000
STATIC = Path(__file__).parent / "static"
SCRIPTS = ("layers/*.js", *(f"export/{name}.js" for name in ("strokes", "network", "words", "pad", "page")))
STYLES = ("css/base.css", "css/page.css", "export/page.css")  # the first two are those of `threegen play`
SHAPE = (1, 28, 28)


def export_page(file: str | Path, names: Sequence[str | Path] = NETWORKS) -> dict[str, Any]:
    """Write the page to `file` and return `file`, `bytes` and `models`, the names of the networks inside.

    Args:
        file: the HTML file.
        names: models whose weights ship, or folders of runs: perceptrons, multi-layer perceptrons, LeNet-5 in its
            modern form, and spiking multi-layer perceptrons with rate coding.

    Raises `ConfigError` for a network of another kind and for a page of more than 8 MB, `CheckpointError` for weights
    that are missing or damaged.

    Example:
        export_page("digits.html", ["perceptron", "mlp"])
    """
    target = Path(file)
    if target.suffix not in (".html", ".htm"):
        raise ConfigError(f"the page is an HTML file; name it .html, got {str(file)!r}")
    runs = [open_run(name) for name in names]
    if not runs:
        raise ConfigError(f"name at least one network; these can be inside: {', '.join(NETWORKS)}")
    page = render_page([page_network(run) for run in runs], samples(load_data("mnist").test))
    size = len(page.encode())
    if size > MOST_BYTES:
        raise ConfigError(f"the page would have {size:,} bytes, more than {MOST_BYTES:,}; name fewer networks")
    make_folder(target.parent)
    write_whole(target, page)
    return {"file": str(target), "bytes": size, "models": [run.entry.name for run in runs]}


def render_page(networks: Sequence[dict[str, Any]], images: Sequence[dict[str, Any]]) -> str:
    """Return the page as text: the same for the same networks and sample images."""
    environment = Environment(
        loader=FileSystemLoader(STATIC / "export"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    inside = {network["name"] for network in networks}
    others = [
        {"name": entry.name, "title": entry.title, "year": entry.year, "generation": entry.generation}
        for entry in lineage_entries()
        if entry.name not in inside
    ]
    names = [*(network["name"] for network in networks), *(one["name"] for one in others)]
    data = {"networks": list(networks), "others": others, "samples": list(images), "chinese": chinese(names)}
    return environment.get_template("page.html").render(
        style=Markup("\n".join((STATIC / name).read_text(encoding="utf-8") for name in STYLES)),
        script=Markup(bundled(SCRIPTS)),
        data=Markup(json.dumps(data, separators=(",", ":")).replace("</", "<\\/")),
    )


def chinese(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the Chinese `title` and `rule` of models by name, where the live page has them."""
    words = json.loads((STATIC / "text.json").read_text(encoding="utf-8"))["zh"]
    return {
        name: {key: words[f"model.{name}.{key}"] for key in ("title", "rule") if f"model.{name}.{key}" in words}
        for name in names
    }


def bundled(patterns: Sequence[str]) -> str:
    """Return modules as one script, in the order of `patterns`: a page that is opened from a file cannot import.

    Imports between them are removed, and exported names become names of the one script.
    """
    parts = []
    for pattern in patterns:
        for path in sorted(STATIC.glob(pattern)):
            text = re.sub(r"^import .*?;\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
            parts.append(re.sub(r"^export ", "", text, flags=re.MULTILINE))
    return "\n".join(parts).replace("</", "<\\/")


def page_network(run: Run) -> dict[str, Any]:
    """Return a trained network as plain data for the page: the facts of its card, and its layers with their weights.

    Raises `ConfigError` for a network that the page cannot compute.
    """
    entry, facts = run.entry, run.facts
    if tuple(facts["shape"]) != SHAPE:
        raise ConfigError(f"{entry.name} takes {list(facts['shape'])}; the page draws digits of 28 x 28 pixels")
    return {
        "name": entry.name,
        "title": entry.title,
        "generation": entry.generation,
        "year": entry.year,
        "rule": entry.rule_name,
        "paper": entry.paper,
        "classes": list(facts["classes"]),
        "accuracy": facts.get("accuracy"),
        "temperature": float(facts.get("temperature", 1.0)),
        "steps": getattr(run.model, "steps", None),
        "parameters": sum(one.numel() for one in run.model.parameters()),
        "layers": list(page_layers(entry.name, run.model)),
    }


def page_layers(name: str, model: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield the layers of a trained model as plain data; raises `ConfigError` for one that the page cannot compute."""
    if isinstance(model, Perceptron):
        with torch.no_grad():
            yield _weighted("linear", *model.eval().answering())
    elif isinstance(model, SpikingMLP):
        yield from _spiking_layers(name, model)
    elif isinstance(model, MLP | LeNet5Modern):
        yield from _plain_layers(name, model.layers)
    else:
        raise ConfigError(
            f"{name} needs the server (threegen play): a page without one computes perceptrons, multi-layer "
            "perceptrons, lenet-5-modern and spiking multi-layer perceptrons"
        )


def _plain_layers(name: str, layers: nn.Sequential) -> Iterator[dict[str, Any]]:
    x = torch.zeros(1, *SHAPE)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x = x.flatten(1)
        before = list(x.shape[1:])
        with torch.no_grad():
            x = layer.eval()(x)
        sizes = {"input": before, "output": list(x.shape[1:])}
        match layer:
            case nn.Linear():
                yield _weighted("linear", layer.weight, layer.bias)
            case nn.Conv2d(padding=(border, _), kernel_size=(window, _)) if layer.stride == (1, 1):
                own = {"window": window, "padding": border, **sizes}
                yield {**_weighted("convolution", layer.weight, layer.bias), **own}
            case nn.MaxPool2d(kernel_size=side, stride=step) if side == step:
                yield {"kind": "max-pooling", "side": side, **sizes}
            case nn.ReLU():
                yield {"kind": "relu"}
            case nn.Flatten() | nn.Dropout():
                pass
            case _:
                raise ConfigError(
                    f"{name}: the page cannot compute {layer}; it knows linear, convolution, max-pooling and relu"
                )


def _spiking_layers(name: str, model: SpikingMLP) -> Iterator[dict[str, Any]]:
    plain = all(type(one) is LIF and one.iterative and one.constants.reset == "hard" for one in model.neurons)
    if type(model.encoder) is not Bernoulli or type(model.readout) is not RateReadout or not plain:
        raise ConfigError(
            f"{name}: the page supports rate coding, leaky neurons with a hard reset and the rate read-out only"
        )
    if model.readout.votes != 1:
        raise ConfigError(f"{name}: the page supports one output neuron per class, not {model.readout.votes}")
    yield {"kind": "bernoulli", "steps": model.steps, "key": str(draw_key(make_generator(0, "page")))}
    for synapse, neuron in zip(model.synapses, model.neurons, strict=True):
        constants = cast(LIF, neuron).constants
        layer = _weighted("spiking", synapse.weight, synapse.bias)  # type: ignore[arg-type]
        yield {**layer, "decay": constants.decay, "threshold": constants.threshold}
    yield {"kind": "rate"}


def _weighted(kind: str, weight: Tensor, bias: Tensor | None) -> dict[str, Any]:
    own = torch.zeros(len(weight)) if bias is None else bias
    return {"kind": kind, "weight": _packed(weight), "bias": _packed(own)}


def _packed(values: Tensor) -> dict[str, str]:
    """Return numbers as base64: as float16 if float16 represents all of them exactly, else as float32."""
    plain = values.detach().float().cpu().contiguous()
    narrow = bool((plain.half().float() == plain).all())
    content = plain.numpy().astype("<f2" if narrow else "<f4").tobytes()
    return {"type": "float16" if narrow else "float32", "base64": base64.b64encode(content).decode("ascii")}


def samples(test: Dataset) -> list[dict[str, Any]]:
    """Return the first test image of each class, for users who do not draw: `label`, `index`, `image` in base64."""
    targets = torch.as_tensor(test.targets)
    found = []
    for label, name in enumerate(test.classes):
        index = int((targets == label).nonzero()[0])
        pixels = (torch.as_tensor(test.inputs[index]) * 255).round().to(torch.uint8).numpy().astype(np.uint8)
        image = base64.b64encode(pixels.tobytes()).decode("ascii")
        found.append({"label": name, "index": index, "image": image})
    return found
