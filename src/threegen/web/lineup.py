"""The models of the live page: who they are, and the lock under which each of them works."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from threegen.checks import did_you_mean
from threegen.errors import ConfigError
from threegen.gen3.diehl_cook import DiehlCook
from threegen.gen3.mozafari import Mozafari2019
from threegen.gen3.networks import SpikingNet
from threegen.randomness import make_generator
from threegen.registry.entry import Entry, find_entry
from threegen.runs.pretrained import pretrained, pretrained_models
from threegen.runs.run import open_run
from threegen.tracing.inputs import answer as answer_of_model
from threegen.web.camera import BehindCamera, behind_camera, reads_recordings_of_digits
from threegen.web.single_spikes import plain_scores

CLASSES = 10


@dataclass
class PageModel:
    """One card of the page.

    `accuracy` is a fraction of `tested` unseen images, None until it has been measured. `temperature` divides the
    scores before the softmax that gives the confidence; None means 1, until one is fitted. `lock` is held while the
    network works: the network may be hooked or changed for one answer and is restored afterwards.
    """

    name: str
    entry: Entry
    model: nn.Module
    accuracy: float | None = None
    tested: int = 0
    steps: int | None = None
    temperature: float | None = None
    own: bool = False
    plain: bool = False  # whether it answers without compiled kernels, which are not ready yet
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    known: dict[str, Any] = field(default_factory=dict, repr=False)  # results that depend on the weights alone

    @property
    def spiking(self) -> bool:
        """Whether the network sends spikes over time steps, which can be shown one by one."""
        return isinstance(self.model, SpikingNet | DiehlCook | Mozafari2019)

    @property
    def takes_long(self) -> bool:
        """Whether an answer takes so long that fewer images must do for a measurement."""
        return not isinstance(self.model, SpikingNet) or isinstance(self.model, BehindCamera)

    def scores(self, images: Tensor, seed: int = 0) -> Tensor:
        """Return the scores [B, K] of images [B, 1, 28, 28]; `seed` draws the spikes. The caller holds the lock."""
        generator = make_generator(seed, "page")
        with torch.no_grad():
            if self.plain and isinstance(self.model, SpikingNet | DiehlCook):
                return self.model.run(images, generator=generator).scores.float()
            if self.plain and isinstance(self.model, Mozafari2019):
                return plain_scores(self.model, images)
            found: Tensor = answer_of_model(self.model, images, generator)
        return found.float()

    def shares(self, scores: Tensor) -> Tensor:
        """Return scores [..., K] as the share of each class: the confidence that the page shows."""
        return (scores / (self.temperature or 1.0)).softmax(-1)

    def describe(self) -> dict[str, Any]:
        """Return the facts that the page shows on the card."""
        entry = self.entry
        return {
            "name": self.name,
            "title": entry.title,
            "generation": entry.generation,
            "year": entry.year,
            "rule": entry.rule_name,
            "about": entry.about,
            "paper": entry.paper,
            "accuracy": self.accuracy,
            "tested": self.tested,
            "steps": self.steps,
            "spiking": self.spiking,
            "own": self.own,
            "camera": _camera(self.model),
            "parameters": sum(one.numel() for one in self.model.parameters()),
        }


def models_for_page(names: Sequence[str] = (), runs: Sequence[str | Path] = ()) -> list[PageModel]:
    """Return the models of the page, oldest generation first: those that ship (`names`, all by default) and `runs`.

    Raises `ConfigError` for a name that does not ship or a run that does not classify digits, and what `open_run`
    raises.
    """
    shipped = {name: facts for name, facts in pretrained_models().items() if _reads_digits(facts)}
    for name in names:
        if name not in shipped:
            known = ", ".join(shipped)
            raise ConfigError(f"no model {name!r} ships; choose {known}{did_you_mean(name, shipped)}")
    found = [_shipped(name, facts) for name, facts in shipped.items() if not names or name in names]
    found += [_from_run(path) for path in runs]
    found.sort(key=lambda one: (one.entry.generation, one.entry.year, one.name))
    return found


def _reads_digits(facts: Mapping[str, Any]) -> bool:
    digits = [str(digit) for digit in range(CLASSES)]
    seen = tuple(facts["shape"]) == (1, 28, 28) or reads_recordings_of_digits(facts)
    return seen and [str(name) for name in facts["classes"]] == digits


def for_drawings(model: nn.Module, facts: Mapping[str, Any]) -> nn.Module:
    """Return a network that takes drawings: a net for recordings is put behind the simulated camera."""
    return behind_camera(model, facts) if reads_recordings_of_digits(facts) else model


def _camera(model: nn.Module) -> dict[str, Any] | None:
    """Return the facts of the camera that records drawings for a network, if there is one."""
    if not isinstance(model, BehindCamera):
        return None
    return {"planes": list(model.planes), "milliseconds": model.lasts}


def _shipped(name: str, facts: Mapping[str, Any]) -> PageModel:
    entry = find_entry(facts["entry"])
    told = {"title": facts["title"], "year": facts["year"], "rule_name": facts["rule"], "paper": facts["paper"]}
    entry = replace(entry, generation=facts["generation"], **told)
    known = {"accuracy": facts["accuracy"], "tested": facts["count"], "temperature": facts.get("temperature")}
    return page_model(entry, for_drawings(pretrained(name), facts), name=name, **known)


def _from_run(path: str | Path) -> PageModel:
    run = open_run(path)
    if not _reads_digits(run.facts):
        raise ConfigError(
            f"{path} takes {list(run.facts['shape'])} and has the classes "
            f"{', '.join(map(str, run.facts['classes'][:3]))} ...; "
            "the page shows models that read digits of 28 x 28 pixels"
        )
    name = Path(path).name
    if name in pretrained_models():
        name = f"{name}-own"
    return page_model(run.entry, for_drawings(run.model, run.facts), name=name, own=True)


def page_model(entry: Entry, model: nn.Module, *, name: str = "", **facts: Any) -> PageModel:
    """Return a network as the page keeps it: in eval mode, without gradients of its own."""
    model.eval()
    steps = getattr(model, "steps", None)
    if isinstance(model, DiehlCook):
        steps = model.variant.steps
    found = PageModel(name or entry.name, entry, model, steps=None if steps is None else int(steps), **facts)
    found.plain = found.spiking
    return found


def warm_up(member: PageModel) -> None:
    """Switch a spiking network to its compiled kernels; the very first start compiles them here.

    A copy is used for that, so that the network meanwhile keeps answering without them.
    """
    if not member.plain:
        return
    with member.lock:
        twin = PageModel(member.name, member.entry, copy.deepcopy(member.model))
    twin.scores(torch.zeros(1, 1, 28, 28))  # an empty image would do for most kernels,
    twin.scores(torch.full((1, 1, 28, 28), 0.5))  # and spikes reach the others
    member.plain = False
