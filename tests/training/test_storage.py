"""Parameters are contiguous before and after `fit`, also after an error; inside, kernels get them as they like them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from threegen.datasets.dataset import Dataset
from threegen.errors import NumericError
from threegen.gen2.dbn import DBN
from threegen.gen2.mlp import MLP
from threegen.gen2.rbm import RBM
from threegen.gen3.conv_networks import SpikingConvNet
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.plastic_layer import PlasticLayer
from threegen.machine.sparse import layouts
from threegen.registry.pretraining import pretraining
from threegen.registry.spike_timing import stdp_stages
from threegen.rules.backprop import Backprop
from threegen.rules.contrastive_divergence import ContrastiveDivergence
from threegen.rules.diehl_cook_stdp import DiehlCookSTDP
from threegen.rules.pair_stdp import PairSTDP
from threegen.testing.ordinary import require_contiguous
from threegen.training.fit import fit
from threegen.training.loop import Callback

IMAGES = torch.rand(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
DATA = Dataset(IMAGES, torch.arange(40) % 10)

MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], object]]] = {
    "mlp": (lambda: MLP([784, 64, 10]), lambda model: Backprop()),
    "rbm": (lambda: RBM(784, 64), lambda model: ContrastiveDivergence()),
    "dbn": (lambda: DBN([784, 30, 40], classes=10), lambda model: pretraining(model, epochs=1)),
    "spiking-mlp": (lambda: SpikingMLP([784, 64, 10], steps=3), lambda model: Backprop("mse")),
    "spiking-conv": (lambda: SpikingConvNet("4C5-P2-40-10", steps=3), lambda model: Backprop("mse")),
    "diehl-cook": (
        lambda: DiehlCook(20),
        lambda model: stdp_stages(model, DiehlCookSTDP("pair"), labelled=120, batch_size=40),
    ),
    "plastic": (lambda: PlasticLayer(784, 20), lambda model: PairSTDP()),
}


class Watch(Callback):
    """Notes whether the weights that a model names are stored by inputs while it trains."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = [
            weight for part in model.modules() if hasattr(part, "input_major") for weight in part.input_major()
        ]
        self.seen: set[bool] = set()

    def on_step(self, run: object, step: object) -> None:
        self.seen |= {layouts.lies_by_inputs(weight) for weight in self.weights if min(weight.shape) > 1}


@pytest.mark.parametrize("name", MODELS)
def test_contiguous_before_and_after_and_stored_by_inputs_inside(name: str) -> None:
    make, rule = MODELS[name]
    model = make()
    require_contiguous(model, "when made")
    watch = Watch(model)
    settings = {} if name in ("dbn", "diehl-cook") else {"batch_size": 20}
    many = Dataset(IMAGES.repeat(3, 1, 1, 1), DATA.targets.repeat(3))
    fit(model, rule(model), many, callbacks=[watch], seed=0, **settings)  # type: ignore[arg-type]
    require_contiguous(model, "after fit")
    assert watch.seen == ({True} if watch.weights else set())


class Poison(Callback):
    def on_step(self, run: object, step: object) -> None:
        with torch.no_grad():
            run.model.layers.linear1.bias[0] = float("nan")  # type: ignore[attr-defined]


def test_contiguous_after_an_error() -> None:
    model = MLP([784, 64, 10])
    with pytest.raises(NumericError):
        fit(model, Backprop(), DATA, batch_size=10, callbacks=[Poison()])
    require_contiguous(model, "after an error")


def test_an_optimiser_of_the_users_own_gets_contiguous_weights() -> None:
    model = SpikingMLP([784, 64, 10], steps=3)
    watch = Watch(model)
    fit(
        model,
        Backprop("mse"),
        DATA,
        optimizer=lambda own: torch.optim.Adam(own, fused=True),
        callbacks=[watch],
        batch_size=40,
    )
    assert watch.seen == {False}


def test_both_ways_of_storing_train_alike() -> None:
    """torch's own Adam on contiguous weights is the oracle of ours on weights stored by inputs."""
    found = []
    for optimizer in ("adam", lambda own: torch.optim.Adam(own, lr=1e-3)):
        model = SpikingMLP([784, 64, 10], steps=3, generator=torch.Generator().manual_seed(0))
        fit(model, Backprop("mse"), DATA, optimizer=optimizer, epochs=2, batch_size=10, seed=0)
        found.append([parameter.detach() for parameter in model.parameters()])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_memory_that_others_look_at_is_not_moved() -> None:
    model = MLP([784, 64, 10])
    vector = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    torch.nn.utils.vector_to_parameters(vector, model.parameters())  # all parameters are views of one vector now
    fit(model, Backprop(), DATA, optimizer="sgd", lr=0.1, batch_size=40, seed=0)
    assert model.layers.linear1.weight.untyped_storage().data_ptr() == vector.untyped_storage().data_ptr()
