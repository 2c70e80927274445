"""The compiled walk against the plain rule step by step: same spikes, same weights, for any layer and any spikes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.functional.plasticity.plasticity_fused import learn_triplets
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.rules.pair_stdp import PairSTDP
from threegen.rules.post_pre import PostPre
from threegen.rules.rule import project
from threegen.rules.triplet_stdp import TripletSTDP
from threegen.training.fit import fit

RULES: list[tuple[Any, dict[str, float]]] = [
    (PairSTDP, {"a_plus": 0.02, "a_minus": 0.03}),
    (PostPre, {"pre_rate": 0.02, "post_rate": 0.05}),
    (TripletSTDP, {"a2_plus": 0.01, "a3_plus": 0.03, "a2_minus": 0.02, "a3_minus": 0.01}),
    (TripletSTDP, {"a2_plus": 0.01, "a3_plus": 0.03, "a2_minus": 0.02, "a3_minus": 0.01, "saturate": False}),
]


def plain_walk(rule: Any, layer: PlasticLayer, trains: Tensor) -> Tensor:
    """Learn step by step with torch's own SGD; return the neurons' spikes [B, T, O]."""
    spikes: list[Tensor] = []
    inner = layer.step

    def noting(*arguments: Any, **options: Any) -> Any:
        fired, state = inner(*arguments, **options)
        spikes.append(fired[0])
        return fired, state

    layer.step = noting  # type: ignore[method-assign]
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, foreach=False)
    for _ in rule(layer, Batch(trains), torch.Generator()):
        optimizer.step()
        optimizer.zero_grad()
        project(layer)
    return torch.stack(spikes).view(len(trains), -1, layer.neurons)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    which=st.integers(0, len(RULES) - 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 9), st.integers(1, 6)),
    density=st.sampled_from([0.0, 0.05, 0.3, 1.0]),
    parts=st.fixed_dictionaries(
        {
            "threshold": st.sampled_from([0.3, 1.0]),
            "refractory": st.sampled_from([0.0, 2.0]),
            "inhibition": st.sampled_from([0.0, 0.4]),
            "winners": st.integers(0, 2),
            "theta_plus": st.sampled_from([0.0, 0.05]),
            "theta_tau": st.sampled_from([0.0, 100.0]),
            "norm": st.sampled_from([0.0, 0.5]),
        }
    ),
    seed=st.integers(0, 1000),
)
def test_kernel_is_the_plain_rule(
    which: int, shape: tuple[int, int, int, int], density: float, parts: dict[str, Any], seed: int
) -> None:
    stimuli, steps, inputs, neurons = shape
    generator = torch.Generator().manual_seed(seed)
    kind, rates = RULES[which]
    plain = PlasticLayer(inputs, neurons, tau=10.0, w_start=0.9, generator=generator, **parts).double()
    fused = copy.deepcopy(plain)
    trains = (torch.rand(stimuli, steps, inputs, generator=generator) < density).double()
    # Where all inputs fire, normalised weights add up alike in all neurons: who wins is then a matter of rounding.
    assume(not (parts["winners"] and parts["norm"] and bool((trains.mean(2) == 1).any())))
    expected = plain_walk(kind(**rates, backend="plain"), plain, trains)
    rule = kind(**rates, backend="fused")
    found = learn_triplets(
        fused.weight, fused.theta, fused.input_spikes(trains), fused.constants, rule.taus, rule.plus, rule.minus,
        rule.saturate,
    )  # fmt: skip
    assert torch.equal(found.double(), expected)
    assert torch.allclose(fused.weight, plain.weight, rtol=0, atol=1e-6)
    assert torch.allclose(fused.theta, plain.theta, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_of_fit_end_alike(dtype: torch.dtype) -> None:
    """Over `fit`, whose SGD is torch's fused one: weights lie transposed in memory, gradients must lie so too."""
    generator = torch.Generator().manual_seed(3)
    trains = (torch.rand(6, 40, 30, generator=generator) < 0.1).to(dtype)
    layers = []
    for backend in ("plain", "fused"):
        layer = PlasticLayer(
            30, 12, tau=20.0, threshold=1.5, inhibition=0.3, winners=2, theta_plus=0.05, norm=6.0,
            generator=torch.Generator().manual_seed(1),
        ).to(dtype)  # fmt: skip
        start = layer.weight.detach().clone()
        rule = TripletSTDP(backend=backend)
        fit(layer, rule, Dataset(trains), epochs=1, batch_size=3, seed=0, progress=False)
        layers.append(layer)
        assert float((layer.weight.detach() - start).abs().max()) > 0.01
    assert torch.allclose(layers[0].weight, layers[1].weight, rtol=0, atol=1e-6)


def test_only_neurons_that_fired_are_normalised() -> None:
    layer = PlasticLayer(4, 2, threshold=1.0, norm=2.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.9, 0.9, 0.0, 0.0], [0.0, 0.0, 0.4, 0.4]]))
    trains = torch.zeros(1, 5, 4)
    trains[0, 1, :2] = 1  # 1.8 reach the first neuron, nothing the second
    for backend in ("plain", "fused"):
        twin = copy.deepcopy(layer)
        rule = PostPre(0.0, 0.01, backend=backend)
        fit(twin, rule, Dataset(trains), epochs=1, batch_size=1, seed=0, progress=False)
        # .9 + .01 each, scaled to a sum of 2: 1 each; the second row stays at a sum of .8
        assert twin.weight.tolist() == [pytest.approx([1.0, 1.0, 0.0, 0.0]), pytest.approx([0.0, 0.0, 0.4, 0.4])]


def test_weights_in_any_memory_order() -> None:
    generator = torch.Generator().manual_seed(0)
    trains = (torch.rand(20, 2, 8, generator=generator) < 0.3).double()
    start = torch.rand(5, 8, generator=generator).double()
    own = PlasticLayer(8, 5).constants
    ends = []
    for weight in (start.clone(), start.t().contiguous().t()):
        theta = torch.zeros(5, dtype=torch.float64)
        learn_triplets(weight, theta, trains, own, (20.0, 20.0, 40.0, 40.0), (0.01, 0.01), (0.01, 0.0), True)
        ends.append(weight)
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], start)
