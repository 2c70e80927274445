"""Captum as its documentation calls it; `-best` gives occlusion the batch that is fastest on a CPU."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from captum.attr import GuidedBackprop, LayerGradCam, Occlusion, Saliency
from nets_to_explain import NETS, WINDOWS, images, milliseconds, parse
from worker import serve

warnings.simplefilter("ignore")
method, net, batch = parse(sys.argv[-1].removesuffix("-best"))
each = {"mnist": 64, "alexnet": 16}[net] if sys.argv[-1].endswith("-best") else 1
build, shape, last = NETS[net]
model, x = build(), images(net, batch)
window, stride = WINDOWS[net]
target = model(x).argmax(1)
sizes = {"sliding_window_shapes": (shape[0], window, window), "strides": (shape[0], stride, stride)}


def work(quick: bool) -> float:
    """Return milliseconds per image."""
    calls = {
        "saliency": lambda: Saliency(model).attribute(x.requires_grad_(), target=target),
        "guided": lambda: GuidedBackprop(model).attribute(x.requires_grad_(), target=target),
        "gradcam": lambda: LayerGradCam(model, model[last]).attribute(x, target=target, relu_attributions=True),
        "occlusion": lambda: Occlusion(model).attribute(x, target=target, perturbations_per_eval=each, **sizes),
    }
    return milliseconds(calls[method], batch, quick)


serve(work, ("captum", "torch"))
