"""`threegen spikes RUN IMAGE|RECORDING`: the activity inside a spiking net for one input."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.datasets.events.preview import busiest_picture
from threegen.errors import ConfigError
from threegen.functional.decoding import intensity_image
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.encoders import Direct
from threegen.gen3.health import unhealthy_spikes
from threegen.gen3.networks import Record, SpikingNet
from threegen.gif import animated_gif
from threegen.plots import Series, contact_sheet, data_uri, line_chart, png, raster
from threegen.randomness import make_generator
from threegen.runs.answer import picture_of
from threegen.runs.run import open_run, picture_file
from threegen.training.evaluate import evaluation_mode
from threegen.training.persistence.files import make_folder, write_whole

ENLARGED = 6  # width of each pixel in a GIF


def spikes_run(path: str | Path, image: str, out: str | Path | None = None, *, seed: int = 0) -> dict[str, Any]:
    """Write the activity of a run's spiking net for one picture or recording to `out`, `.html` or `.gif`.

    The animation of a page is written next to it, with the ending `.gif`; for a `.gif` only the animation is written.
    `path` is a run's folder, or the name of a model whose weights ship; `out` is RUN/spikes.html by default, or
    NAME-spikes.html in the current folder for a model that ships.

    `image` is a file (a picture; a recording for a run on event data) or the number of an example of the test split,
    `seed` draws the spikes. Returns `name`, `source`, `answer`, `truth`, `steps`, `layers` (one row each: neurons,
    spikes, rate, neurons that never fired; none for an input that does not spike), `warnings` (layers that are silent
    or saturated), `file` and `animation`. Raises `ConfigError` for a run that does not spike or a file of another kind.
    """
    require_whole("seed", seed, least=0)
    if out is not None and Path(out).suffix not in (".html", ".gif"):
        raise ConfigError(f"spikes are drawn to a .html or a .gif file, got {str(out)!r}")
    run = open_run(path)
    if not isinstance(run.model, SpikingNet | DiehlCook):
        raise ConfigError(f"{run.entry.name} has no spikes to show; choose a run of a spiking net")
    target = picture_file(run, "spikes.html") if out is None else Path(out)
    picture, truth = picture_of(run, image)
    classes = [str(name) for name in run.facts["classes"]]
    with evaluation_mode(run.model), torch.no_grad():
        record = run.model.run(picture[None], generator=make_generator(seed, "spikes"))
    answer = classes[int(record.scores[0].argmax())]
    trains = {} if isinstance(getattr(run.model, "encoder", None), Direct) else {"input": record.inputs}
    for number, spikes in enumerate(record.spikes):
        trains["output" if number == len(record.spikes) - 1 else f"layer {number + 1}"] = spikes
    rows = [_layer_row(name, spikes) for name, spikes in trains.items()]
    make_folder(target.parent)
    film = target.with_suffix(".gif")
    write_whole(film, _animation(record, picture))
    if target.suffix == ".html":
        title = f"{run.entry.name}: it says {answer}"
        write_whole(target, _page(record, picture, trains, rows, _speakers(run.model, record, classes), classes, title))
    return {
        "name": run.entry.name,
        "source": run.source,
        "answer": answer,
        "truth": truth,
        "steps": len(record.inputs),
        "layers": rows,
        "warnings": unhealthy_spikes(run.model, record.spikes) if isinstance(run.model, SpikingNet) else [],
        "file": str(target),
        "animation": str(film),
    }


def _layer_row(name: str, spikes: Tensor) -> dict[str, Any]:
    fired = _flat(spikes)
    return {
        "layer": name,
        "neurons": fired.shape[1],
        "spikes": int(fired.sum()),
        "rate": float(fired.mean()),
        "silent": int((fired.sum(0) == 0).sum()),
    }


def _flat(train: Tensor) -> Tensor:
    """Return the only example of [T, 1, ...] as [T, N]."""
    return train[:, 0].flatten(1)


def _speakers(model: SpikingNet | DiehlCook, record: Record, classes: list[str]) -> dict[str, int]:
    """Return three neurons of the last layer by name: of the best classes, or, if neurons compete, the winners."""
    if isinstance(model, DiehlCook):
        own = model.assignments.tolist()
        most = record.spikes[-1][:, 0].sum(0).argsort(descending=True, stable=True)[:3].tolist()
        return {f"unit {n + 1}, {classes[own[n]] if own[n] >= 0 else 'no class'}": n for n in most}
    best = record.scores[0].argsort(descending=True)[:3].tolist()
    votes = record.potentials[-1][0, 0].numel() // len(record.scores[0])  # neurons per class
    return {classes[k]: k * votes for k in best}


def _page(
    record: Record,
    picture: Tensor,
    trains: dict[str, Tensor],
    rows: list[dict[str, Any]],
    speakers: dict[str, int],
    classes: list[str],
    title: str,
) -> str:
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if (sheet := _input_picture(record, picture)) is not None:
        events = picture.dim() == 4
        words = "the time step with the most events, ON orange and OFF blue" if events else "input, summed over time"
        image = f'<img alt="the input" src="{data_uri(sheet)}">'
        parts.append(f"<figure>{image}<figcaption>{words}</figcaption></figure>")
    cells = "".join(
        f"<tr><td>{row['layer']}</td><td>{row['neurons']:,}</td><td>{row['spikes']:,}</td>"
        f"<td>{row['rate']:.1%}</td><td>{row['silent']:,}</td></tr>"
        for row in rows
    )
    parts.append(f"<table><tr><th>layer<th>neurons<th>spikes<th>rate<th>silent</tr>{cells}</table>")
    for row, spikes in zip(rows, trains.values(), strict=True):
        labels = classes if row["layer"] == "output" and len(classes) == row["neurons"] else ()
        drawn = raster((_flat(spikes) > 0).numpy(), title=f"spikes of {row['layer']}", labels=labels)
        parts.append(f"<h2>{row['layer']}</h2>{drawn}")
    potentials = _flat(record.potentials[-1]).numpy()
    steps = list(range(1, len(potentials) + 1))
    lines = [Series(name, steps, [float(u) for u in potentials[:, n]]) for name, n in speakers.items()]
    parts.append("<h2>potentials of the three best classes</h2>")
    parts.append(line_chart(lines, title="membrane potentials of the output", x_label="time step"))
    style = "body{font-family:sans-serif;max-width:50em;margin:2em auto}td,th{padding:.2em 1em;text-align:right}"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    return f"{head}<style>{style}</style><body>{''.join(parts)}</body></html>"


def _input_picture(record: Record, picture: Tensor) -> bytes | None:
    """Return a PNG of the input: an image summed over time, or one step of a recording; None if it is not a picture."""
    if picture.dim() == 4:
        most = picture.max().clamp(1, 3)  # counts of 3 and more are drawn in full colour
        return png(busiest_picture((3 * picture / most).numpy()).repeat(ENLARGED, 0).repeat(ENLARGED, 1))
    seen = intensity_image(record.inputs)[0]
    if seen.dim() != 3 and seen.numel() != 784:
        return None
    grey = seen.mean(0) if seen.dim() == 3 else seen.view(28, 28)
    return contact_sheet(grey[None].numpy(), scale=4)


def _animation(record: Record, picture: Tensor) -> bytes:
    """Return a GIF: one frame per step, the spikes of the input beside those of the first layer of neurons.

    Frames of events are grey, ON white and OFF black.
    """
    frames = []
    height = picture.shape[-2]
    for t in range(len(record.inputs)):
        left = _one_step(record.inputs[t, 0], picture)
        right = _square(cast(np.ndarray[Any, Any], record.spikes[0][t, 0].flatten().numpy()), height)
        gap = np.full((height, 1), 0.5)
        frames.append(np.concatenate([left, gap, right], 1).repeat(ENLARGED, 0).repeat(ENLARGED, 1))
    return animated_gif(np.stack([(255 * frame).astype(np.uint8) for frame in frames]), seconds=0.25)


def _one_step(inputs: Tensor, picture: Tensor) -> np.ndarray[Any, Any]:
    """Return the input of a time step as a picture [H, W] in 0..1."""
    planes = inputs.reshape(-1, *picture.shape[-2:])
    if picture.dim() == 4:
        balance = planes[1].clamp(max=1) - planes[0].clamp(max=1)
        return np.asarray(((balance + 1) / 2).numpy())
    return np.asarray(planes.amax(0).clamp(max=1).numpy())


def _square(values: np.ndarray[Any, Any], height: int) -> np.ndarray[Any, Any]:
    """Return values in rows of a picture of `height`, column by column, the rest dark."""
    width = -(-len(values) // height)
    padded = np.zeros(width * height, values.dtype)
    padded[: len(values)] = values
    return padded.reshape(width, height).T
