"""ONNX files of every model without spikes, computed by onnxruntime: another implementation than torch's and onnx's."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import threegen as tg
from threegen.conversion.onnx import export_onnx
from threegen.errors import ConfigError, MissingExtraError, NumericError, ShapeError
from threegen.registry.entry import all_entries, find_entry

pytest.importorskip("onnx", reason="needs the extra onnx")
pytest.importorskip("onnxscript", reason="needs the extra onnx")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime computes the files")

# Small forms of the registry's models; what is exported is the same code.
OPTIONS: dict[str, dict[str, Any]] = {
    "alexnet": {"width": 0.0625},
    "dbn": {"hidden": [20, 30]},
    "mlp": {"hidden": [16]},
    "rbm-softmax": {"hidden": 20},
    "rnn-rows": {"hidden": 8},
    "lstm-rows": {"hidden": 8},
}
SHAPES = {"rnn-rows": (1, 6, 9), "lstm-rows": (1, 6, 9)}
WITHOUT_SPIKES = [
    entry.name for entry in all_entries().values() if entry.generation < 3 and entry.name != "neocognitron"
]


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def computed(file: Path, inputs: Tensor) -> np.ndarray:
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    scores: np.ndarray = session.run(None, {"inputs": inputs.numpy()})[0]
    return scores


def check(model: nn.Module, file: Path, inputs: Tensor) -> None:
    """The file gives the model's scores, to 1e-5 of the largest one, for another batch than it was made with."""
    model.eval()
    with torch.no_grad():
        wanted = model(inputs).numpy()
    np.testing.assert_allclose(computed(file, inputs), wanted, rtol=0, atol=1e-5 * max(1.0, np.abs(wanted).max()))
    assert np.ptp(wanted) > 0  # scores that are all alike would agree whatever is computed


@pytest.mark.parametrize("name", WITHOUT_SPIKES)
def test_every_model_of_the_registry(name: str, tmp_path: Path, generator: torch.Generator) -> None:
    shape = SHAPES.get(name, (1, 28, 28))
    model = find_entry(name).build(shape, 10, generator, **OPTIONS.get(name, {}))
    with torch.no_grad():
        for parameter in model.parameters():  # nets that start from zero would answer zero
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    training = model.training
    written = export_onnx(model, tmp_path / "net.onnx", example=torch.rand(1, *shape, generator=generator))
    assert (written.shape, model.training) == (shape, training)
    check(model, written.file, torch.rand(5, *shape, generator=generator))


def test_planes_that_were_born_while_a_neocognitron_learnt(tmp_path: Path, generator: torch.Generator) -> None:
    model = tg.Neocognitron2003(3, planes=[4, 5, 6])
    with torch.no_grad():
        for part in model.modules():
            if hasattr(part, "create"):
                part.a.uniform_(0, 1, generator=generator)
                for number in range(part.planes - 1):
                    part.create(number % 3)
    written = export_onnx(model, tmp_path / "net.onnx")
    check(model, written.file, torch.rand(4, 1, 28, 28, generator=generator))


def test_a_belief_net_made_a_perceptron(tmp_path: Path, generator: torch.Generator) -> None:
    net = tg.DBN([12, 8, 9], classes=3, generator=generator).to_mlp()
    written = tg.export_onnx(net, tmp_path / "deep" / "net.onnx")  # the folder is made
    assert written.shape == (12,)
    check(net, written.file, torch.rand(5, 12, generator=generator))
    assert "takes [batch, 12]" in str(written)


class Pooled(nn.Module):
    """Average pooling in every form; torch 2.13's exporter forgets the divisor."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, **self.options).flatten(1)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2, "divisor_override": 1},
        {"kernel_size": (2, 3), "stride": 2, "padding": 1, "divisor_override": 5},
        {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False},
        {"kernel_size": 3, "stride": (2, 1), "ceil_mode": True},
    ],
)
def test_average_pooling(options: dict[str, Any], tmp_path: Path, generator: torch.Generator) -> None:
    model = Pooled(**options)
    written = export_onnx(model, tmp_path / "net.onnx", example=torch.rand(1, 2, 6, 8, generator=generator))
    check(model, written.file, torch.rand(4, 2, 6, 8, generator=generator))


@pytest.mark.parametrize(
    "name", [entry.name for entry in all_entries().values() if entry.generation == 3 and entry.finish is None]
)
def test_nets_that_spike_are_refused(name: str, tmp_path: Path, generator: torch.Generator) -> None:
    events = name == "spiking-events"
    model = find_entry(name).build((6, 2, 34, 34) if events else (1, 28, 28), 10, generator)
    with pytest.raises(ConfigError, match=r"export_nir|draws at random|single spikes"):
        export_onnx(model, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()


class ByTheBatch(nn.Module):
    """Computes something from the number of inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * len(torch.split(x, 1))


class ByTheValues(ByTheBatch):
    """Takes another way by what it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if float(x.sum()) > 0 else self.layer(-x)


def test_what_cannot_be_written_is_refused_and_no_file_is_left(tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    with pytest.raises(ConfigError, match=r"ByTheBatch computes something from the batch size"):
        export_onnx(ByTheBatch(), file)
    with pytest.raises(ConfigError, match=r"torch's exporter cannot write ByTheValues as ONNX: "):
        export_onnx(ByTheValues(), file)
    with pytest.raises(ShapeError, match=r"MLP does not take torch.float32 \[B, 5\]: .* expects \[B, 4\]"):
        export_onnx(tg.MLP([4, 3]), file, example=torch.rand(2, 5))
    with pytest.raises(ShapeError, match=r"takes none of .*give export_onnx an example="):
        export_onnx(nn.Sequential(nn.Flatten(), nn.LayerNorm(7)), file)
    with pytest.raises(ShapeError, match=r"at least one input, got \[0, 4\]"):
        export_onnx(tg.MLP([4, 3]), file, example=torch.rand(0, 4))
    with pytest.raises(ConfigError, match=r"takes a torch\.nn\.Module, got str"):
        export_onnx("net", file)  # type: ignore[arg-type]
    with pytest.raises(NumericError, match="computes other scores"):
        export_onnx(tg.MLP([4, 3]), file, tolerance=1e-12)
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_import = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "onnx":
            raise ImportError(name)
        return true_import(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'pip install "threegen\[onnx\]"'):
        export_onnx(tg.MLP([4, 3]), tmp_path / "net.onnx")
