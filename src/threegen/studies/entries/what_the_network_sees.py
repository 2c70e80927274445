"""Maps of the same digits for two convolutional nets by several methods, and which of the maps are faithful."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Dataset
from threegen.datasets.load import load_data
from threegen.explanations.explain import Explainer, explain
from threegen.gen2.initial_values import convolution, linear
from threegen.gen2.lenet import LeNet5Modern
from threegen.randomness import make_generator
from threegen.rules.backprop import Backprop
from threegen.studies.drawing import bars, dress, panels, save
from threegen.studies.study import Settings, Study
from threegen.studies.tools import accuracy
from threegen.training.fit import fit

METHODS = ("saliency", "gradient_x_input", "grad_cam", "occlusion")
CLASSES = 10


def example_net(generator: torch.Generator) -> nn.Sequential:
    """Return conv 32 - conv 64 - pool - dense 128 - dense 10 with relu and dropout: 1,199,882 parameters."""
    return nn.Sequential(
        OrderedDict(
            conv1=convolution(1, 32, 3, "glorot-uniform", generator),
            relu1=nn.ReLU(),
            conv2=convolution(32, 64, 3, "glorot-uniform", generator),
            relu2=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            drop1=nn.Dropout(0.25),
            flatten=nn.Flatten(),
            linear1=linear(9216, 128, "glorot-uniform", generator),
            relu3=nn.ReLU(),
            drop2=nn.Dropout(0.5),
            linear2=linear(128, CLASSES, "glorot-uniform", generator),
        )
    )


def one_of_each(data: Dataset) -> Tensor:
    """Return the first image of each class [10, 1, 28, 28]."""
    if data.targets is None:
        return data.inputs[:CLASSES]
    return torch.stack([data.inputs[(data.targets == label).nonzero()[0, 0]] for label in range(CLASSES)])


def grey(maps: Tensor) -> list[Any]:
    """Return maps [N, ..., H, W] as lists with three digits, scaled to magnitude 1, channels summed."""
    flat = maps.detach().as_subclass(Tensor)
    flat = flat.reshape(len(flat), -1, *flat.shape[-2:]).sum(1)
    flat = flat / flat.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)
    rounded: list[Any] = (flat * 1000).round().div(1000).tolist()
    return rounded


def seen(explainer: Explainer, images: Tensor, quick: bool) -> dict[str, Any]:
    """Return the pictures of one net: inputs that excite it most, and maps of the images by every method."""
    classes = list(range(len(images)))
    occluded = explainer.occlusion(images, classes, window=20, stride=4, cell=4, fill=0.5, measure="probability")
    found = {
        "image": grey(images),
        "saliency": grey(explainer.saliency(images, classes, absolute=True)),
        "guided": grey(explainer.saliency(images, classes, modifier="guided")),
        "deconv": grey(explainer.saliency(images, classes, modifier="deconv")),
        "Grad-CAM": grey(explainer.grad_cam(images, classes)),
        "occlusion 4x4": grey(explainer.occlusion(images, classes, window=4, stride=2 if quick else 1)),
        "grey 20x20": grey(occluded.heat),
        "most exciting": grey(explainer.maximise(steps=8 if quick else 300)),
    }
    return {"pictures": found, "answers behind the grey square": occluded.tally.tolist()}


def measure(settings: Settings) -> dict[str, Any]:
    """Train both nets, compute their maps and the evidence for them."""
    data = load_data("mnist")
    train = data.train.take(1200) if settings.quick else data.train.take(20_000)
    test = data.test.take(500) if settings.quick else data.test
    images = one_of_each(data.test)
    found: dict[str, Any] = {}
    nets: dict[str, nn.Module] = {
        "example net": example_net(make_generator(settings.seed, "example-net")),
        "LeNet with relu": LeNet5Modern(generator=make_generator(settings.seed, "lenet")),
    }
    for name, net in nets.items():
        epochs = (1 if settings.quick else 2) if name == "example net" else (4 if settings.quick else 6)
        fit(net, Backprop(), train, optimizer="adam", epochs=epochs, batch_size=32, seed=settings.seed)
        explainer = explain(net, example=images, seed=settings.seed)
        few = images[:3] if settings.quick else images
        evidence = explainer.check(few, METHODS[:2] if settings.quick else METHODS, list(range(len(few))))
        found[name] = {
            "test accuracy": accuracy(net, test),
            "parameters": explainer.summary().parameters,
            "evidence": evidence.as_dict(),
            **seen(explainer, images, settings.quick),
        }
    return found


def draw(figures: dict[str, Any], folder: Path) -> list[str]:
    """Draw a sheet of maps for each net, and the areas under the deletion curves."""
    files: list[str] = []
    for name, facts in figures.items():
        pictures = facts["pictures"]
        figure, axes = panels(len(pictures), CLASSES, width=0.85, height=0.85)
        for row, (kind, maps) in enumerate(pictures.items()):
            plain = kind in ("image", "most exciting")
            for column in range(CLASSES):
                axis = axes[row * CLASSES + column]
                colours = {"cmap": "gray_r"} if plain else {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
                axis.imshow(maps[column], **colours)
                axis.set_xticks([])
                axis.set_yticks([])
                if column == 0:
                    axis.set_ylabel(kind, fontsize=6)
        files += save(figure, folder, name.replace(" ", "-").lower())
    figure, axes = panels(1, len(figures))
    for axis, (name, facts) in zip(axes, figures.items(), strict=True):
        rows = facts["evidence"]
        values = {method.replace("_", " "): row["deletion"] for method, row in rows.items()}
        bars(axis, {**values, "random": next(iter(rows.values()))["random_deletion"]})
        dress(axis, title=f"Deletion, {name}", up="area (small is good)")
        axis.tick_params(axis="x", labelrotation=20)
    return files + save(figure, folder, "deletion")


STUDY = Study(
    name="what-the-network-sees",
    title="What the network sees",
    about="Saliency, guided back-propagation, Grad-CAM and occlusion of the same digits, each with faithfulness tests: "
    "some maps hardly change when all weights are randomised.",
    source="After Zeiler and Fergus (2014), Selvaraju et al. (2017), Adebayo et al. (2018), Petsiuk et al. (2018)",
    measure=measure,
    draw=draw,
)
