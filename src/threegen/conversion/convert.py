"""Convert an artificial network to a spiking one, with a report of the accuracy that this costs.

    r(T) = a / lambda - (u(T) - u(0)) / (T lambda)         the rate of a neuron that gets a at every step, reset by
                                                           subtraction; with u(0) = lambda / 2 the count is rounded

Diehl et al., IJCNN 2015; Rueckauer, Lungu, Hu, Pfeiffer and Liu, Frontiers in Neuroscience 11:682 (2017); Sengupta et
al., Frontiers in Neuroscience 13:95 (2019); Li et al., ICML 2021; Bu et al., ICLR 2022. The default goes further: see
`grid`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_number, require_whole
from threegen.conversion.build import build, spread
from threegen.conversion.calibrate import Calibration, Settings
from threegen.conversion.currents import Signal, in_batches
from threegen.conversion.fold import fold
from threegen.conversion.graph import Graph
from threegen.conversion.images import FEW, Images, affordable, gather
from threegen.conversion.judge import Judged, judge
from threegen.conversion.read import read
from threegen.conversion.report import LOST, POOR, ConversionReport
from threegen.conversion.scales import METHODS
from threegen.errors import ConfigError, ShapeError, warn_user
from threegen.gen3.encoders import Bernoulli, Direct, Poisson, make_encoder
from threegen.gen3.spiking_graph import SpikingGraph
from threegen.randomness import make_generator

COMPENSATIONS = {
    "threshold": "thresholds of least squared error at T",
    "bias": "biases moved by the mean error of the summed input",
    "potential": "first potentials moved by the mean error of the counts",
}
LIKES = ("subtract", "zero")


class ConversionWarning(UserWarning):
    """A conversion lost more than it should; the message says where."""


class ConvertedNet(SpikingGraph):
    """A spiking net that `convert` made: an ordinary `SpikingGraph` that carries the `report` of its conversion."""

    report: ConversionReport | None = None


def convert(
    model: nn.Module,
    calibrate: Any,
    *,
    steps: int = 4,
    method: str = "grid",
    refit: bool | None = None,
    percentile: float = 99.9,
    per_channel: bool = True,
    reset: str = "subtract",
    initial: str = "half",
    input: nn.Module | str = "analog",
    readout: str = "potential",
    compensate: str | Iterable[str] = (),
    factor: float = 1.0,
    images: int = 3_000,
    seed: int = 0,
) -> ConvertedNet:
    """Return a spiking copy of an artificial network, with `report`: accuracy against T, and the loss layer by layer.

    The network is read from the calls that it makes, so it may be any `nn.Module` of linear and convolutional layers,
    `relu` in any form, average and maximum pooling, batch normalisation, sums, concatenations and reshapes; an error
    names what cannot be expressed in spikes. The network is not changed. All scales are folded into weights: every
    signal between spiking layers is 0 or 1, or a number of spikes. The result can be run, trained, explained and
    counted like every spiking net of the package.

    Args:
        model: the trained network; it is read in eval mode.
        calibrate: images in the form that the network takes: a Dataset, `Data` (its training part), a DataLoader, a
            tensor [N, ...]. Labels are used only for the report. `images` of them calibrate, up to 1,000 others measure
            the result; neither their order nor their batches change anything.
        steps: T, the number of time steps of the net.
        method: "grid" (thresholds searched with the spikes that really arrive, weights refitted to them: the default),
            or a textbook one: "percentile", "max", "model", "balance", "least-squares" (see `scales`).
        refit: fit the weights of every layer after the first to the signals that arrive; with "grid" by default, but
            not for networks of `StepReLU` with levels and of `SoftLIF`, which were trained for it.
        percentile: the percentile of method "percentile", 0..100.
        per_channel: one threshold per channel; False: one per layer.
        reset: "subtract" the threshold, or to "zero".
        initial: potentials start at "half" a threshold, or "zero" ("grid" finds them itself).
        input: "analog" (the first summed input is computed once), or an encoder: "bernoulli", "poisson".
        readout: "potential", the summed input of the last layer, or "rate".
        compensate: "threshold", "bias", "potential", one or several: corrections of the sampling error with a textbook
            method; the report gives the effect of each.
        factor: the value of a spike relative to its threshold, slightly above 1 to compensate losses (Hu et al. 2018).
        images: how many images calibrate.
        seed: seeds the spikes of an encoder.

    Raises `ConfigError` for impossible options and for what cannot be converted, `DataError` for no images,
    `ShapeError` for images that the network does not take. Warns (`ConversionWarning`) if much was lost.

    Example:
        >>> import torch, threegen as tg
        >>> net = tg.MLP([784, 32, 10], generator=torch.Generator().manual_seed(0))
        >>> spiking = tg.convert(net, torch.rand(300, 784), steps=8)
        >>> spiking(torch.rand(2, 784)).shape
        torch.Size([2, 10])
    """
    settings = _settings(method, refit, steps, percentile, per_channel, reset, initial, readout, compensate, factor)
    encoder = Direct() if input == "analog" else make_encoder(input)
    found = gather(calibrate, require_whole("images", images))
    x = _as_model(model, found.calibrate)
    notes = _notes(model, found)
    graph = read(model, x[:64])
    fold(graph, isinstance(encoder, Direct))
    if refit is None and any(op.levels is not None or op.rate is not None for op in graph.ops.values()):
        settings = replace(settings, refit=False)  # trained for it: the weights already fit
    notes += graph.notes
    largest = max(torch.Size(op.shape).numel() for op in graph.ops.values())
    count = affordable(largest, settings.steps, len(x))
    if count < len(x):
        notes.append(f"calibrated on {count:,} images: the activations of more do not fit into memory")
    net, calibration = _converted(graph, x[:count], encoder, settings, seed)
    judges = _as_model(model, found.judge)
    outcome = judge(graph, net, judges, found.labels, calibration.scales, seed)
    effects = _effects(graph, x[:count], judges, encoder, settings, seed, outcome)
    net.report = _report(net, settings, count, found, outcome, calibration, effects, notes)
    for sentence in net.report.warnings:
        warn_user(sentence, ConversionWarning)
    return net


def _settings(
    method: str,
    refit: bool | None,
    steps: int,
    percentile: float,
    per_channel: bool,
    reset: str,
    initial: str,
    readout: str,
    compensate: str | Iterable[str],
    factor: float,
) -> Settings:
    require_choice("method", method, METHODS)
    asked = [compensate] if isinstance(compensate, str) else list(compensate)
    for one in asked:
        require_choice("compensate", one, COMPENSATIONS)
    if method == "grid" and asked:
        raise ConfigError(
            f'method="grid" already fits thresholds, initial potentials and weights; compensate={asked} is for the '
            'textbook methods, such as method="percentile"'
        )
    if "threshold" in asked and method == "model":
        raise ConfigError(
            'compensate="threshold" needs activations, which method="model" does not record; use method="percentile"'
        )
    if method == "grid" and factor != 1.0:
        raise ConfigError(
            f'method="grid" finds the value of a spike itself; factor={factor} is for the textbook methods'
        )
    return Settings(
        steps=require_whole("steps", steps),
        method=method,
        refit=method == "grid" if refit is None else bool(refit),
        percentile=require_number("percentile", percentile, above=0.0, most=100.0),
        per_channel=bool(per_channel),
        reset={"subtract": "soft", "zero": "hard"}[require_choice("reset", reset, LIKES)],
        initial=require_choice("initial", initial, ("half", "zero")),
        readout=require_choice("readout", readout, ("potential", "rate")),
        compensate=frozenset(asked),
        factor=require_number("factor", factor, above=0.0),
    )


def _as_model(model: nn.Module, x: Tensor) -> Tensor:
    """Return images in the type and on the device of the network; raises `ShapeError` for what is not an image."""
    weight = next((one for one in model.parameters() if one.is_floating_point()), None)
    if not x.is_floating_point():
        raise ShapeError(
            f"calibrate holds {x.dtype}, convert needs floating-point values as the network takes them; "
            f"use x.float() / 255"
        )
    if weight is not None and weight.device.type != "cpu":
        raise ConfigError(f"convert works on the CPU, the network is on {weight.device}; convert a copy: model.cpu()")
    if weight is not None and weight.dtype != torch.float32:
        raise ConfigError(f"convert works in float32, the network is {weight.dtype}; convert a copy: model.float()")
    return x.float()


def _converted(
    graph: Graph, x: Tensor, encoder: nn.Module, settings: Settings, seed: int
) -> tuple[ConvertedNet, Calibration]:
    """Return the spiking net of a graph, and how it was calibrated."""
    given, worth = _encoded(x, encoder, settings.steps, seed)
    own = graph.copied()
    calibration = Calibration(
        graph, own, settings, Signal(given, spread(torch.full((x.shape[1],), worth), x.shape[1:])), x
    )
    calibration.run()
    plain = build(
        own,
        calibration.scales,
        steps=settings.steps,
        encoder=copy.deepcopy(encoder),
        readout=settings.readout,
        reset=settings.reset,
        input_scale=worth,
    )
    net = ConvertedNet(
        plain.layers, shape=plain.shape, steps=plain.steps, encoder=plain.encoder, readout=settings.readout
    )
    net.load_state_dict(plain.state_dict())
    return net.eval(), calibration


def _encoded(x: Tensor, encoder: nn.Module, steps: int, seed: int) -> tuple[Tensor, float]:
    """Return the output of the encoder for images [N, ...], [T or 1, N, ...], and the value of one of its spikes."""
    if isinstance(encoder, Direct):
        return x[None], 1.0
    if not isinstance(encoder, Bernoulli | Poisson):
        raise ConfigError(
            f'input must be "analog", "bernoulli" or "poisson", whose spikes come at a rate, got '
            f"{type(encoder).__name__}"
        )
    generator = make_generator(seed, "convert", "input")
    spikes = in_batches(
        len(x), lambda start, stop: encoder(x[start:stop], steps, generator).to(torch.uint8).transpose(0, 1)
    )
    return spikes.transpose(0, 1), 1.0 / encoder.rate if isinstance(encoder, Poisson) else 1.0


def _notes(model: nn.Module, found: Images) -> list[str]:
    notes = []
    if model.training:
        notes.append("the network was in training mode: it was read in eval mode, in which it answers after training")
    if found.classes is not None and len(found.classes) > 1 and bool((found.classes == found.classes[0]).all()):
        notes.append(
            f"all calibration images are of class {int(found.classes[0])}: channels that respond to other classes "
            f"never fired; calibrate with images of all classes"
        )
    if len(found.calibrate) < FEW:
        notes.append(f"{len(found.calibrate)} images are few for calibration; give {FEW} or more, best 3,000")
    if not found.apart:
        notes.append("there were too few images to hold some out: the result is measured on the calibration images")
    return notes


def _effects(
    graph: Graph, x: Tensor, judges: Tensor, encoder: nn.Module, settings: Settings, seed: int, outcome: Judged
) -> list[tuple[str, float]]:
    """Return the agreement after all steps without corrections, and with the requested ones added one after another."""
    if not settings.compensate:
        return []
    asked = [name for name in COMPENSATIONS if name in settings.compensate]
    effects = []
    for number in range(len(asked)):
        fewer = replace(settings, compensate=frozenset(asked[:number]))
        net, calibration = _converted(graph, x, encoder, fewer, seed)
        share = judge(graph, net, judges, None, calibration.scales, seed, layers=False).curve[-1].agreement
        effects.append((f"with {COMPENSATIONS[asked[number - 1]]}" if number else "without corrections", share))
    effects.append((f"with {COMPENSATIONS[asked[-1]]}", outcome.curve[-1].agreement))
    return effects


def _report(
    net: ConvertedNet,
    settings: Settings,
    count: int,
    found: Images,
    outcome: Judged,
    calibration: Calibration,
    effects: list[tuple[str, float]],
    notes: list[str],
) -> ConversionReport:
    rows = calibration.rows
    for row, lost in zip(rows, outcome.lost, strict=True):
        row.loses = lost
    notes += [
        f"{row.name}: its rectifier never fires on the calibration images; its neurons stay silent"
        if row.silent == 1.0
        else f"{row.name}: {row.silent:.0%} of its channels never fire on the calibration images"
        for row in rows
        if row.silent > 0.25
    ]
    sentences = [
        f"convert: the rates of {row.name} follow the network's activations poorly (correlation "
        f"{row.correlation:.2f}); "
        "more steps, or more calibration images, help"
        for row in rows
        if row.correlation < POOR and row.silent < 1.0
    ]
    if outcome.curve[-1].agreement < 1 - LOST:
        worst = max(rows, key=lambda row: row.loses or 0.0, default=None)
        where = "" if worst is None or not worst.loses else f"; most is lost in {worst.name}"
        sentences.append(
            f"convert: after {settings.steps} steps {1 - outcome.curve[-1].agreement:.1%} of the answers differ from "
            f"those of the network{where}"
        )
    return ConversionReport(
        method=settings.method + (", refitted" if settings.refit else ""),
        steps=settings.steps,
        readout=settings.readout,
        spike="0 or 1",
        calibrated=count,
        judged=len(found.judge),
        apart=found.apart,
        curve=outcome.curve,
        layers=rows,
        ann_accuracy=outcome.ann_accuracy,
        compensation=effects,
        notes=notes,
        warnings=sentences,
    )
