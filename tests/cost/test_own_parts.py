"""Write your own neuron, encoder, read-out or layer: counting and explaining know it by what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from threegen.cost.count import count
from threegen.errors import ConfigError
from threegen.explanations.explain import explain
from threegen.gen3.encoders import Bernoulli
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import IF, LIF
from threegen.gen3.parts import Cost, Priced, Use, is_priced
from threegen.gen3.readouts import RateReadout
from threegen.tracing.trace import trace_model


class Fires(nn.Module):
    """Neurons without memory: a spike where the input is above a half. It knows none of our classes."""

    part = "neurons"

    def forward(self, currents: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        spikes = (currents > 0.5).to(currents)
        return spikes, spikes[-1]


class Priced0(Fires):
    """The same, which says what it costs."""

    def cost(self, use: Use) -> Cost:
        spikes = use.output[0]
        return Cost(self.part, {"threshold": spikes.numel()}, spikes, "spikes", spikes=spikes, states=1)


class Net(nn.Module):
    """Frames [B, T, 8] through own neurons and a linear layer; the mean over the steps."""

    def __init__(self, neurons: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.neurons, self.head = neurons, nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        spikes, _ = self.neurons(x.movedim(1, 0))
        return self.head(spikes).mean(0)


def frames(samples: int = 4) -> Tensor:
    return torch.rand(samples, 5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [Fires, Priced0])
def test_an_own_neuron_sends_spikes_that_are_billed_as_spikes(kind: type[nn.Module]) -> None:
    net, x = Net(kind()), frames()
    bill = count(net, x)
    arriving = float((x > 0.5).sum()) / 4
    rows = {row.name: row for row in bill.rows}
    assert rows["head"].fed_by == "spikes"
    assert rows["head"].operations["ac"] == arriving * 3
    assert bill.steps == 5
    own = next(row for row in bill.rows if row.name.startswith("neurons") and row.spikes is not None)
    assert own.spikes == arriving
    assert own.output == (8,)
    busiest = (x > 0.5).sum(2).amax(1).double().mean()
    assert bill.spike_bytes == pytest.approx(float(busiest) / 8)
    if kind is Priced0:
        assert own.operations == {"threshold": 40}
        assert own.memory == {"potentials": 32}
        assert bill.spiking
    else:
        assert bill.operations["compare"] == 40  # the function inside
    trace = trace_model(net, x)
    assert trace.steps == 5
    assert trace.find(kind.__name__)[0].shape == (8,)
    look = explain(net)
    assert look.feature_maps("neurons", x, per_step=True).shape == x.shape
    assert look.spike_activation_maps(x).shape == (4, 8)
    assert look.summary(x).steps == 5


class Doubled(LIF):
    """Replaces the method that `cost` speaks of: what it costs is another thing now."""

    def forward(self, currents: Tensor, state: object = None, trace: object = None) -> tuple[Tensor, object]:  # type: ignore[override]
        return super().forward(2 * currents)


class Shown(LIF):
    def extra_repr(self) -> str:
        return "shown"


class Said(Doubled):
    def cost(self, use: Use) -> Cost:
        return Cost("doubled", {"mul": use.output[0].numel()}, use.output[0], "spikes", spikes=use.output[0], states=1)


def test_a_part_whose_methods_were_replaced_is_not_asked_for_its_price() -> None:
    assert is_priced(LIF())
    assert is_priced(IF())
    assert is_priced(Shown())
    assert is_priced(Said())
    assert not is_priced(Doubled())
    patched = LIF()
    patched.forward = patched.forward  # type: ignore[method-assign]
    assert not is_priced(patched)
    assert not is_priced(nn.Linear(2, 2))
    assert isinstance(LIF(), Priced)
    x = frames()
    plain, doubled, said = (count(Net(kind()), x) for kind in (LIF, Doubled, Said))
    assert "leak" in plain.operations
    assert doubled.operations["mul"] >= 40
    assert next(row for row in doubled.rows if row.name == "head").fed_by == "spikes"
    assert doubled.uncounted == ("Doubled",)  # the kernel inside says nothing of itself
    assert plain.complete
    assert said.complete
    assert {row.kind for row in said.rows} == {"doubled", "linear", "sum"}


def test_own_encoders_and_read_outs_in_our_nets() -> None:
    class Sharp(Bernoulli):
        """Squares the intensities first."""

        def forward(self, x: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
            return super().forward(x * x, steps, generator)

    class Cheap(Bernoulli):
        def cost(self, use: Use) -> Sequence[Cost]:
            return [Cost("encoder", {"draw": 7}, use.output, "spikes", spikes=use.output)]

    x = torch.rand(3, 16, generator=torch.Generator().manual_seed(0))
    bill = count(SpikingMLP([16, 8, 4], steps=4, encoder=Sharp()), x)
    first = next(row for row in bill.rows if row.name == "synapses.0")
    assert first.fed_by == "spikes"
    assert bill.rows[0].operations == {"mul": 16}  # the squares
    assert bill.uncounted == ("Sharp",)
    assert count(SpikingMLP([16, 8, 4], steps=4, encoder=Cheap()), x).operations["draw"] == pytest.approx(7 / 3)

    class Latest(RateReadout):
        def forward(self, spikes: Tensor, currents: Tensor) -> Tensor:
            return currents[-1]

    net = SpikingMLP([16, 8, 4], steps=4)
    net.readout = Latest()
    assert not any(row.kind == "read-out" for row in count(net, x).rows)
    assert explain(net).saliency(x, 1).shape == x.shape


def test_a_part_that_names_an_unknown_operation_is_refused() -> None:
    class Wrong(Fires):
        def cost(self, use: Use) -> Cost:
            return Cost(self.part, {"thresholds": 3}, use.output[0])

    with pytest.raises(ConfigError, match="did you mean 'threshold'"):
        count(Net(Wrong()), frames())
