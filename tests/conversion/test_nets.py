"""Small nets of every kind: each is converted right, or refused by name (facts: the 22 nets on which peers were tried).

The expected scores are those of the network itself; after 200 steps a spiking copy may be 4 % off.
"""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from threegen.conversion.convert import convert
from threegen.errors import ConfigError

STEPS, CLOSE = 200, 0.04
FEW = 60  # images: 200 steps of each


class Functional(nn.Module):
    """Calls functions instead of modules, reshapes by `view`, ends in log-softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Linear(4 * 6 * 6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return self.second(x.view(x.size(0), -1))


class Shared(nn.Module):
    """One nn.ReLU for all layers, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.relu = nn.Linear(6, 20), nn.Linear(20, 20), nn.Linear(20, 4), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.relu(self.b(self.relu(self.a(x)))))


class Residual(nn.Module):
    """Two residual blocks, one with a projection, and batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.one, self.two = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.n1, self.n2 = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.three, self.short = nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.Conv2d(6, 8, 1, stride=2)
        self.end = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.n2(self.two(torch.relu(self.n1(self.one(x))))) + x)
        x = torch.relu(self.three(x) + self.short(x))
        return self.end(F.adaptive_avg_pool2d(x, 1).flatten(1))


class PreActivation(nn.Module):
    """Sums that are not rectified at once: relu(a) + relu(b) feeds a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 5, 3)
        self.end = nn.Linear(5 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(torch.relu(self.c(torch.relu(self.a(x)) + 0.5 * torch.relu(self.b(x)))).flatten(1))


class Joined(nn.Module):
    """Concatenated branches of unequal scale, pooled together."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(1, 5, 5, padding=2)
        self.end = nn.Linear(8 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat([torch.relu(self.a(x)), 3 * torch.relu(self.b(x))], 1)
        return self.end(F.avg_pool2d(both, 2).flatten(1))


class Twice(nn.Module):
    """One layer used at two places, so its weights are shared."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.end = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).relu()
        return self.end(self.b(self.b(x).relu()).relu())


class Widened(nn.Module):
    """A shortcut that is pooled and gets planes of zeros (He et al. 2016, option A)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.end = nn.Linear(8 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a(x))
        shortcut = F.pad(F.avg_pool2d(x, 1, 2), (0, 0, 0, 0, 2, 2))
        return self.end(F.relu(self.b(x) + shortcut).flatten(1))


class Shifted(nn.Module):
    """Normalises its own input, as data sets' means and deviations do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.end = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.a((x - 0.13) / 0.31).clamp_min(0).reshape(len(x), -1))


def plane(*layers: nn.Module, features: int, classes: int = 4) -> nn.Module:
    """A net of images 1 x 8 x 8."""
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, classes))


CONVERTED = {
    "linear": lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4)),
    "no bias": lambda: nn.Sequential(nn.Linear(6, 20, bias=False), nn.ReLU(), nn.Linear(20, 4, bias=False)),
    "convolution": lambda: plane(nn.Conv2d(1, 4, 3), nn.ReLU(), features=144),
    "average pooling": lambda: plane(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2), features=36),
    "pooling that overlaps": lambda: plane(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(3, 2, 1), features=36),
    "borders not counted": lambda: plane(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(3, 2, 1, count_include_pad=False), features=36
    ),
    "adaptive pooling": lambda: plane(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3), features=36),
    "uneven adaptive pooling": lambda: plane(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), features=64),
    "norm before": lambda: plane(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), features=144),
    "norm after": lambda: plane(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), features=144
    ),
    "norm of vectors": lambda: nn.Sequential(nn.Linear(6, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 4)),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 4)),
    "maximum pooling": lambda: plane(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), features=36),
    "maximum pooling deeper": lambda: plane(
        *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 2), nn.MaxPool2d(2), nn.ReLU()), features=6
    ),
    "gated maximum": lambda: plane(
        *(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.MaxPool2d(2)), features=24
    ),
    "groups, dilation, stride": lambda: plane(
        *(nn.Conv2d(1, 4, 3, padding=2, dilation=2), nn.ReLU(), nn.Conv2d(4, 8, 2, stride=3, groups=2), nn.ReLU()),
        features=72,
    ),
    "one dimension": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 5, 3), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(10, 3)
    ),
    "ceiling": lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU6(), nn.Linear(20, 4)),
    "permuted": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 3)), nn.Conv1d(2, 4, 1), nn.ReLU(), Permuted(), nn.Flatten(), nn.Linear(12, 3)
    ),
    "padded": lambda: plane(nn.ZeroPad2d(1), nn.Conv2d(1, 3, 3), nn.ReLU(), nn.ZeroPad2d(2), features=432),
    "padded with a half": lambda: plane(
        *(nn.ConstantPad2d(1, 0.5), nn.Conv2d(1, 3, 3), nn.ReLU()),
        *(nn.ConstantPad2d((1, -1, 0, 2), -0.5), nn.Conv2d(3, 3, 3), nn.ReLU()),
        features=144,
    ),
    "widened shortcut": Widened,
    "lines": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)
    ),
    "volumes": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 1)), nn.Conv3d(1, 2, (1, 3, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)
    ),
    "reflected": lambda: plane(nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular"), nn.ReLU(), features=192),
    "functions": Functional,
    "shared": Shared,
    "residual": Residual,
    "sum of rectified": PreActivation,
    "joined": Joined,
    "twice": Twice,
    "shifted": Shifted,
    "log-softmax": lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4)),
    "bias only": lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), Bias(5), nn.ReLU(), nn.Linear(5, 3)),
}


class Permuted(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Bias(nn.Module):
    """A layer that only adds."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.linspace(-0.2, 0.2, size))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def images(model: nn.Module, count: int = 240) -> Tensor:
    """So many images that the model takes."""
    vectors = torch.rand(count, 6, generator=torch.Generator().manual_seed(1))
    try:
        model(vectors)
    except RuntimeError:
        return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return vectors


def trained(name: str) -> nn.Module:
    """The net with batch normalisation that has seen data and is no identity."""
    torch.manual_seed(0)
    model = CONVERTED[name]()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    model.train()
    model(images(model))
    return model.eval()


def relative_error(model: nn.Module, x: Tensor, **options: object) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = convert(model, x, steps=STEPS, **options)  # type: ignore[arg-type]
    with torch.no_grad():
        expected, found = model(x), net(x)
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", CONVERTED)
def test_scores_are_those_of_the_network_after_many_steps(name: str) -> None:
    model = trained(name)
    x = images(model, FEW)
    assert relative_error(model, x, method="percentile", percentile=100.0) < CLOSE
    assert relative_error(model, x, method="max", per_channel=False, initial="zero") < 3 * CLOSE


@pytest.mark.parametrize("name", ["convolution", "residual", "joined", "gated maximum", "groups, dilation, stride"])
def test_spikes_are_zero_or_one_and_the_default_method_keeps_the_answers(name: str) -> None:
    model = trained(name)
    x = images(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = convert(model, x, steps=8)
    record = net.run(x)
    assert all(bool(((one == 0) | (one == 1)).all()) for one in record.spikes)
    assert float((record.scores.argmax(1) == model(x).argmax(1)).float().mean()) > 0.85


REFUSED = {
    "sigmoid": (nn.Sequential(nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3)), "1 (sigmoid)"),
    "tanh": (nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), "1 (tanh)"),
    "gelu": (nn.Sequential(nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3)), "1 (gelu)"),
    "leaky": (nn.Sequential(nn.Linear(6, 5), nn.LeakyReLU(), nn.Linear(5, 3)), "1 (leaky_relu)"),
    "layer norm": (nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 3)), "1 (layer_norm)"),
    "response norm": (
        nn.Sequential(nn.Unflatten(1, (2, 3)), nn.LocalResponseNorm(2), nn.Flatten(), nn.Linear(6, 3)),
        "1 (local_response_norm)",
    ),
    "softmax inside": (nn.Sequential(nn.Linear(6, 5), nn.Softmax(1), nn.Linear(5, 3)), "1 (softmax)"),
    "maximum of sums": (
        nn.Sequential(
            *(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Conv1d(2, 2, 1), nn.MaxPool1d(2)),
            *(nn.Flatten(), nn.Linear(4, 3)),
        ),
        "4 (max_pool)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_said_in_spikes_is_refused_by_name(name: str) -> None:
    model, named = REFUSED[name]
    with pytest.raises(ConfigError) as problem:
        convert(model.eval(), torch.rand(240, 6))
    assert named in str(problem.value)
    assert len(str(problem.value)) > 80  # the reason, and what to do


def test_attention_is_refused_by_the_name_of_its_layer() -> None:
    class Attentive(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.end = nn.MultiheadAttention(3, 1, batch_first=True), nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = x.view(-1, 2, 3)
            return self.end(self.inner(x, x, x)[0].flatten(1))

    with pytest.raises(ConfigError, match=r"inner .*no product of rates"):
        convert(Attentive().eval(), torch.rand(240, 6))


def test_recurrent_layers_are_refused_with_the_reason() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.end = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.end(self.inner(x.view(-1, 2, 3))[0][:, -1])

    with pytest.raises(ConfigError, match="lstm"):
        convert(Recurrent().eval(), torch.rand(240, 6))


def test_a_net_that_decides_by_its_data_is_refused() -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 3), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) if len(x) < 3 else self.b(x)

    with pytest.raises(ConfigError, match="gives other answers than"):
        convert(Fork().eval(), torch.rand(240, 6))
