"""What the scores are, and which axis holds the samples: nets as people write them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from threegen.cost.count import count
from threegen.errors import ConfigError, ShapeError
from threegen.explanations.explain import METHODS, explain


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Base(nn.Module):
    """A small convolutional net with five classes and six features."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.pool, self.head = nn.Conv2d(1, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(6, classes)

    def features(self, x: Tensor) -> Tensor:
        return self.pool(torch.relu(self.conv(x)))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.features(x).flatten(1))


class Squeezing(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).squeeze())


class Answer(NamedTuple):
    hidden: Tensor
    logits: Tensor


class Several(Base):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Any:
        hidden = self.features(x).flatten(1)
        logits = self.head(hidden)
        made: dict[str, Any] = {
            "tuple": (hidden, logits),
            "dictionary": {"hidden": hidden, "logits": logits},
            "named": Answer(hidden, logits),
            "softmax": (hidden, logits.softmax(1)),
        }
        return made[self.kind]


def test_a_model_that_squeezes_away_the_samples_is_refused_for_one_sample() -> None:
    look = explain(Squeezing())
    two = look.saliency(images())
    assert len(two.targets) == 2
    for method in METHODS:
        with pytest.raises(ShapeError, match=r"\[1, classes\].*returns \[5\] for 1 sample.*squeeze"):
            getattr(look, method)(images(1))
    plain = Base()
    plain.load_state_dict(look.subject.model.state_dict())
    torch.testing.assert_close(two.as_subclass(Tensor), explain(plain).saliency(images()).as_subclass(Tensor))


@pytest.mark.parametrize("kind", ["tuple", "dictionary", "named", "softmax"])
def test_of_several_outputs_the_user_says_which(kind: str) -> None:
    net, x = Several(kind), images()
    wanted = explain(Base()).saliency(x, 4).as_subclass(Tensor)  # the same seed, the same weights
    with pytest.raises(ConfigError, match=r"several tensors .*\[2, 6\].*\[2, 5\].*scores=") as problem:
        explain(net).saliency(x)
    assert ("'logits'" in str(problem.value)) == (kind in ("dictionary", "named"))
    choices: list[Any] = [1, lambda out: list(out.values() if isinstance(out, dict) else out)[1]]
    choices += ["logits"] if kind in ("dictionary", "named") else [-1]
    for choice in choices:
        look = explain(net, scores=choice)
        if kind == "softmax" and callable(choice):
            continue  # what a function makes is taken as it is
        torch.testing.assert_close(look.saliency(x, 4).as_subclass(Tensor), wanted)
        with pytest.raises(ConfigError, match=r"0\.\.4"):
            look.saliency(x, 5)
        assert look.occlusion(x, window=4, stride=4).tally.sum() == 2 * 4
        assert look.grad_cam(x, layer="conv").shape == x.shape
        assert look.check(x[:1], ("saliency",)).randomisation["saliency"].layers == ("head", "conv")
    with pytest.raises(ConfigError, match="no output 'logit'"):
        explain(net, scores="logit").saliency(x)
    with pytest.raises(ConfigError, match="scores must be"):
        explain(net, scores=1.5)  # type: ignore[arg-type]
    assert explain(net).summary(x).parameters == 60 + 35  # a table needs no scores
    assert count(net, x).operations["mac"] == 6 * 36 * 9 + 30


def test_one_output_is_a_number_until_the_user_says_what_it_means() -> None:
    class Sigmoid(Base):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(super().forward(x)).squeeze(1)

    x = images(3)
    raw, ended = Base(1), Sigmoid(1)
    value = explain(raw).saliency(x)
    assert value.targets.tolist() == [0, 0, 0]
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(raw(leaf).sum(), leaf)
    torch.testing.assert_close(value.as_subclass(Tensor), slope)
    drops = explain(raw).occlusion(x, window=4, stride=4).drops
    assert float(drops.abs().max()) > 0
    for refused in (
        lambda: explain(raw).occlusion(x, measure="probability"),
        lambda: explain(raw).deletion_insertion(x, value),
        lambda: explain(raw).check(x),
    ):
        with pytest.raises(ConfigError, match=r'scores="binary".*measure="score"'):
            refused()
    # both ways that the sentence names
    explain(raw).check(x, measure="score")
    explain(raw).deletion_insertion(x, value, measure="score")
    for net in (raw, ended):
        look = explain(net, scores="binary")
        found = look.occlusion(x, window=4, stride=4, measure="probability")
        assert found.targets.tolist() == (raw(x)[:, 0] > 0).long().tolist()
        covered = x.clone()
        covered[:, :, :4, :4] = 0
        chance = [torch.sigmoid(raw(one)[:, 0]) for one in (x, covered)]
        sign = 2 * found.targets - 1
        torch.testing.assert_close(found.drops[:, 0, 0], (sign * (chance[0] - chance[1])).detach())
        torch.testing.assert_close(look.saliency(x, 1).as_subclass(Tensor), slope)
        torch.testing.assert_close(look.saliency(x, 0).as_subclass(Tensor), -slope)
        look.check(x, ("saliency", "occlusion"))
        assert look.maximise(steps=60).answers.tolist() == [0, 1]
    with pytest.raises(ConfigError, match="returns 5 scores"):
        explain(Base(), scores="binary").saliency(x)


class LastStep(nn.Module):
    """Time first, the last step read out: the net of the report."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head, self.batched = nn.GRU(6, 7, **options), nn.Linear(7, 4), bool(options)

    def forward(self, x: Tensor) -> Tensor:
        out = self.rnn(x)[0]
        return self.head(out[:, -1] if self.batched else out[-1])


@pytest.mark.parametrize("samples", [1, 3, 9])
def test_time_first_and_samples_first_give_the_same_maps(samples: int) -> None:
    x = torch.rand(samples, 9, 6, generator=torch.Generator().manual_seed(1))
    first, later = explain(LastStep()), explain(LastStep(batch_first=True))
    turned = x.movedim(0, 1).contiguous()
    for method in ("saliency", "gradient_x_input", "smooth_grad", "integrated_gradients"):
        options: dict[str, Any] = {"samples": 2} if method == "smooth_grad" else {}
        wanted = getattr(later, method)(x, **options)
        found = getattr(first, method)(turned, **options)
        assert wanted.shape == x.shape
        assert found.shape == turned.shape
        assert len(found.targets) == samples
        torch.testing.assert_close(found.movedim(1, 0), wanted.as_subclass(Tensor), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.scaled().movedim(1, 0), wanted.scaled(), rtol=1e-3, atol=1e-5)
    leaf = turned.clone().requires_grad_()
    (slope,) = torch.autograd.grad(first.subject.model(leaf)[:, 2].sum(), leaf)
    torch.testing.assert_close(first.saliency(turned, 2).as_subclass(Tensor), slope)
    assert first.feature_maps("head", turned).shape == (samples, 4)
    alike = first.randomisation(turned, "saliency")
    assert alike.correlation == pytest.approx(later.randomisation(x, "saliency").correlation, abs=1e-4)
    row = {row.name: row.output for row in first.summary(turned).rows}
    assert row == {"rnn": (9, 7), "head": (4,)}


def test_where_time_cannot_be_known_the_user_is_asked() -> None:
    class Fixed(LastStep):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.reshape(4, -1, 6)[:, :4])

    x = torch.rand(4, 4, 6)
    for ask in (lambda: explain(Fixed()).saliency(x), lambda: explain(Fixed()).summary(x)):
        with pytest.raises(ConfigError, match="give time=0"):
            ask()
    assert explain(Fixed(), time=0).saliency(x).shape == x.shape
    assert explain(Fixed(), time=0).summary(x).rows[0].output == (4, 7)
    with pytest.raises(ShapeError, match="one sequence without samples"):
        explain(nn.GRUCell(6, 7)).summary(torch.rand(6))


def test_a_model_of_two_inputs_and_models_without_data() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.head = nn.Embedding(9, 4), nn.Linear(12, 3)

        def forward(self, words: Tensor, picture: Tensor) -> Tensor:
            return self.head(torch.cat([self.words(words).mean(1), picture.flatten(1)], 1))

    look, pair = explain(Two()), (torch.randint(0, 9, (2, 5)), torch.rand(2, 8))
    for ask in (look.saliency, look.summary, look.diagram, look.occlusion):
        with pytest.raises(ConfigError, match=r"takes 2 inputs \(words, picture\)"):
            ask(images())
    table = look.summary(pair)  # the tuple that the sentence names
    assert table.parameters == 36 + 39
    assert table.mac == 36
    assert "words" in str(look.diagram(pair))
    assert explain(nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(64, 2))).summary().mac == 128
    bare = explain(Base().to("meta")).summary(images())
    assert bare.as_dict() == explain(Base()).summary(images()).as_dict()
