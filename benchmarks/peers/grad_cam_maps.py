"""pytorch-grad-cam as its documentation calls it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import without_torchvision  # noqa: F401  # before the package that would import it
from nets_to_explain import NETS, images, milliseconds, parse
from pytorch_grad_cam import GradCAM
from worker import serve

_, net, batch = parse(sys.argv[-1])
build, _, last = NETS[net]
model, x = build(), images(net, batch)
cam = GradCAM(model=model, target_layers=[model[last]])


def work(quick: bool) -> float:
    """Return milliseconds per image."""
    return milliseconds(lambda: cam(input_tensor=x, targets=None), batch, quick)


serve(work, ("grad-cam", "torch"))
