"""What goes wrong, and the exact sentence that says so: no bad input ends in a bare error of torch.

Each row: what is wrong, the call, the type of the error, its sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.errors import ConfigError, DataError, NumericError, ShapeError, ThreegenError
from threegen.gen1.perceptron import Perceptron
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.mlp import MLP
from threegen.gen3.encoders import Bernoulli, Latency, Poisson
from threegen.gen3.networks import SpikingMLP
from threegen.gen3.neurons import LIF
from threegen.rules.backprop import Backprop
from threegen.rules.delta import DeltaRule
from threegen.rules.perceptron import PerceptronRule
from threegen.training.evaluate import evaluate
from threegen.training.fit import fit
from threegen.training.optimizers.build import optimizer
from threegen.training.schedules import EpochSteps, RateSchedule
from threegen.training.stages import Stage
from threegen.training.stopping import EarlyStopping

X = torch.rand(20, 12, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 10
TEN = tuple("0123456789")


def changed(values: Tensor, place: Any, to: float) -> Tensor:
    made = values.clone()
    made[place] = to
    return made


HOLES = changed(changed(X, (3, 5), torch.nan), (7, 1), -torch.inf)
PIXELS = changed(changed(X, (0, 0), 0.0), (0, 1), 1.0) * 255
TOO_HIGH = changed(Y, 7, 10)


def toy(x: Tensor = X, y: Tensor = Y, classes: tuple[str, ...] = ()) -> Dataset:
    return Dataset(x, y, classes, name="toy")


def train(model: Any = None, rule: Any = None, data: Any = None, **settings: Any) -> object:
    settings.setdefault("batch_size", 20)
    return fit(
        MLP([12, 10]) if model is None else model,
        Backprop() if rule is None else rule,
        toy() if data is None else data,
        **settings,
    )


def other_state() -> object:
    net = SpikingMLP([12, 6, 4], steps=2)
    return net.run(torch.rand(5, 12), net.run(torch.rand(2, 12)).state)


Row = tuple[str, Callable[[], object], type[ThreegenError], str]

VALUES: list[Row] = [
    ("NaN in the data", lambda: train(data=toy(HOLES)), NumericError,
     "the data set 'toy' has 2 non-finite values, first at [3, 5]; clean the data before use"),
    ("NaN in a stream", lambda: train(data=[(HOLES, Y)]), NumericError,
     "the batch's input has 2 non-finite values, first at [3, 5]; clean the data before use"),
    ("NaN in arrays", lambda: Dataset.from_arrays(HOLES.numpy(), Y.numpy()), NumericError,
     "x has 2 non-finite values, first at [3, 5]; clean the data before use"),
    ("NaN into an encoder", lambda: SpikingMLP([12, 4])(HOLES), NumericError,
     "rate coding has 2 non-finite values, first at [3, 5]; clean the data before use"),
    ("pixels 0..255 into rate coding", lambda: Bernoulli()(PIXELS, 4), ConfigError,
     "rate coding needs values in 0..1, got 0..255; divide by 255"),
    ("pixels 0..255 into Poisson coding", lambda: Poisson()(PIXELS, 4), ConfigError,
     "Poisson coding needs values in 0..1, got 0..255; divide by 255"),
    ("pixels 0..255 into latency coding", lambda: Latency()(PIXELS, 4), ConfigError,
     "latency coding needs values in 0..1, got 0..255; divide by 255"),
    ("pixels 0..255 into a spiking net", lambda: train(SpikingMLP([12, 10]), data=toy(PIXELS)), ConfigError,
     "rate coding needs values in 0..1, got 0..255; divide by 255"),
    ("pixels below zero", lambda: Bernoulli()(PIXELS / 255 - 0.5, 4), ConfigError,
     "rate coding needs values in 0..1, got -0.5..0.5; scale them to 0..1"),
    ("label 10 among ten classes", lambda: train(data=toy(y=TOO_HIGH, classes=TEN)), DataError,
     "label 10 at index 7 is outside 0..9"),
    ("label 10 in a batch", lambda: train(data=[(X, TOO_HIGH)]), DataError, "label 10 at index 7 is outside 0..9"),
    ("label 10, squared error", lambda: train(rule=Backprop("mse"), data=[(X, TOO_HIGH)]), DataError,
     "label 10 at index 7 is outside 0..9"),
    ("label 10, perceptron", lambda: train(Perceptron(12, 10), PerceptronRule(), [(X, TOO_HIGH)]), DataError,
     "label 10 at index 7 is outside 0..9"),
    ("label 10, delta rule", lambda: train(Perceptron(12, 10), DeltaRule(), [(X, TOO_HIGH)]), DataError,
     "label 10 at index 7 is outside 0..9"),
    ("label 10 in arrays", lambda: Dataset.from_arrays(X.numpy(), TOO_HIGH.numpy(), classes=10), DataError,
     "label 10 at index 7 is outside 0..9"),
    ("label 10 in evaluation", lambda: evaluate(MLP([12, 10]), toy(y=TOO_HIGH)), DataError,
     "label 10 at index 7 is outside 0..9"),
    ("label -100, which torch leaves out", lambda: train(data=[(X, changed(Y, 3, -100))]), DataError,
     "label -100 at index 3 is outside 0..9"),
    ("labels that are true and false", lambda: train(data=toy(y=Y > 4)), DataError,
     "labels must be whole numbers [B], got torch.bool of shape [20]"),
    ("labels that are floating numbers", lambda: train(data=toy(y=Y.float())), ShapeError,
     "targets [20] do not fit scores [20, 10]"),
]  # fmt: skip

AMOUNTS: list[Row] = [
    ("no labels", lambda: train(data=Dataset(X)), DataError,
     "Backprop learns from labels, the batch has none; give targets with the data"),
    ("more images than labels", lambda: Dataset(X, Y[:19]), DataError, "20 images but 19 labels"),
    ("more inputs than targets", lambda: train(data=[(X, Y[:19])]), DataError, "20 inputs but 19 targets in one batch"),
    ("an empty data set", lambda: train(data=toy(X[:0], Y[:0])), DataError,
     "the data set 'toy' is empty; there is nothing to learn from"),
    ("an empty list", lambda: train(data=[]), DataError, "the data set is empty; there is nothing to learn from"),
    ("an empty batch", lambda: train(data=[(X[:0], Y[:0])]), DataError,
     "Backprop got an empty batch, inputs [0, 12]; the data set is empty"),
    ("empty arrays", lambda: Dataset.from_arrays(np.zeros((0, 3)), np.zeros(0, int)), DataError,
     "the data set is empty: x has shape [0, 3]"),
    ("a batch of one into batch normalisation", lambda: train(MLP([12, 5, 10], batch_norm=True), batch_size=19),
     ShapeError, "MLP normalises over the batch, which holds 1; "
     "choose a batch_size that does not leave a single example for the last batch"),
]  # fmt: skip

SHAPES: list[Row] = [
    ("783 pixels for 784", lambda: Perceptron(784, 10)(torch.rand(2, 783)), ShapeError,
     "Perceptron expects [B, 784] or images of 784 pixels, got [2, 783]"),
    ("another width in training", lambda: train(data=toy(X[:, :11])), ShapeError,
     "MLP expects [B, 12] or images of 12 pixels, got [20, 11]"),
    ("another width into a spiking net", lambda: SpikingMLP([12, 4])(torch.rand(2, 11)), ShapeError,
     "SpikingMLP expects [B, 12] or images of 12 pixels, got [2, 11]"),
    ("a single number", lambda: MLP([12, 4])(torch.tensor(1.0)), ShapeError,
     "MLP expects [B, 12] or images of 12 pixels, got []"),
    ("flat rows for images", lambda: LeNet5Modern()(torch.rand(2, 784)), ShapeError,
     "LeNet5Modern expects [B, 1, 28, 28], got [2, 784]; use x.reshape(-1, 1, 28, 28)"),
    ("channels last", lambda: Dataset.from_arrays(np.zeros((5, 28, 28, 3), np.uint8), np.zeros(5, int)), ShapeError,
     "x is [5, 28, 28, 3], which looks like [B, H, W, C]; expected [B, C, H, W]; use x.transpose(0, 3, 1, 2) (numpy), "
     "x.permute(0, 3, 1, 2) (torch), or image=False if it is right as it is"),
    ("bytes into a net", lambda: MLP([12, 4])(PIXELS.byte()), ShapeError,
     "MLP expects floating-point values, got torch.uint8; use x.float() / 255 for pixels"),
    ("bytes into a spiking net", lambda: SpikingMLP([12, 4])(PIXELS.byte()), ShapeError,
     "SpikingMLP expects floating-point values, got torch.uint8; use x.float() / 255 for pixels"),
    ("bytes as a data set", lambda: Dataset(PIXELS.byte(), Y), ShapeError,
     "Dataset takes floating-point inputs [N, ...]; use Dataset.from_arrays(x, y)"),
    ("float64 into float32", lambda: MLP([12, 4])(X.double()), ShapeError,
     "MLP expects torch.float32, the type of its weights, got torch.float64; "
     "use x.to(torch.float32) or model.to(torch.float64)"),
    ("an array into a net", lambda: MLP([12, 4])(X.numpy()), ShapeError,  # type: ignore[arg-type]
     "MLP expects a tensor, got ndarray; use torch.as_tensor(...)"),
    ("the state of another batch", other_state, ShapeError,
     "the spiking state (potential) is for a batch and layer of shape [2, 6], the input has [5, 6]; "
     "pass state=None to start from rest"),
]  # fmt: skip

MODELS: list[Row] = [
    ("sizes as a text", lambda: MLP("784"), ConfigError,  # type: ignore[arg-type]
     "sizes must be a list of layer sizes such as [784, 512, 10], got '784'"),
    ("one number for sizes", lambda: MLP(784), ConfigError,  # type: ignore[arg-type]
     "sizes must be a list of layer sizes such as [784, 512, 10], got 784"),
    ("one layer", lambda: MLP([784]), ConfigError, "sizes must list at least 2 layer sizes, got [784]"),
    ("a layer of none", lambda: MLP([784, 0, 10]), ConfigError,
     "sizes[1] must be a whole number of at least 1, got 0"),
    ("a layer of 51.2", lambda: MLP([784, 51.2, 10]), ConfigError,  # type: ignore[list-item]
     "sizes[1] must be a whole number of at least 1, got 51.2"),
    ("a layer of -5", lambda: SpikingMLP([784, -5, 10]), ConfigError,
     "sizes[1] must be a whole number of at least 1, got -5"),
    ("no inputs", lambda: Perceptron(0), ConfigError, "inputs must be a whole number of at least 1, got 0"),
    ("dropout of everything", lambda: MLP([12, 4], dropout=1.0), ConfigError,
     "dropout must be a finite number at least 0.0 and below 1.0, got 1.0"),
    ("dropout below nothing", lambda: MLP([12, 4], dropout=-0.1), ConfigError,
     "dropout must be a finite number at least 0.0 and below 1.0, got -0.1"),
    ("dropout of NaN", lambda: MLP([12, 4], dropout=torch.nan), ConfigError,
     "dropout must be a finite number at least 0.0 and below 1.0, got nan"),
    ("dropout in words", lambda: MLP([12, 4], dropout="half"), ConfigError,  # type: ignore[arg-type]
     "dropout must be a finite number at least 0.0 and below 1.0, got 'half'"),
    ("T of 0", lambda: SpikingMLP([12, 4], steps=0), ConfigError,
     "steps must be a whole number of at least 1, got 0"),
    ("T of -1", lambda: SpikingMLP([12, 4], steps=-1), ConfigError,
     "steps must be a whole number of at least 1, got -1"),
    ("T of 2.5", lambda: SpikingMLP([12, 4], steps=2.5), ConfigError,  # type: ignore[arg-type]
     "steps must be a whole number of at least 1, got 2.5"),
    ("T of 0 in an encoder", lambda: Bernoulli()(X, 0), ConfigError,
     "steps must be a whole number of at least 1, got 0"),
    ("decay of -3", lambda: LIF(decay=-3.0), ConfigError,
     "decay must be a finite number at least 0.0 and at most 1.0, got -3.0"),
    ("decay of NaN", lambda: LIF(decay=torch.nan), ConfigError,
     "decay must be a finite number at least 0.0 and at most 1.0, got nan"),
    ("threshold of 0", lambda: LIF(threshold=0.0), ConfigError,
     "threshold must be a finite number above 0.0, got 0.0"),
    ("width of 0", lambda: LIF(surrogate_width=0.0), ConfigError,
     "surrogate_width must be a finite number above 0.0, got 0.0"),
    ("a rate of 0", lambda: Poisson(0.0), ConfigError, "rate must be a finite number above 0.0, got 0.0"),
    ("an encoder that is a number", lambda: SpikingMLP([12, 4], encoder=3), ConfigError,  # type: ignore[arg-type]
     "encoder must be a module such as Bernoulli(), or its name, got 3"),
]  # fmt: skip

SPELLING: list[Row] = [
    ("activation", lambda: MLP([12, 4], activation="rellu"), ConfigError,
     "activation is 'rellu'; choose relu, sigmoid, tanh, clipped, steps, one-step, soft-lif (did you mean 'relu'?)"),
    ("reset", lambda: LIF(reset="softt"), ConfigError, "reset is 'softt'; choose hard, soft (did you mean 'soft'?)"),
    ("surrogate", lambda: LIF(surrogate="rectangle"), ConfigError,
     "surrogate is 'rectangle'; choose rectangular, triangular, arctan, sigmoid, superspike "
     "(did you mean 'rectangular'?)"),
    ("encoder", lambda: SpikingMLP([12, 4], encoder="bernouli"), ConfigError,
     "encoder is 'bernouli'; choose bernoulli, poisson, latency, direct (did you mean 'bernoulli'?)"),
    ("readout", lambda: SpikingMLP([12, 4], readout="rates"), ConfigError,
     "readout is 'rates'; choose rate, first-spike, potential, leaky (did you mean 'rate'?)"),
    ("loss", lambda: Backprop("crossentropy"), ConfigError,
     "loss is 'crossentropy'; choose cross_entropy, mse, sse, signed_mse, map, spike_count_mse, "
     "spike_count_cross_entropy, membrane_cross_entropy, max_membrane_cross_entropy, membrane_mse, "
     "first_spike_cross_entropy, first_spike_mse (did you mean 'cross_entropy'?)"),
    ("schedule", lambda: train(schedule="cosin"), ConfigError,
     "schedule is 'cosin'; choose constant, linear, cosine, one-cycle (did you mean 'cosine'?)"),
    ("precision", lambda: train(precision="bf-16"), ConfigError,
     "precision is 'bf-16'; choose fp32, bf16 (did you mean 'bf16'?)"),
    ("device", lambda: train(device="gpu"), ConfigError, "device is 'gpu'; choose auto, cpu, cuda or cuda:N"),
    ("better", lambda: EarlyStopping(better="highest"), ConfigError,
     "better is 'highest'; choose higher, lower (did you mean 'higher'?)"),
    ("monitor", lambda: train(stopping=EarlyStopping(2, "los")), ConfigError,
     "early stopping watches 'los', but the epoch has stage, epoch, updates, seconds, loss (did you mean 'loss'?)"),
    ("data set", lambda: load_data("mnits"), ConfigError,
     "no data set is called 'mnits'; choose mnist, fashion-mnist, cifar10, n-mnist, cifar10-dvs, dvs-gesture, shd "
     "(did you mean 'mnist'?)"),
]  # fmt: skip

TRAINING: list[Row] = [
    ("a model by name", lambda: train("mlp"), ConfigError, "model must be an nn.Module, got str"),
    ("a rule by name", lambda: train(rule="backprop"), ConfigError,
     "rule must be a Rule such as Backprop() or a list of Stages, got 'backprop'"),
    ("no stages", lambda: fit(MLP([12, 4]), [], toy()), ConfigError,
     "rule must be a Rule such as Backprop() or a list of Stages, got []"),
    ("a stage without a rule", lambda: Stage("one", "backprop"), ConfigError,  # type: ignore[arg-type]
     "stage 'one': rule must be a Rule such as Backprop(), got 'backprop'"),
    ("a rule on the wrong model", lambda: train(rule=PerceptronRule()), ConfigError,
     "PerceptronRule needs a model with potentials(), MLP has none"),
    ("a model with nothing to train", lambda: train(nn.Flatten()), ConfigError,
     "Backprop needs a model with parameters to train, Flatten has none that need a gradient"),
    ("cross-entropy of one score", lambda: train(MLP([12, 1]), data=toy(y=Y % 2)), ConfigError,
     "cross_entropy needs at least 2 scores, the model has 1; use 'mse' or 'sse' for one unit"),
    ("targets the wrong way round", lambda: DeltaRule(off=1, on=0), ConfigError,
     "off must be below on, got off=1, on=0"),
    ("epochs of -1", lambda: train(epochs=-1), ConfigError, "epochs must be a whole number of at least 0, got -1"),
    ("epochs of 2.5", lambda: train(epochs=2.5), ConfigError, "epochs must be a whole number of at least 0, got 2.5"),
    ("batches of 0", lambda: train(batch_size=0), ConfigError,
     "batch_size must be a whole number of at least 1, got 0"),
    ("a rate of 0", lambda: train(lr=0), ConfigError, "lr must be a finite number above 0.0, got 0"),
    ("a rate below 0", lambda: train(lr=-1e-3), ConfigError, "lr must be a finite number above 0.0, got -0.001"),
    ("a rate of NaN", lambda: train(lr=torch.nan), ConfigError, "lr must be a finite number above 0.0, got nan"),
    ("a rate in words", lambda: train(lr="0.1"), ConfigError, "lr must be a finite number above 0.0, got '0.1'"),
    ("two rates", lambda: train(lr=0.1, optimizer=optimizer("adam", lr=0.1)), ConfigError,
     "lr is given twice: in the optimizer recipe and as lr=; keep one"),
    ("an optimizer over other parameters", lambda: train(optimizer=torch.optim.SGD(MLP([1, 1]).parameters(), lr=1)),
     ConfigError, "the optimizer object must hold exactly the 2 parameters that are trained: 2 of them are missing, "
                  "and it holds 2 others; build it over those parameters of the trained module that need a gradient"),
    ("an optimizer that is a number", lambda: train(optimizer=3), ConfigError,
     "optimizer must be a name, optimizer(...), a class or object of torch.optim, or a function of the parameters, "
     "got int"),
    ("gradients added up for a rule that moves by itself", lambda: train(rule=PerceptronRule(), accumulate=2),
     ConfigError, "stage 'train': accumulate=2 adds up one gradient per batch, and PerceptronRule makes its own "
     "updates; leave accumulate out and take larger batches"),
    ("an optimizer that needs closures", lambda: train(optimizer=torch.optim.LBFGS), ConfigError,
     "LBFGS evaluates the loss several times per step, which no rule supports; choose another"),
    ("clipping to 0", lambda: train(clip_norm=0), ConfigError, "clip_norm must be a finite number above 0.0, got 0"),
    ("a seed below 0", lambda: train(seed=-1), ConfigError, "seed must be a whole number of at least 0, got -1"),
    ("checkpoints every 0 batches", lambda: train(checkpoint_every=0), ConfigError,
     "checkpoint_every must be a whole number of at least 1, got 0"),
    ("a warm-up of everything", lambda: RateSchedule(warmup=1), ConfigError,
     "warmup must be a finite number at least 0.0 and below 1.0, got 1"),
    ("values from epoch 1 on", lambda: EpochSteps("lr", {1: 0.1}), ConfigError,
     "EpochSteps('lr') needs a value for epoch 0, got {1: 0.1}"),
    ("stopping without validation", lambda: train(stopping=3), ConfigError,
     "early stopping watches 'validation_accuracy', but validation= is missing; pass a Dataset"),
    ("stopping in words", lambda: train(stopping="3"), ConfigError,
     "stopping must be EarlyStopping(...) or its patience in epochs, got '3'"),
    ("no patience", lambda: train(stopping=0, validation=toy()), ConfigError,
     "patience must be a whole number of at least 1, got 0"),
    ("validation by name", lambda: train(validation="mnist"), DataError,
     "validation must be a Dataset, a DataLoader, a torch Dataset, arrays (x, y) or an iterable of batches, got str"),
    ("validation without labels", lambda: train(validation=Dataset(X, name="held")), DataError,
     "held has no labels; evaluate needs them; use Dataset.from_arrays(x, y)"),
    ("a callback that is none", lambda: train(callbacks=[7]), ConfigError,
     "callbacks must have on_step or on_epoch, got 7; see tg.training.Callback"),
    ("data by name", lambda: train(data="mnist"), DataError,
     "data must be a Dataset, a DataLoader, a torch Dataset, arrays (x, y) or an iterable of batches, got str"),
    ("training and test data together", lambda: train(data=Data("toy", toy(), toy())), DataError,
     "data must be a Dataset, a DataLoader, a torch Dataset, arrays (x, y) or an iterable of batches, got Data "
     "(pass data.train)"),
    ("training and test data in evaluation", lambda: evaluate(MLP([12, 10]), Data("toy", toy(), toy())),
     DataError, "data must be one data set, got Data; pass data.test"),
    ("batches of texts", lambda: train(data=[("a", "b")]), DataError,
     "a batch must be a Batch, a tensor, (inputs, targets) or a mapping with 'inputs', got tuple"),
    ("a place of 0", lambda: evaluate(MLP([12, 10]), toy(), top_k=(0,)), ConfigError,
     "top_k must be a whole number of at least 1, got 0"),
    ("a folder that is a file", lambda: train(out=__file__), ConfigError,
     f"{__file__} cannot be a folder: a file has that name; choose another out="),
    ("a folder under a file", lambda: train(out=Path(__file__) / "run"), ConfigError,
     f"{Path(__file__) / 'run'} cannot be a folder: a file has that name; choose another out="),
]  # fmt: skip

TABLE: dict[str, list[Row]] = {
    "values": VALUES, "amounts": AMOUNTS, "shapes": SHAPES, "models": MODELS, "spelling": SPELLING,
    "training": TRAINING,
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [pytest.param(*row[1:], id=f"{part}: {row[0]}") for part, rows in TABLE.items() for row in rows],
)
def test_sentence(call: Callable[[], object], kind: type[ThreegenError], sentence: str) -> None:
    with pytest.raises(ThreegenError) as caught:
        call()
    assert str(caught.value) == sentence
    assert type(caught.value) is kind


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(ConfigError) as caught:
        train(device="cuda")
    assert str(caught.value) == "device is 'cuda', but torch sees no GPU here; use device='cpu' or 'auto'"


def test_nothing_is_lost_by_a_bad_argument(tmp_path: Path) -> None:
    """Even `overwrite=True` drops nothing until the arguments have been looked at."""
    train(out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for settings in (
        {"data": []},
        {"data": toy(X[:0], Y[:0])},
        {"rule": PerceptronRule()},
        {"optimizer": "adma"},
        {"stopping": 3},
        {"precision": "fp16"},
        {"device": "gpu"},
        {"seed": -1},
    ):
        with pytest.raises(ThreegenError):
            train(out=tmp_path, overwrite=True, **settings)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_batch_of_one_is_learnt_from() -> None:
    model = MLP([12, 10], generator=torch.Generator().manual_seed(0))
    before = model.layers.linear1.weight.clone()  # type: ignore[union-attr,operator]
    train(model, data=toy(X[:1], Y[:1]), batch_size=1)
    assert not torch.equal(model.layers.linear1.weight, before)  # type: ignore[arg-type,union-attr]
