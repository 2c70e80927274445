"""Occlusion: the incremental path against the plain one, and both against loops written here."""

from __future__ import annotations

import pytest
import torch
from explained_nets import Convolutional, Pooled, classic, fixtures
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from threegen.errors import ConfigError, ShapeError
from threegen.explanations.explain import explain
from threegen.gen2.lenet import LeNet5Modern


def images(count: int, size: int = 28) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(3))


@settings(max_examples=12, deadline=None)
@given(
    window=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    stride=st.integers(3, 7),
    inner=st.one_of(st.none(), st.just(1)),
    fill=st.sampled_from([0.0, 0.5]),
)
def test_incremental_equals_plain(window: tuple[int, int], stride: int, inner: int | None, fill: float) -> None:
    for net in (Convolutional(), LeNet5Modern()):
        look, x = explain(net), images(2)
        settings = {"window": window, "stride": stride, "cell": inner, "fill": fill}
        quick = look.occlusion(x, [1, 2], incremental=True, **settings)
        plain = look.occlusion(x, [1, 2], incremental=False, **settings)
        torch.testing.assert_close(quick.scores, plain.scores, rtol=1e-4, atol=2e-6)
        torch.testing.assert_close(quick.as_subclass(Tensor), plain.as_subclass(Tensor), rtol=1e-3, atol=5e-6)


@pytest.mark.parametrize("size", [27, 28, 33])
def test_incremental_on_other_image_sizes_and_without_a_linear_layer(size: int) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3, stride=2))
    whole = nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = images(1, size)
    quick = explain(whole).occlusion(x, window=5, stride=4, incremental=True)
    plain = explain(whole).occlusion(x, window=5, stride=4, incremental=False)
    torch.testing.assert_close(quick.scores, plain.scores, rtol=1e-4, atol=2e-6)


def test_a_net_that_branches_takes_the_plain_path_and_insisting_is_an_error() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 1, 3, padding=1), nn.Linear(784, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((x + self.conv(x)).flatten(1))

    look = explain(Residual())
    assert not look.occlusion(images(1), window=8, stride=8).incremental
    with pytest.raises(ConfigError, match="not a chain"):
        look.occlusion(images(1), window=8, stride=8, incremental=True)


def test_the_classic_recipe() -> None:
    """A 20x20 grey square moved by 4 over the border, painting its 4x4 centre, by loops."""
    net, x = classic(training=False), fixtures()["x"][:1]
    found = explain(net).occlusion(x, 7, window=20, stride=4, cell=4, fill=0.5, measure="probability")
    heat, answers, tally = torch.zeros(28, 28), torch.zeros(28, 28, dtype=torch.long), torch.zeros(10)
    for top in range(0, 28, 4):
        for left in range(0, 28, 4):
            covered = x.clone()
            covered[:, :, max(top - 8, 0) : top + 12, max(left - 8, 0) : left + 12] = 0.5
            with torch.no_grad():
                chances = net(covered).softmax(1)[0]
            heat[top : top + 4, left : left + 4] = chances[7]
            answers[top : top + 4, left : left + 4] = int(chances.argmax())
            tally[int(chances.argmax())] += 1
    assert found.scores.shape == (1, 7, 7)
    torch.testing.assert_close(found.heat[0], heat, rtol=1e-4, atol=1e-6)
    assert torch.equal(found.answers[0], answers)
    assert torch.equal(found.tally[0], tally.long())


def test_windows_that_do_not_divide_the_image_are_cut_at_its_border() -> None:
    found = explain(Pooled()).occlusion(images(1), window=10, stride=10)
    assert found.scores.shape == (1, 3, 3)  # the last ones cover 8 of their 10 pixels
    assert found.shape == (1, 1, 28, 28)


def test_a_batch_equals_its_images_alone() -> None:
    look, x = explain(Convolutional()), images(3)
    together = look.occlusion(x, [0, 1, 2], window=7, stride=7)
    for number in range(3):
        alone = look.occlusion(x[number : number + 1], number, window=7, stride=7)
        torch.testing.assert_close(together.scores[number : number + 1], alone.scores, rtol=1e-4, atol=1e-6)


def test_a_tensor_as_fill_and_what_is_refused() -> None:
    look, x = explain(Pooled()), images(2)
    blurred = torch.full((1, 28, 28), 0.5)
    by_tensor = look.occlusion(x, 0, window=9, stride=9, fill=blurred)
    by_number = look.occlusion(x, 0, window=9, stride=9, fill=0.5)
    torch.testing.assert_close(by_tensor.scores, by_number.scores)
    with pytest.raises(ConfigError, match="window must be"):
        look.occlusion(x, window=0)
    with pytest.raises(ConfigError, match="must fit"):
        look.occlusion(x, window=3, cell=5)
    with pytest.raises(ConfigError, match="measure"):
        look.occlusion(x, measure="logit")
    with pytest.raises(ShapeError, match="images"):
        explain(nn.Linear(4, 2)).occlusion(torch.rand(1, 4))
