"""Every public method that may be overridden is overridden here: what replaces it counts, in answers and in learning.

A fast way that would leave the own method out must not be taken; the plain way is the definition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from threegen.datasets.batches import Batch
from threegen.errors import ConfigError
from threegen.functional.plasticity.competition import Winner
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.networks import Record, SpikingMLP
from threegen.gen3.ordered_conv import OrderedConv
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.rules.order_based_stdp import OrderBasedSTDP
from threegen.rules.pair_stdp import PairSTDP
from threegen.rules.rule import Applied, Rule, Update, project
from threegen.training.fit import fit

X = torch.rand(3, 20, generator=torch.Generator().manual_seed(1))


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_run_of_a_spiking_net() -> None:
    """`forward` never calls `run`, by the fast way or the plain one: an own record changes no answer."""

    class Recorded(SpikingMLP):
        def run(self, x: Tensor, state: Sequence[Any] | None = None, generator: Any = None) -> Record:
            record = super().run(x, state, generator)
            return Record(record.inputs, record.spikes, record.potentials, 2 * record.scores, record.state)

    nets = [
        kind([20, 8, 5], backend=backend, generator=g())
        for kind in (SpikingMLP, Recorded)
        for backend in ("plain", "fused")
    ]
    answers = [net.eval()(X, g()) for net in nets]
    assert all(torch.allclose(one, answers[0]) for one in answers)
    assert torch.equal(nets[2].run(X, generator=g()).scores, 2 * nets[0].run(X, generator=g()).scores)


# -- DiehlCook ---------------------------------------------------------------------------------------------------

PATTERNS = torch.eye(4).repeat_interleave(2, 1)  # four patterns of eight inputs


class Own(DiehlCook):
    """Each method that may be overridden, on the switch `change`."""

    change = ""

    def pixels(self, x: Tensor) -> Tensor:
        return super().pixels(x) * (0 if self.change == "pixels" else 1)

    def votes(self, counts: Tensor) -> Tensor:
        return super().votes(counts) + (7 if self.change == "votes" else 0)

    def count_spikes(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        counts, outcome = super().count_spikes(x, generator)
        return (counts + 1, outcome) if self.change == "count_spikes" else (counts, outcome)

    def intensities(self) -> Any:
        return super().intensities() * (0 if self.change == "intensities" else 1)

    def rates(self) -> Tensor:
        return super().rates() * (3 if self.change == "rates" else 1)


def labelled(kind: type[DiehlCook]) -> Any:
    net = kind(6, inputs=8, classes=2, readout="proportion", generator=g())
    net.responses.fill_(1.0)
    net.responses[0, :3] = 5.0
    net.examples.fill_(2)
    return net


@pytest.mark.parametrize("change", ["pixels", "votes", "count_spikes", "intensities", "rates"])
def test_methods_of_diehl_cook(change: str) -> None:
    net, same = labelled(Own), labelled(DiehlCook)
    assert torch.equal(net(PATTERNS, g()), same(PATTERNS, g()))
    net.change = change
    if change == "rates":
        net.readout = same.readout = "proportion"
        assert torch.equal(net.rates(), 3 * same.rates())
        return
    assert not torch.equal(net(PATTERNS, g()), same(PATTERNS, g()))


def steps_of(rule: Rule, model: nn.Module, batch: Batch) -> list[Any]:
    """Run one batch as `fit` does with SGD of rate 1."""
    done = []
    for step in rule(model, batch, g()):
        if step.pending:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.data.sub_(parameter.grad)
                    parameter.grad = None
            project(model)
        done.append(step)
    return done


def test_project_of_diehl_cook_is_called_as_it_learns() -> None:
    """The kernel keeps the weights within 0..1 by itself: a network with bounds of its own learns the plain way."""

    class Bounded(DiehlCook):
        def project(self) -> None:
            super().project()
            with torch.no_grad():
                self.weight[0].fill_(0.25)

    net, same = (kind(3, inputs=8, classes=2, most=1, generator=g()) for kind in (Bounded, DiehlCook))
    batch = Batch(PATTERNS[:1], None)
    steps = steps_of(DiehlCookSTDP("pair"), net, batch)
    assert all(isinstance(step, Update) for step in steps)
    assert bool((net.weight[0] == 0.25).all())
    assert [type(step) for step in steps_of(DiehlCookSTDP("pair"), same, batch)] == [Applied]


# -- PlasticLayer ------------------------------------------------------------------------------------------------


class Deaf(PlasticLayer):
    def step(self, spikes: Tensor, state: Any = None, adapt: bool = False) -> tuple[Tensor, Any]:
        fired, state = super().step(0 * spikes, state, adapt)
        return fired, state


class Halved(PlasticLayer):
    def project(self) -> None:
        super().project()
        with torch.no_grad():
            self.weight.clamp_(max=0.25)


class Begun(PlasticLayer):
    began = 0

    def begin_stimulus(self) -> None:
        super().begin_stimulus()
        self.began += 1


class Ended(PlasticLayer):
    ended = 0

    def end_stimulus(self) -> None:
        super().end_stimulus()
        self.ended += 1


class Blind(PlasticLayer):
    def input_spikes(self, inputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.zeros_like(super().input_spikes(inputs, generator))


def trained(kind: type[PlasticLayer], backend: str = "auto") -> tuple[Any, Tensor]:
    """Return a layer that has learnt from two trains, by `fit`, and its weights before."""
    layer = kind(6, 4, threshold=0.5, generator=g())
    before = layer.weight.detach().clone()
    trains = (torch.rand(2, 12, 6, generator=g(2)) < 0.5).float()
    fit(layer, PairSTDP(backend=backend), (trains, torch.zeros(2, dtype=torch.long)), batch_size=2, seed=0)
    return layer, before


def test_methods_of_the_plastic_layer() -> None:
    plain, before = trained(PlasticLayer)
    assert not torch.equal(plain.weight, before)
    deaf, _ = trained(Deaf)
    assert not torch.equal(deaf.weight, plain.weight)
    assert bool((trained(Halved)[0].weight <= 0.25).all())
    assert float(plain.weight.detach().max()) > 0.25
    assert trained(Begun)[0].began == 2
    assert trained(Ended)[0].ended == 2
    assert not torch.equal(trained(Blind)[0].weight, plain.weight)  # the kernel asks the layer for its input
    for kind in (Deaf, Halved, Begun, Ended):
        with pytest.raises(ConfigError, match=f"{kind.__name__} replaces a method of the library"):
            trained(kind, "fused")


def test_answers_of_the_plastic_layer() -> None:
    trains = torch.ones(1, 5, 6)
    assert float(PlasticLayer(6, 4, threshold=0.5, generator=g())(trains).sum()) > 0
    assert float(Deaf(6, 4, threshold=0.5, generator=g())(trains).sum()) == 0
    assert float(Blind(6, 4, threshold=0.5, generator=g())(trains).sum()) == 0


# -- OrderedConv -------------------------------------------------------------------------------------------------


class Late(OrderedConv):
    def spike_times(self, inputs: Tensor) -> Tensor:
        return (super().spike_times(inputs) + 1).clamp(max=self.steps)


class Silent(OrderedConv):
    def fire(self, times: Tensor) -> tuple[Tensor, Tensor]:
        fired, potentials = super().fire(times)
        return torch.full_like(fired, self.steps), torch.zeros_like(potentials)


class Peaceful(OrderedConv):
    def compete(self, times: Tensor) -> list[Winner]:
        return []


class Pinned(OrderedConv):
    def project(self) -> None:
        super().project()
        with torch.no_grad():
            self.weight[0].fill_(0.5)


def test_methods_of_the_ordered_convolution() -> None:
    times = torch.randint(0, 4, (2, 1, 6, 6), generator=g(4)).float()

    def made(kind: type[OrderedConv]) -> OrderedConv:
        layer = kind(1, 3, 3, steps=6, threshold=3.0, generator=g())
        assert steps_of(OrderBasedSTDP(), layer, Batch(times, None))
        return layer

    answer, learnt = OrderedConv(1, 3, 3, steps=6, threshold=3.0, generator=g())(times), made(OrderedConv).weight
    start = OrderedConv(1, 3, 3, steps=6, threshold=3.0, generator=g()).weight
    assert not torch.equal(learnt, start)
    assert torch.equal(Late(1, 3, 3, steps=6, threshold=3.0, generator=g())(times), (answer + 1).clamp(max=6))
    assert bool((Silent(1, 3, 3, steps=6, threshold=3.0, generator=g())(times) == 6).all())
    assert torch.equal(made(Silent).weight, start)  # nobody wins, so nothing is learnt
    assert torch.equal(made(Peaceful).weight, start)
    assert bool((made(Pinned).weight[0] == 0.5).all())
