"""`threegen spikes RUN IMAGE`: what happens inside a spiking net while it looks at one picture."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from threegen.checks import require_whole
from threegen.errors import ConfigError
from threegen.functional.decoding import intensity_image
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.encoders import Direct
from threegen.gen3.health import unhealthy_spikes
from threegen.gen3.networks import Record, SpikingNet
from threegen.gif import animated_gif
from threegen.plots import Series, contact_sheet, data_uri, line_chart, raster
from threegen.randomness import make_generator
from threegen.runs.answer import picture_of
from threegen.runs.run import open_run
from threegen.training.evaluate import evaluation_mode
from threegen.training.persistence.files import make_folder, write_whole

ENLARGED = 6  # each pixel of a GIF's picture is drawn as wide as this


def spikes_run(path: str | Path, image: str, out: str | Path, *, seed: int = 0) -> dict[str, Any]:
    """Write what the spiking net of a run does with one picture to `out`: a page (`.html`) or an animation (`.gif`).

    `image` is a file or the number of an image of the test split, `seed` draws the spikes. Returns `name`, `answer`,
    `truth`, `steps`, `layers` (a row each: neurons, spikes, rate, neurons that never fired; none for an input that
    does not spike), `warnings` (layers that are silent or saturated) and `file`.
    Raises `ConfigError` for a run that does not spike or a file of another kind.
    """
    target = Path(out)
    require_whole("seed", seed, least=0)
    if target.suffix not in (".html", ".gif"):
        raise ConfigError(f"spikes are drawn to a .html or a .gif file, got {str(out)!r}")
    run = open_run(path)
    if not isinstance(run.model, SpikingNet | DiehlCook):
        raise ConfigError(f"{run.entry.name} has no spikes to show; choose a run of a spiking net")
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
    if target.suffix == ".gif":
        write_whole(target, _animation(record, picture))
    else:
        title = f"{run.entry.name}: it says {answer}"
        write_whole(target, _page(record, trains, rows, _speakers(run.model, record, classes), classes, title))
    return {
        "name": run.entry.name,
        "answer": answer,
        "truth": truth,
        "steps": len(record.inputs),
        "layers": rows,
        "warnings": unhealthy_spikes(run.model, record.spikes) if isinstance(run.model, SpikingNet) else [],
        "file": str(target),
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
    """Return three neurons of the last layer by name: of the best classes, or, where neurons compete, the winners."""
    if isinstance(model, DiehlCook):
        own = model.assignments.tolist()
        most = record.spikes[-1][:, 0].sum(0).argsort(descending=True, stable=True)[:3].tolist()
        return {f"unit {n + 1}, {classes[own[n]] if own[n] >= 0 else 'no class'}": n for n in most}
    best = record.scores[0].argsort(descending=True)[:3].tolist()
    votes = record.potentials[-1][0, 0].numel() // len(record.scores[0])  # neurons that speak for a class
    return {classes[k]: k * votes for k in best}


def _page(
    record: Record,
    trains: dict[str, Tensor],
    rows: list[dict[str, Any]],
    speakers: dict[str, int],
    classes: list[str],
    title: str,
) -> str:
    seen = intensity_image(record.inputs)[0]
    parts = [f"<h1>{html.escape(title)}</h1>"]
    if seen.dim() == 3 or seen.numel() == 784:
        grey = seen.mean(0) if seen.dim() == 3 else seen.view(28, 28)
        sheet = data_uri(contact_sheet(grey[None].numpy(), scale=4))
        parts.append(
            f'<figure><img alt="spikes of the input, summed" src="{sheet}"><figcaption>input, summed over time'
        )
        parts.append("</figcaption></figure>")
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


def _animation(record: Record, picture: Tensor) -> bytes:
    """Return a GIF: a frame a step, the spikes of the input beside those of the first layer of neurons."""
    frames = []
    height, width = picture.shape[-2:]
    for t in range(len(record.inputs)):
        left = record.inputs[t, 0].reshape(-1, height, width).amax(0).numpy()
        right = _square(cast(np.ndarray[Any, Any], record.spikes[0][t, 0].flatten().numpy()), height)
        gap = np.full((height, 1), 0.5)
        frames.append(np.concatenate([left, gap, right], 1).repeat(ENLARGED, 0).repeat(ENLARGED, 1))
    return animated_gif(np.stack([(255 * frame).astype(np.uint8) for frame in frames]), seconds=0.25)


def _square(values: np.ndarray[Any, Any], height: int) -> np.ndarray[Any, Any]:
    """Return values in rows of a picture of `height`, column by column, the rest dark."""
    width = -(-len(values) // height)
    padded = np.zeros(width * height, values.dtype)
    padded[: len(values)] = values
    return padded.reshape(width, height).T
