"""Parity with Captum 0.9 and pytorch-grad-cam 1.5.7 where they are right; see tests/fixtures/README.md."""

from __future__ import annotations

import pytest
import torch
from explained_nets import STYLES, classic, fixtures
from torch import Tensor
from torch.nn import functional as F

from threegen.explanations.explain import explain
from threegen.explanations.saliency import saliency


def near(values: Tensor, name: str, within: float = 1e-5) -> None:
    wanted = fixtures()[name]
    assert values.shape == wanted.shape
    assert float((values - wanted).abs().max()) < within
    assert float(wanted.abs().max()) > 5e-3  # the tolerance means something


@pytest.mark.parametrize("style", STYLES)
def test_gradients_and_modifiers_for_every_way_of_writing_relu(style: str) -> None:
    """The peers give the plain gradient for functional relu and wrong Grad-CAM maps for relu in place."""
    look, x, target = explain(classic(style)), fixtures()["x"], fixtures()["target"]
    near(look.saliency(x, target), "saliency_signed")
    near(look.saliency(x, target, absolute=True), "saliency_abs")
    near(look.saliency(x, target, modifier="guided"), "guided_backprop")
    near(look.saliency(x, target, modifier="deconv"), "deconvnet")
    near(look.saliency(x, target, modifier="relu"), "deconvnet")
    near(look.gradient_x_input(x, target), "input_x_gradient")
    maps = look.grad_cam(x, target, resize=False)
    near(maps, "layer_gradcam_conv2relu")
    assert maps.layer in ("act:2", "relu:2", "clamp:2")
    near(look.grad_cam(x, target, resize=False, relu=False), "layer_gradcam_conv2relu_norelu")


@pytest.mark.parametrize("style", ["module", "functional in place"])
def test_the_other_fixtures(style: str) -> None:
    look, x, target = explain(classic(style)), fixtures()["x"], fixtures()["target"]
    near(look.subject.scores(x), "logits")
    # At one of the 50 points a rectifier's input may be within rounding of 0, where processors round to other sides:
    # 3.1e-5 away without AVX-512, far below the largest value of .85.
    near(look.integrated_gradients(x, target, steps=50), "integrated_gradients_50", within=1e-4)
    near(look.guided_grad_cam(x, target, interpolation="nearest"), "guided_gradcam")
    near(look.grad_cam(x, target).scaled()[:, 0], "pgc_gradcam")
    near(look.grad_cam_plus_plus(x, target).scaled()[:, 0], "pgc_gradcampp")


@pytest.mark.parametrize("incremental", [True, False])
def test_occlusion_both_settings_and_raw_drops(incremental: bool) -> None:
    look, x, target = explain(classic("functional")), fixtures()["x"][:2], fixtures()["target"][:2]
    if not incremental:  # a quarter of the positions is enough for the plain path: one row band each
        half = look.occlusion(x, target, window=4, stride=2, fill=0.5, incremental=False)
        return near(half, "occlusion_4x4_s2_half")
    full = look.occlusion(x, target, window=4, stride=1, incremental=True)
    assert full.incremental
    near(full, "occlusion_4x4_s1_zero")
    near(full.drops, "occlusion_raw_drop_4x4_s1_zero")
    near(look.occlusion(x, target, window=4, stride=2, fill=0.5, incremental=True), "occlusion_4x4_s2_half")
    return None


def test_grad_cam_before_a_relu_in_place_is_that_of_the_layer_itself() -> None:
    """pytorch-grad-cam reads the activation after relu has overwritten it; the definition is taken here by hand."""
    net, x, target = classic("module in place", training=False), fixtures()["x"], fixtures()["target"]
    found = explain(net).grad_cam(x, target, layer="conv2", resize=False)
    with torch.no_grad():
        start = net.conv2(F.relu(net.conv1(x)))
    planes = start.clone().requires_grad_()
    scores = net.fc2(F.relu(net.fc1(F.max_pool2d(F.relu(planes), 2).flatten(1))))
    (slope,) = torch.autograd.grad(scores.gather(1, target[:, None]).sum(), planes)
    wanted = (slope.mean((2, 3), keepdim=True) * start).sum(1, keepdim=True).clamp(min=0)
    torch.testing.assert_close(found.as_subclass(Tensor), wanted)
    wrong = (slope.mean((2, 3), keepdim=True) * start.relu()).sum(1, keepdim=True).clamp(min=0)
    assert float((wrong - wanted).abs().max()) > 1e-3  # what the peer gives


def test_the_modifier_changes_grad_cam_too() -> None:
    look, x = explain(classic("torch")), fixtures()["x"]
    plain, guided = look.grad_cam(x, layer="conv1"), look.grad_cam(x, layer="conv1", modifier="guided")
    assert float((plain - guided).abs().max()) > 1e-3


def test_train_mode_makes_no_difference() -> None:
    x = fixtures()["x"]
    both = [saliency(explain(classic(training=mode)).subject, x) for mode in (True, False)]
    assert torch.equal(*both)
