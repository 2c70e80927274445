"""Evidence: curves and correlations on nets where the right answer is known."""

from __future__ import annotations

import pytest
import torch
from explained_nets import classic, fixtures
from scipy.stats import spearmanr
from torch import Tensor, nn

from threegen.errors import ConfigError, ShapeError
from threegen.explanations.evidence import rank_correlation
from threegen.explanations.explain import explain


class Corner(nn.Module):
    """Class 1 counts the light in the upper left quarter, class 0 is always 0."""

    def forward(self, x: Tensor) -> Tensor:
        light = 8 * (x[..., :2, :2].flatten(1).sum(1) - 2)
        return torch.stack([torch.zeros_like(light), light], 1)


def test_curves_by_hand() -> None:
    look, x = explain(Corner()), torch.ones(2, 1, 4, 4)
    right = torch.zeros(2, 1, 4, 4)
    right[..., :2, :2] = 1.0
    found = look.deletion_insertion(x, right, 1, steps=4)
    # after a quarter of the pixels all the light that counts is gone, or there
    wanted = torch.sigmoid(8 * torch.tensor([2.0, -2, -2, -2, -2]))
    torch.testing.assert_close(found.deletion[0], wanted)
    torch.testing.assert_close(found.insertion[0], torch.sigmoid(8 * torch.tensor([-2.0, 2, 2, 2, 2])))
    assert found.better_than_random
    assert found.areas["deletion"] == pytest.approx(float(torch.trapezoid(wanted, torch.linspace(0, 1, 5))), abs=1e-6)
    assert not look.deletion_insertion(x, -right, 1, steps=4).better_than_random
    with pytest.raises(ShapeError, match="do not belong"):
        look.deletion_insertion(x, right[:, :, :3], 1)


def test_rank_correlation_is_scipys_on_pixels_that_count() -> None:
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(-4, 5, (1, 60), generator=generator).float()
    b = a + torch.randint(-3, 4, (1, 60), generator=generator)
    kept = (a != 0) | (b != 0)
    wanted = spearmanr(a[kept].abs().numpy(), b[kept].abs().numpy()).statistic
    assert rank_correlation(a, b) == pytest.approx(float(wanted), abs=1e-9)
    assert rank_correlation(a, a) == pytest.approx(1)


def test_guided_maps_hardly_notice_that_a_net_forgets() -> None:
    """Adebayo et al. 2018: guided back-propagation keeps its looks where the plain gradient changes."""
    look, x = explain(classic("functional")), fixtures()["x"]
    plain = look.randomisation(x, "saliency")
    guided = look.randomisation(x, "saliency", modifier="guided")
    assert plain.layers == ("fc2", "fc1", "conv2", "conv1")
    assert guided.correlation[0] > plain.correlation[0] + 0.05
    assert plain.correlation[-1] < plain.correlation[0]


def test_check_of_the_trained_net() -> None:
    found = explain(classic("functional")).check(fixtures()["x"], ("saliency", "gradient_x_input")).as_dict()
    for method in ("saliency", "gradient_x_input"):
        # the trained net's maps: deletion about .1 to .2, insertion above .9, random orders about .6 for both
        assert found[method]["better_than_random"]
        assert found[method]["deletion"] < 0.3 < 0.5 < found[method]["random_deletion"]
        assert found[method]["insertion"] > 0.85
        assert found[method]["sensitive"]
    with pytest.raises(ConfigError, match="method"):
        explain(classic()).check(fixtures()["x"], ("saliencies",))
    with pytest.raises(ConfigError, match="no layer with weights"):
        explain(Corner()).randomisation(torch.ones(1, 1, 4, 4))
