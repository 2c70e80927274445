"""Explanations on the page: heat maps, feature maps, receptive fields, what a deep belief net reconstructs and
dreams."""

from __future__ import annotations

import base64
from typing import Any

import torch
from torch import Tensor

from threegen.errors import ConfigError, ThreegenError
from threegen.explanations.explain import explain
from threegen.gen2.dbn import DBN
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.mozafari import Mozafari2019
from threegen.randomness import make_generator
from threegen.web.camera import BehindCamera
from threegen.web.lineup import PageModel
from threegen.web.request import Asked, encoded_image
from threegen.web.single_spikes import contrast_fields
from threegen.web.units import activations, hidden_layers, switched_off

METHODS = ("saliency", "guided", "grad-cam", "occlusion")
WINDOW, STRIDE = 6, 2  # pixels of the occluding window: as wide as two strokes
COARSE = 4  # the stride if the camera must record each covered drawing
MOST_TILES = 48  # units of a layer that are shown
DREAM_STEPS = 200


def heat(member: PageModel, asked: Asked, method: str) -> dict[str, Any]:
    """Return a heat map over the image: `map`, 784 signed bytes, 127 at the strongest evidence, and its `target`.

    If the method cannot be used for this model, `error` says why.
    """
    found: dict[str, Any] = {"name": member.name, "method": method}
    x, stride = asked.image[None], STRIDE
    if isinstance(member.model, BehindCamera):
        stride = COARSE
        if method != "occlusion":
            return {**found, "error": "gradients end at the camera and do not reach the drawing", "code": "cannot"}
    try:
        with member.lock, switched_off(member, asked.off.get(member.name, {})):
            target = int(member.scores(x, asked.seed)[0].argmax())
            look = explain(member.model, seed=asked.seed)
            if method == "occlusion":
                maps = look.occlusion(x, target, window=WINDOW, stride=stride)
            elif method == "grad-cam":
                maps = look.grad_cam(x, target)
            else:
                maps = look.saliency(x, target, modifier="guided" if method == "guided" else None)
    except (ThreegenError, RuntimeError) as problem:
        return {**found, "error": str(problem).partition(";")[0], "code": "cannot"}
    values = maps.detach().as_subclass(Tensor).float().reshape(-1, 28, 28).sum(0)
    largest = float(values.abs().max())
    if largest == 0:
        return {**found, "error": "the answer does not depend on any pixel here", "code": "flat"}
    return {**found, "target": target, "map": signed_bytes(values / largest)}


def inside(member: PageModel, asked: Asked) -> dict[str, Any]:
    """Return what happens in a model for one image: its hidden layers' units, and a reconstruction if there is one.

    For a layer with many units, only the most active ones are returned; `units` are their numbers, `values` bytes
    0..255 of [units, height, width], scaled by the layer's largest value.
    """
    with member.lock, switched_off(member, asked.off.get(member.name, {})):
        found = activations(member, asked.image, asked.seed)
        layers = [_tiles(name, values, hidden_layers(member)[name].units) for name, values in found.items()]
        result: dict[str, Any] = {"name": member.name, "layers": layers, "fields": _fields(member)}
        if isinstance(member.model, DBN):
            result["reconstruction"] = encoded_image(member.model.reconstruct(asked.image[None]).reshape(1, 28, 28))
    return result


def dream(member: PageModel, digit: int, seed: int) -> dict[str, Any]:
    """Return images, oldest first, of a deep belief net's memory that dreams of `digit`; raises `ConfigError`."""
    if not isinstance(member.model, DBN):
        raise ConfigError(f"{member.name} cannot dream; a deep belief net can")
    with member.lock, torch.no_grad():
        found = member.model.dream(
            torch.tensor([digit]), steps=DREAM_STEPS, every=10, generator=make_generator(seed, "dream")
        )
    return {"images": [encoded_image(one.reshape(1, 28, 28)) for one in found.images]}


def signed_bytes(values: Tensor) -> str:
    """Return values in -1..1 as base64 of signed bytes."""
    return base64.b64encode((values * 127).round().to(torch.int8).numpy().tobytes()).decode("ascii")


def _tiles(name: str, values: Tensor, units: int) -> dict[str, Any]:
    """Return the most active units of a layer, in the order of their numbers."""
    flat = values.reshape(units, -1)
    strength = flat.abs().amax(1)
    chosen = strength.argsort(descending=True, stable=True)[:MOST_TILES].sort().values
    height, width = values.shape[-2:] if values.dim() == 3 else (1, flat.shape[1])
    largest = float(strength.max()) or 1.0
    return {
        "layer": name,
        "of": units,
        "units": chosen.tolist(),
        "height": height,
        "width": width,
        "values": signed_bytes(flat[chosen] / largest),
        "active": int((strength > 0.1 * largest).sum()),
    }


def _fields(member: PageModel) -> dict[str, Any] | None:
    """Return what the first layer's units look for, as pictures: the same for every image, so computed once."""
    if "fields" not in member.known:
        member.known["fields"] = first_fields(member)
    found: dict[str, Any] | None = member.known["fields"]
    return found


def first_fields(member: PageModel, most: int = MOST_TILES) -> dict[str, Any] | None:
    """Return the weights of up to `most` units of the first layer as pictures, each scaled to its largest value.

    None if they do not form pictures. The caller holds the model's lock.
    """
    model = member.model
    try:
        if isinstance(model, DiehlCook):
            weight = model.weight.detach().reshape(model.neurons, 28, 28)
        elif isinstance(model, Mozafari2019):
            weight = contrast_fields(model)
        elif hasattr(model, "receptive_fields"):
            fields: Any = model.receptive_fields
            weight = fields()
            weight = weight if weight.dim() == 3 else weight.reshape(-1, 28, 28)
        else:
            weight = explain(model).filters().detach().as_subclass(Tensor).sum(1)
    except (ThreegenError, RuntimeError):
        return None
    layers = list(hidden_layers(member))
    chosen = torch.linspace(0, len(weight) - 1, min(most, len(weight))).round().long()
    shown = weight[chosen]
    scaled = shown / shown.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)
    labels = model.assignments[chosen].tolist() if isinstance(model, DiehlCook) else None
    return {
        "layer": layers[0] if layers and hidden_layers(member)[layers[0]].units == len(weight) else None,
        "of": len(weight),
        "units": chosen.tolist(),
        "height": weight.shape[1],
        "width": weight.shape[2],
        "values": signed_bytes(scaled),
        "labels": labels,
    }
