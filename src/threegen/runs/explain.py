"""`threegen explain RUN IMAGE --method M`: explain a run, write the picture, return what it shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threegen.checks import did_you_mean, require_choice
from threegen.errors import ConfigError
from threegen.explanations.explain import METHODS, Explainer, explain
from threegen.explanations.maps import Maps, Picture
from threegen.explanations.subject import Subject
from threegen.runs.answer import picture_of
from threegen.runs.run import open_run, picture_file
from threegen.training.persistence.files import make_folder

_WITH_MODIFIER = ("saliency", "gradient-x-input", "smooth-grad", "grad-cam", "grad-cam-plus-plus")
_WITH_LAYER = ("grad-cam", "grad-cam-plus-plus", "guided-grad-cam", "feature-maps", "filters", "spike-activation-maps")
_WITH_DEPTH = ("summary", "diagram")
_OF_THE_NET = ("summary", "diagram", "neurons", "filters", "maximise")
EXPLANATIONS = (
    *(name.replace("_", "-") for name in METHODS),
    "grad-cam-plus-plus",
    "feature-maps",
    "activation-histograms",
    "spike-activation-maps",
    *_OF_THE_NET,
    "check",
)


def explain_run(
    path: str | Path,
    image: str | None = None,
    method: str | None = None,
    *,
    target: str | None = None,
    layer: str | None = None,
    modifier: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    drawing: Mapping[str, Any] | None = None,
    module: str | None = None,
) -> dict[str, Any]:
    """Look inside a run by `method` (one of `EXPLANATIONS`), for one picture if the method needs one.

    The default is saliency, and occlusion for a net whose scores have no gradient by its input.
    `path` is its folder, or the name of a model whose weights ship. `image` is a picture's file or the number of an
    image of its data's test split. `target` is a class by name (the answer by default); `layer`, `modifier` and
    `options` go to the method. `out` names the `.svg`, `.png` or (of heat maps) `.pdf` file, by default RUN/METHOD.svg,
    or NAME-METHOD.svg in the current folder for a model that ships; `drawing` holds `overlay`, `scale`, `bar` and
    `colormap` of heat maps. Returns `name`, `source`, `method`, `file` and, by method, `answer`, `truth`, `target`,
    `scores`, `layer`, `table`. Raises `ConfigError` for unknown names and impossible combinations, `DataError` for a
    file that is not a picture.
    """
    if method is not None:
        require_choice("method", method, EXPLANATIONS)
    run = open_run(path, model=module)
    explainer = explain(run.model, example=torch.full((1, *run.facts["shape"]), 0.5), seed=seed)
    classes = [str(name) for name in run.facts["classes"]]
    found: dict[str, Any] = {"name": run.entry.name, "source": run.source}
    x: Tensor | None = None
    if method not in _OF_THE_NET:
        if image is None:
            raise ConfigError(f"{method or 'an explanation'} needs a picture: a file or the number of a test image")
        picture, truth = picture_of(run, image)
        x = picture[None]
        scores = explainer.subject.scores(x)[0]
        found |= {
            "answer": classes[int(scores.argmax())],
            "truth": truth,
            "scores": dict(zip(classes, scores.tolist(), strict=True)),
        }
        method = method or _default_method(explainer.subject, x)
    found["method"] = method
    index = None if target is None else _class_index(target, classes)
    arguments = _arguments(method, layer, modifier, options)
    result = _call(explainer, method, x, index, arguments)
    if isinstance(result, Maps) and "targets" in result.facts:
        found["target"] = classes[int(result.targets[0])]
        result.labels = (found["target"],)
    if isinstance(result, Maps) and "layer" in result.facts:
        found["layer"] = result.layer
    if hasattr(result, "as_dict"):
        found["table"] = result.as_dict()
        found["text"] = str(result)
    file = Path(out) if out is not None else picture_file(run, f"{method}.svg")
    make_folder(file.parent)
    found["file"] = str(_saved(result, file, method, drawing or {}))
    return found


def _saved(result: Picture, file: Path, method: str | None, drawing: Mapping[str, Any]) -> Path:
    """Write the picture; raise for options of drawing that it does not have."""
    wanted = {name: value for name, value in drawing.items() if value is not None and value is not False}
    if isinstance(result, Maps):
        return result.save(file, **wanted)
    if wanted:
        raise ConfigError(f"{method} is not a heat map; leave out {', '.join(f'--{name}' for name in wanted)}")
    return result.save(file)


def _default_method(subject: Subject, x: Tensor) -> str:
    return "saliency" if subject.works("saliency", x) or not subject.works("occlusion", x) else "occlusion"


def _class_index(target: str, classes: list[str]) -> int:
    if target not in classes:
        raise ConfigError(
            f"target {target!r} is not a class; choose {', '.join(classes)}{did_you_mean(target, classes)}"
        )
    return classes.index(target)


def _arguments(
    method: str, layer: str | None, modifier: str | None, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the options for the method; raise for one that it does not have, rather than drop it."""
    found = dict(options or {})
    if "depth" in found and method not in _WITH_DEPTH:
        raise ConfigError(f"{method} has no depth; these have: {', '.join(_WITH_DEPTH)}")
    for name, value, known in (("layer", layer, _WITH_LAYER), ("modifier", modifier, _WITH_MODIFIER)):
        if value is not None:
            if method not in known:
                raise ConfigError(f"{method} has no {name}; these have: {', '.join(known)}")
            found[name] = value
    return found


def _call(explainer: Explainer, method: str, x: Tensor | None, target: int | None, options: dict[str, Any]) -> Picture:
    name = method.replace("-", "_")
    if target is not None and method in ("summary", "diagram", "neurons", "filters", "feature-maps"):
        raise ConfigError(f"{method} is the same for all classes; leave out the target")
    try:
        if method == "maximise":
            picture: Picture = explainer.maximise(unit=target, **options)
        elif x is None:
            picture = getattr(explainer, name)(**options)
        elif method == "feature-maps":
            layers = [node.label for node in explainer.subject.trace(x).nodes]
            picture = explainer.feature_maps(options.pop("layer", layers[0]), x, **options)
        elif method in ("activation-histograms", "spike-activation-maps"):
            picture = getattr(explainer, name)(x, **options)
        else:
            picture = getattr(explainer, name)(x, target=target, **options)
    except TypeError as problem:
        raise ConfigError(f"{method}: {str(problem).partition('() ')[2] or problem}") from problem
    return picture
