"""Models without spikes as ONNX files, written by torch's exporter and verified by running them.

ONNX (Open Neural Network Exchange, https://onnx.ai) is a graph of operators on tensors. It has no spiking neuron and no
random draw: nets that spike are written as NIR (`nir_write`), nets that draw are rejected. Every file is run before it
is written, because the exporter can silently leave things out: for example, torch 2.13 drops the `divisor_override` of
average pooling, which LeNet-5 needs (corrected here), and it may fix the batch to the size of the example.
"""

from __future__ import annotations

import copy
import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_finite, require_number
from threegen.errors import ConfigError, MissingExtraError, NumericError, ShapeError
from threegen.gen3.networks import SpikingNet
from threegen.gen3.ordered_conv import OrderedConv
from threegen.gen3.parts import is_whole
from threegen.tracing.untouched import takes_generator
from threegen.training.persistence.files import make_folder, write_whole

TOLERANCE = 1e-5  # of the largest score, or of 1 where all scores are smaller
LOUD = ("torch.onnx", "torch.export", "torch.fx.experimental.symbolic_shapes")
BATCHES = (2, 3)  # the example's, and the one that the file is verified with


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """The result of `export_onnx`: the file, its inputs [batch, ...], and how far its scores are from the model's.

    `difference` is the largest absolute difference of a score on `examples` random inputs, computed by onnx's reference
    implementation, relative to the largest score (to 1 where that is smaller).
    """

    file: Path
    shape: tuple[int, ...]
    opset: int
    difference: float
    examples: int

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "file": str(self.file), "shape": list(self.shape)}

    def __str__(self) -> str:
        taken = ", ".join(("batch", *map(str, self.shape)))
        return f"{self.file}: ONNX, opset {self.opset}, takes [{taken}]; scores differ by {self.difference:.1e}"


def export_onnx(
    model: nn.Module, file: str | os.PathLike[str], *, example: Tensor | None = None, tolerance: float = TOLERANCE
) -> OnnxFile:
    """Write a model without spikes as an ONNX file with a free batch axis; return what was written.

    The input is called "inputs", the output "scores". `example` [B, ...] is an input of the model, in its type; None
    tries images [B, 1, 28, 28] and the input shape of the first layer with weights. The file holds the model in eval
    mode; it is first run with another batch size, and is not written if a score differs by more than `tolerance`.

    Raises `ConfigError` for models that spike or draw and for those that torch's exporter cannot write, `ShapeError`
    for an example that the model does not take, `NumericError` if the file computes something else, `MissingExtraError`
    without `pip install "threegen[onnx]"`.

        >>> import threegen as tg
        >>> print(tg.export_onnx(tg.MLP([784, 16, 10]), "/tmp/mlp.onnx").shape)
        (1, 28, 28)
    """
    onnx = _require_onnx()
    require_number("tolerance", tolerance, above=0.0)
    _refuse(model)
    plain = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    given = _example(plain, example)
    content = _content(plain, given)
    opset = next(one.version for one in content.opset_import if not one.domain)
    difference = _difference(onnx, content, plain, given)
    if not difference <= tolerance:
        raise NumericError(
            f"the ONNX file of {type(model).__name__} computes other scores (by {difference:.2e} of the largest one, "
            f"more than the tolerance {tolerance:g}), so it was not written; torch's exporter silently leaves out what "
            f"it does not support: replace the unsupported layer, or raise tolerance"
        )
    path = Path(file)
    make_folder(path.parent)
    write_whole(path, content.SerializeToString())
    return OnnxFile(path, tuple(given.shape[1:]), opset, difference, BATCHES[1])


def _require_onnx() -> Any:
    try:
        import onnx
        import onnx.reference
        import onnxscript  # noqa: F401  # torch's exporter requires it
    except ImportError as problem:
        raise MissingExtraError.of("an ONNX file", "onnx and onnxscript", "onnx") from problem
    return onnx


def _refuse(model: nn.Module) -> None:
    """Raise `ConfigError` for models that ONNX has no operators for."""
    if not isinstance(model, nn.Module):
        raise ConfigError(f"export_onnx takes a torch.nn.Module, got {type(model).__name__}")
    name = type(model).__name__
    inside = next((type(part).__name__ for part in model.modules() if is_whole(part)), None)
    if isinstance(model, SpikingNet) or inside:
        raise ConfigError(
            f"{name} sends spikes{f' ({inside})' if inside else ''}: ONNX has no neuron that keeps a potential; "
            "write it as NIR: export_nir(model, file)"
        )
    if any(isinstance(part, OrderedConv) for part in model.modules()):
        raise ConfigError(f"{name} sends single spikes in the order of their times: ONNX has no such layer")
    if takes_generator(model):
        raise ConfigError(f"{name} draws at random in its forward pass; ONNX files are deterministic")
    if any(one.is_meta for one in model.parameters()):
        raise ConfigError(f"{name} is on the device meta and has no weights to write; move it first")


def _counters(model: nn.Module) -> list[tuple[nn.Module, str, int]]:
    """Return the buffers that hold one whole number, such as the number of planes of a neocognitron."""
    return [
        (module, name, int(buffer))
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and buffer.dim() == 0 and not buffer.is_floating_point()
    ]


def _example(model: nn.Module, example: Tensor | None) -> Tensor:
    """Return random inputs [B, ...] of the type and shape that `model` takes; raises `ShapeError`."""
    weight = next(model.parameters(), None)
    kind = torch.float32 if weight is None else weight.dtype
    if example is not None:
        require_finite("example", example)
        if example.dim() < 2 or len(example) == 0:
            raise ShapeError(f"example must be [B, ...] with at least one input, got {list(example.shape)}")
        shapes, kind = [tuple(example.shape[1:])], example.dtype
    else:
        shapes = _guesses(model)
    generator = torch.Generator().manual_seed(0)
    for shape in shapes:
        inputs = torch.rand(max(BATCHES), *shape, generator=generator).to(kind)
        try:
            with torch.no_grad():
                model(inputs)
        except (RuntimeError, ValueError, IndexError, TypeError) as problem:
            reason = str(problem)
        else:
            return inputs
    if example is not None:
        raise ShapeError(f"{type(model).__name__} does not take {kind} [B, {', '.join(map(str, shapes[0]))}]: {reason}")
    tried = ", ".join(str(["B", *shape]) for shape in shapes)
    raise ShapeError(f"{type(model).__name__} takes none of {tried}; give export_onnx an example=: inputs [B, ...]")


def _guesses(model: nn.Module) -> list[tuple[int, ...]]:
    """Return possible input shapes: MNIST's images, then the features or planes of the first layer with weights."""
    shapes: list[tuple[int, ...]] = [(1, 28, 28)]
    for part in model.modules():
        if isinstance(part, nn.Linear):
            return [*shapes, (part.in_features,)]
        if isinstance(part, nn.Conv2d):
            return [*shapes, *((part.in_channels, side, side) for side in (28, 32, 224, 227))]
        if isinstance(part, nn.RNNBase):
            return [*shapes, (28, part.input_size)]
    return shapes


def _content(model: nn.Module, inputs: Tensor) -> Any:
    """Return the ONNX model as torch's exporter makes it; raises `ConfigError` if it cannot.

    The exporter does not know the values of buffers; a net that reads its counters is tried again with numbers instead.
    """
    counters = _counters(model)
    try:
        return _exported(model, inputs)
    except ConfigError:
        if not counters:
            raise
    for module, name, number in counters:
        del module._buffers[name]
        setattr(module, name, number)
    return _exported(model, inputs)


def _exported(model: nn.Module, inputs: Tensor) -> Any:
    batch = torch.export.Dim("batch")
    with _quiet():
        try:
            program = torch.onnx.export(
                model,
                (inputs[: BATCHES[0]],),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=["inputs"],
                output_names=["scores"],
                custom_translation_table=_translations(),
                verbose=False,
            )
        except Exception as problem:
            cause = problem.__cause__ or problem
            lines = [line for line in str(cause).splitlines() if line.strip()]
            raise ConfigError(
                f"torch's exporter cannot write {type(model).__name__} as ONNX: {lines[0] if lines else cause!r}"
            ) from problem
    content = program.model_proto if program is not None else None
    if content is None or not content.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ConfigError(
            f"{type(model).__name__} computes something from the batch size, so that torch's exporter would fix the "
            f"batch to {BATCHES[0]}; make forward independent of the batch size"
        )
    return content


def _translations() -> dict[Any, Any]:
    """Return the operators that torch's exporter translates wrongly, and their translations."""
    from onnxscript import opset18 as op

    def average(
        x: Any,
        kernel_size: Any,
        stride: Any = (),
        padding: Any = (0, 0),
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Any:
        kernel, pads = _pair(kernel_size), _pair(padding)
        mean: Any = op.AveragePool(
            x,
            ceil_mode=int(ceil_mode),
            count_include_pad=int(count_include_pad or divisor_override is not None),
            kernel_shape=kernel,
            pads=pads * 2,
            strides=_pair(stride) if stride else kernel,
        )
        if divisor_override is None:
            return mean
        factor: Any = op.Constant(value_float=kernel[0] * kernel[1] / divisor_override)
        return op.Mul(mean, op.CastLike(factor, mean))

    return {torch.ops.aten.avg_pool2d.default: average}


def _pair(value: Any) -> list[int]:
    """Return a height and a width."""
    both = [int(one) for one in value] if isinstance(value, list | tuple) else [int(value)]
    return both * 2 if len(both) == 1 else both


def _difference(onnx: Any, content: Any, model: nn.Module, inputs: Tensor) -> float:
    """Return the largest difference of a score between file and model, relative to the largest score."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        computed = onnx.reference.ReferenceEvaluator(content).run(None, {"inputs": inputs.numpy()})
    with torch.no_grad():
        wanted = model(inputs)
    worst = 0.0
    for ours, theirs in zip([wanted] if isinstance(wanted, Tensor) else list(wanted), computed, strict=True):
        if ours.numel():
            largest = max(1.0, float(ours.abs().max()))
            worst = max(worst, float((ours.double() - torch.as_tensor(theirs).double()).abs().max()) / largest)
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the warnings, logs and prints of torch's exporter, which concern its internals."""
    levels = {name: logging.getLogger(name).level for name in LOUD}
    try:
        for name in LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
