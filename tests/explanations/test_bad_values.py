"""Whatever is handed to counting and explaining, only our own errors come back."""

from __future__ import annotations

import inspect
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from explained_nets import Pooled
from torch import Tensor, nn

from threegen.cost.count import count
from threegen.errors import ThreegenError
from threegen.explanations.explain import Explainer, explain
from threegen.gen3.networks import SpikingMLP


def images() -> Tensor:
    return torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))


BAD: dict[str, Any] = {
    "none": None,
    "text": "seven",
    "number": 7,
    "list": [[0.5]],
    "array": np.zeros((1, 1, 28, 28), np.float32),
    "empty": torch.zeros(0, 1, 28, 28),
    "no pixels": torch.zeros(2, 1, 0, 0),
    "scalar": torch.tensor(0.5),
    "one axis": torch.rand(28),
    "two axes": torch.rand(2, 5),
    "three axes": torch.rand(2, 28, 28),
    "six axes": torch.rand(1, 1, 1, 1, 28, 28),
    "other channels": torch.rand(2, 3, 28, 28),
    "too small": torch.rand(2, 1, 3, 3),
    "nan": torch.full((1, 1, 28, 28), torch.nan),
    "infinite": torch.full((1, 1, 28, 28), torch.inf),
    "whole": torch.zeros(2, 1, 28, 28, dtype=torch.int64),
    "bytes": torch.zeros(2, 1, 28, 28, dtype=torch.uint8),
    "bool": torch.zeros(2, 1, 28, 28, dtype=torch.bool),
    "complex": torch.zeros(2, 1, 28, 28, dtype=torch.complex64),
    "double": torch.rand(2, 1, 28, 28, dtype=torch.float64),
    "two": (images(), images()),
    "none of them": (),
    "named": {"picture": images()},
    "meta": torch.empty(2, 1, 28, 28, device="meta"),
}
NETS = {"planes": Pooled, "spiking": lambda: SpikingMLP([784, 6, 3], steps=2)}
TAKES = [
    name
    for name, method in inspect.getmembers(Explainer, inspect.isfunction)
    if not name.startswith("_") and "x" in inspect.signature(method).parameters
]


def allowed(call: Any) -> None:
    with suppress(ThreegenError):
        call()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", BAD)
def test_inputs(name: str, net: str) -> None:
    x = BAD[name]
    allowed(lambda: count(NETS[net](), x))
    for method in TAKES:
        look = explain(NETS[net]())
        options: dict[str, Any] = {"window": 14, "stride": 14} if method == "occlusion" else {}
        extra = {"feature_maps": ("conv1",), "deletion_insertion": ()}.get(method, ())
        if method == "deletion_insertion":
            allowed(lambda look=look, x=x: look.deletion_insertion(x, images()))
            allowed(lambda look=look, x=x: look.deletion_insertion(images(), x))
        else:
            allowed(
                lambda look=look, method=method, x=x, extra=extra, options=options: getattr(look, method)(
                    *extra, x, **options
                )
            )
    allowed(lambda: explain(NETS[net](), example=x).summary())
    allowed(lambda: explain(NETS[net](), example=x).maximise(steps=1))


WRONG: dict[str, list[dict[str, Any]]] = {
    "saliency": [{"target": one} for one in (-1, 4, 1.5, "a", [0], [0, 9], torch.rand(2), None, True, [[0], [1]], [])]
    + [{"modifier": one} for one in ("x", 3, ["guided"])]
    + [{"per_step": True}],
    "smooth_grad": [{"samples": one} for one in (0, -1, 1.5, "a", None)]
    + [{"noise": one} for one in (-1, "a", torch.nan, None)],
    "integrated_gradients": [{"steps": one} for one in (0, -1, 1.5, "a")]
    + [{"baseline": one} for one in ("a", None, torch.rand(3, 3), torch.nan, [1])],
    "occlusion": [{"window": one} for one in (0, -1, 40, "a", (1, 2, 3), (3,), None, 2.5)]
    + [{"stride": one} for one in (0, "a", (0, 1))]
    + [{"fill": one} for one in ("a", torch.nan, torch.rand(3), None)]
    + [{"measure": one} for one in ("odds", 3, None)]
    + [{"cell": 9, "window": 3}, {"cell": "a"}, {"chunk": 0}, {"incremental": True, "fill": torch.zeros(1)}],
    "grad_cam": [{"layer": one} for one in ("x", 3, nn.Linear(2, 2), "", [])]
    + [{"layer": "conv2", "reshape": one} for one in ((3, 3), 3, "a", (), lambda t: None, lambda t: t[0])],
    "feature_maps": [{"layer": one} for one in ("x", 3, nn.Linear(2, 2), None)],
    "activation_histograms": [{"bins": one} for one in (0, "a", 1.5)],
    "spike_activation_maps": [{"gamma": one, "layer": "conv2"} for one in (-1, "a", torch.nan)],
    "summary": [{"depth": one} for one in (0, "a", 1.5)] + [{"columns": one} for one in ("mac", [], ["x"], 3, [3])],
    "diagram": [{"depth": one} for one in (0, "a", 1.5)],
    "randomisation": [{"method": one} for one in ("x", 3, None)] + [{"target": 9}],
    "check": [{"methods": one} for one in (("x",), (), "saliency", (3,))] + [{"measure": "x"}],
    "deletion_insertion": [{"steps": 0}, {"steps": "a"}, {"fill": "a"}, {"repeats": 0}, {"target": 9}, {"measure": 3}],
    "class_activation_map": [{"target": 9}],
    "guided_grad_cam": [{"interpolation": "x"}, {"layer": "x"}],
    "gradient_x_input": [{"target": 9}],
    "grad_cam_plus_plus": [{"target": 9}],
}


@pytest.mark.parametrize("method", TAKES)
def test_options(method: str) -> None:
    assert method in WRONG
    for options in WRONG[method]:
        given = dict(options)
        extra = (given.pop("layer"),) if method == "feature_maps" else ()
        after = (images(),) if method == "deletion_insertion" else ()
        allowed(
            lambda extra=extra, after=after, given=given: getattr(explain(Pooled()), method)(
                *extra, images(), *after, **given
            )
        )


def test_the_doors_themselves(tmp_path: Any) -> None:
    for model in (None, "net", 3, [], nn.Linear):
        allowed(lambda model=model: explain(model))
        allowed(lambda model=model: count(model, images()))
    for options in (
        *({"seed": one} for one in (-1, 1.5, "a", None)),
        *({"scores": one} for one in (1.5, [], True, object())),
        *({"time": one} for one in ("a", 9, -1, 1.5, True)),
    ):
        allowed(lambda options=options: explain(Pooled(), **options).saliency(images()))
        allowed(lambda options=options: explain(Pooled(), **options).summary(images()))
    for options in ({"batch_size": 0}, {"batch_size": "a"}, {"time": 9}, {"time": "a"}, {"generator": 3}):
        allowed(lambda options=options: count(Pooled(), images(), **options))
    for unit in (-1, 99, "a", [], [0, 99], 1.5, True, [None]):
        allowed(lambda unit=unit: explain(Pooled()).maximise(unit=unit, example=images(), steps=1))
    for options in (
        *({"method": one} for one in ("x", None)),
        *({"steps": one} for one in (0, "a")),
        {"low": 1.0, "high": 0.0},
        {"rate": -1},
        {"l2": "a"},
        {"tv": torch.nan},
        {"jitter": -1},
        {"population": 0},
    ):
        allowed(lambda options=options: explain(Pooled()).maximise(unit=0, example=images(), **{"steps": 1} | options))
    for layer in ("x", 3, nn.Linear(2, 2)):
        allowed(lambda layer=layer: explain(Pooled()).filters(layer))
    for shape in ((3, 3), 3, "a", (1, 2, 3, 4)):
        allowed(lambda shape=shape: explain(Pooled()).filters("head", shape=shape))
    maps = explain(Pooled()).saliency(images())
    for name in ("x", "", tmp_path, 3, None):
        allowed(lambda name=name: maps.save(name))
    for options in ({"scale": "a"}, {"scale": 0}, {"colormap": 3}, {"colormap": "x"}, {"scale": 1e9}):
        allowed(lambda options=options: maps.save(tmp_path / "map.png", **options))
