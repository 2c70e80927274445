"""Regularisers of the MLP: dropout's scale, normalisation's statistics in a checkpoint, decay without biases."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from threegen.datasets.batches import Batch
from threegen.datasets.dataset import Dataset
from threegen.gen2.mlp import MLP
from threegen.rules.backprop import Backprop
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer

DATA = Dataset(
    torch.rand(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3, ("a", "b", "c"), "little"
)


def test_dropout_scales_in_training_so_that_answers_need_no_scale() -> None:
    """With p = .4 a hidden signal is 0 or 1 / .6 of itself while training, on average itself, and itself in answers."""
    model = MLP([6, 50, 3], dropout=0.4, generator=torch.Generator().manual_seed(1))
    signals = {}
    for name in ("activation1", "dropout1"):
        getattr(model.layers, name).register_forward_hook(
            lambda module, inputs, output, name=name: signals.__setitem__(name, output)
        )
    torch.manual_seed(0)
    model(DATA.inputs[:1].expand(4000, 6))
    plain, dropped = signals["activation1"], signals["dropout1"]
    alive = plain[0] > 0
    ratio = dropped[:, alive] / plain[:, alive]
    assert sorted({round(one, 4) for one in torch.unique(ratio).tolist()}) == [0.0, 1.6667]
    assert ratio.mean().item() == pytest.approx(1.0, abs=0.01)
    model.eval()
    model(DATA.inputs)
    assert torch.equal(signals["activation1"], signals["dropout1"])


def test_running_statistics_are_in_the_checkpoint(tmp_path: Path) -> None:
    """A run that stops after 2 of 4 epochs and is resumed ends with the statistics of one that never stopped."""

    def made() -> MLP:
        return MLP([6, 5, 3], batch_norm=True, generator=torch.Generator().manual_seed(2))

    whole, stopped, resumed = made(), made(), made()
    fit(whole, Backprop(), DATA, epochs=4, batch_size=10)
    fit(stopped, Backprop(), DATA, epochs=2, batch_size=10, out=tmp_path)
    fit(resumed, Backprop(), DATA, epochs=4, batch_size=10, out=tmp_path, resume=True)
    assert whole.layers.norm1.num_batches_tracked.item() == 16
    assert whole.layers.norm1.running_mean.any()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_normalisation_by_hand() -> None:
    """Training: (x - mean) / sqrt(variance + 1e-5) over the batch; the running mean takes a tenth of it a batch."""
    model = MLP([6, 4, 3], batch_norm=True, generator=torch.Generator().manual_seed(3))
    seen = {}
    model.layers.norm1.register_forward_hook(lambda module, inputs, output: seen.update(x=inputs[0], y=output))
    model(DATA.inputs)
    x = seen["x"]
    assert torch.allclose(seen["y"], (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt(), atol=1e-5)
    assert torch.allclose(model.layers.norm1.running_mean, 0.1 * x.mean(0), atol=1e-6)
    model.eval()
    model(DATA.inputs)
    norm = model.layers.norm1
    assert torch.allclose(seen["y"], (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt(), atol=1e-5)


@pytest.mark.parametrize("asked", [False, True])
def test_weight_decay_leaves_biases_alone_unless_asked(asked: bool) -> None:
    """One step with zero gradients, rate .1 and decay .5 shrinks what decays to .95 of itself."""
    model = MLP([6, 5, 3], batch_norm=True, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    recipe = optimizer("sgd", lr=0.1, weight_decay=0.5, decay_biases=asked)
    stepper = recipe.build(model.parameters())
    list(Backprop(lambda scores, targets: 0 * scores.sum())(model, Batch(DATA.inputs, DATA.targets), torch.Generator()))
    stepper.step()
    for name, parameter in model.named_parameters():
        factor = 0.95 if asked or parameter.dim() == 2 else 1.0
        assert torch.allclose(parameter, factor * before[name]), name
