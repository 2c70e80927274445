"""Drawings of recordings: ON and OFF events in two colours as a PNG, and an animation as a GIF."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from threegen.datasets.dataset import Dataset
from threegen.datasets.events.frames import to_frames
from threegen.datasets.events.recordings import EventDataset
from threegen.datasets.events.stream import Array, Events
from threegen.errors import ConfigError
from threegen.gif import animated_gif
from threegen.plots import png

MOST_ROWS = 20
ON, OFF = (217, 114, 46), (22, 66, 122)  # orange and dark blue: distinguishable for the colour-blind too
_FILM_STEPS, _SECONDS = 30, 0.06
_WIDEST = 700  # columns of an animation before enlargement, if one recording is not wider
_PARTS = 10  # parts of a recording; the one with the most events is drawn


def colour_picture(frames: Array) -> Array:
    """Return OFF and ON counts `[2, H, W]` as uint8 `[H, W, 3]`: white without events, full colour from 3 events on."""
    share = np.clip(frames / 3.0, 0.0, 1.0)
    picture = np.full((*frames.shape[1:], 3), 255.0)
    for level, colour in zip(share, (OFF, ON), strict=True):
        picture -= level[..., None] * (255.0 - np.array(colour, np.float64))
    found: Array = np.clip(picture, 0, 255).astype(np.uint8)
    return found


def picture_of_events(events: Events, scale: int = 1) -> bytes:
    """Return a PNG of all events of a recording, `scale` pixels per pixel of the sensor."""
    counts = to_frames(events, 1)[0].numpy()
    return png(colour_picture(counts).repeat(scale, 0).repeat(scale, 1))


def film_of_events(events: Events, steps: int = _FILM_STEPS, scale: int = 4) -> bytes:
    """Return a GIF of `steps` frames: grey without events, white for ON, black for OFF."""
    return animated_gif(_grey(events, steps).repeat(scale, 1).repeat(scale, 2), seconds=_SECONDS)


def _grey(events: Events, steps: int) -> Array:
    frames = to_frames(events, steps).clamp(max=2).numpy()
    return np.asarray((128 + 63 * (frames[:, 1] - frames[:, 0])).clip(0, 255), np.uint8)


def busiest_picture(frames: Array) -> Array:
    """Return the frame of `[T, 2, H, W]` with the most events, coloured: summed over all time, ON and OFF would mix."""
    return colour_picture(frames[frames.sum((1, 2, 3)).argmax()])


def preview_events(part: Dataset, target: Path, per_class: int = 10) -> list[Path]:
    """Draw the first recordings of each class into `target` (PNG) and one of each as an animation (GIF, next to it).

    For each recording, the tenth of its duration with the most events is drawn. Returns both paths. Raises
    `ConfigError` for data that are not recordings.
    """
    if not isinstance(part, EventDataset) or part.targets is None or not len(part):
        raise ConfigError(f"{part.name} holds no recordings")
    height, width = part.store.height, part.store.width
    tall = max(1, 24 // height)  # a cochlea has one row
    rows, films = [], []
    for label in range(min(len(part.classes), MOST_ROWS)):
        places = (part.targets == label).nonzero().ravel()[:per_class]
        row = np.full((height * tall + 2, per_class * (width + 2), 3), 255, np.uint8)
        for column, place in enumerate(places.tolist()):
            picture = busiest_picture(to_frames(part.recording(place), _PARTS).numpy()).repeat(tall, 0)
            row[1 : 1 + height * tall, column * (width + 2) + 1 : column * (width + 2) + 1 + width] = picture
        rows.append(row)
        if len(places):
            films.append(_grey(part.recording(int(places[0])), _FILM_STEPS).repeat(tall, 1))
    scale = max(1, 340 // (per_class * (width + 2)) + 1)
    sheet = np.concatenate(rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(png(sheet.repeat(scale, 0).repeat(scale, 1)))
    film = target.with_suffix(".gif")
    film.write_bytes(animated_gif(_side_by_side(films), seconds=_SECONDS))
    return [target, film]


def _side_by_side(films: list[Array]) -> Array:
    """Return films [T, H, W] of one size in rows of five, wide ones below each other; small ones are enlarged."""
    _, height, width = films[0].shape
    across, scale = max(1, min(5, len(films), _WIDEST // width)), max(1, 64 // max(height, width))
    blank = np.full(films[0].shape, 128, np.uint8)
    films = films + [blank] * (-len(films) % across)
    rows = [np.concatenate(films[n : n + across], 2) for n in range(0, len(films), across)]
    return np.asarray(np.concatenate(rows, 1).repeat(scale, 1).repeat(scale, 2))
