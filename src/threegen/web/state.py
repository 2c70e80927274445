"""The state of the page: its models, the test images, and background measurements."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from threegen.datasets.dataset import Data, Dataset
from threegen.datasets.load import load_data
from threegen.errors import ConfigError
from threegen.randomness import make_generator
from threegen.web.calibrate import temperature_for
from threegen.web.lineup import PageModel, page_model, warm_up
from threegen.web.request import BadRequest, encoded_image, whole
from threegen.web.spiking import IMAGES, accuracy_by_steps
from threegen.web.training import LiveTraining

MEASURED = 1_000  # test images for the accuracy of a user's run
CALIBRATED = 300  # training images for fitting a temperature
PART = 10  # images per batch in the background: a card waits at most that long


class PageState:
    """The models of a page and its test images."""

    def __init__(self, models: list[PageModel], data: Data | None = None) -> None:
        self.models = models
        self.by_name = {one.name: one for one in models}
        self._data = data
        self._loading = threading.Lock()
        self.live = LiveTraining(lambda: self.data)

    @property
    def data(self) -> Data:
        """MNIST, loaded on first use."""
        with self._loading:
            if self._data is None:
                self._data = load_data("mnist")
        return self._data

    def get_ready(self) -> None:
        """Compile missing kernels, fit missing temperatures, and measure missing accuracies."""
        for member in self.models:
            warm_up(member)
        train, test = self.data.train.take(CALIBRATED), self.data.test.take(MEASURED)
        for member in self.models:
            if member.temperature is None:
                member.temperature = temperature_for(self._scores(member, train), torch.as_tensor(train.targets))
        for member in self.models:
            if member.accuracy is None:
                right = self._scores(member, test).argmax(1) == torch.as_tensor(test.targets)
                member.tested, member.accuracy = len(right), float(right.float().mean())

    def join_trained(self) -> None:
        """Add the run that was trained on the page to its cards; raises `ConfigError` if there is none."""
        run, now = self.live.run, self.live.watched
        if run is None or now.state not in ("done", "stopped") or self.live.busy:
            raise ConfigError("there is no finished training to add to the page")
        name = Path(now.folder).name
        if name in self.by_name:
            raise ConfigError(f"{name} is on the page already")
        member = page_model(run.entry, copy.deepcopy(run.model), name=name, own=True)
        self.models.append(member)
        self.by_name[name] = member
        threading.Thread(target=self.get_ready, daemon=True, name="page-ready").start()

    @staticmethod
    def _scores(member: PageModel, part: Dataset) -> Tensor:
        """Return the scores of images, a few at a time, so that the card keeps answering meanwhile."""
        found = []
        for images in torch.split(torch.as_tensor(part.inputs), PART):
            with member.lock:
                found.append(member.scores(images))
        return torch.cat(found)

    def describe(self) -> dict[str, Any]:
        """Return what the page needs first: the cards in order."""
        measuring = any(one.accuracy is None or one.plain or one.temperature is None for one in self.models)
        return {"models": [one.describe() for one in self.models], "measuring": measuring}

    def chosen(self, body: Any) -> list[PageModel]:
        """Return the models that a request body names in `models`, all by default; raises `BadRequest`."""
        if not isinstance(body, dict):
            raise BadRequest("expected a JSON object")
        names = body.get("models")
        if names is None:
            return self.models
        if not isinstance(names, list) or len(names) > len(self.models):
            raise BadRequest("models must be a list of names")
        return [self.find(name) for name in names]

    def find(self, name: Any) -> PageModel:
        """Return a model by its name; raises `BadRequest`."""
        if not isinstance(name, str) or name not in self.by_name:
            raise BadRequest("no model of this page has this name")
        return self.by_name[name]

    def test_image(self, body: Any) -> dict[str, Any]:
        """Return a test image with its number and label; arguments as the endpoint describes them."""
        if not isinstance(body, dict):
            raise BadRequest("expected a JSON object")
        inputs, targets = self._test_images()
        if "index" in body:
            index = whole(body, "index", 0, least=0, most=len(targets) - 1)
            return self._found(inputs, targets, index)
        seed = whole(body, "seed", 0, least=0, most=2**31)
        order = torch.randperm(len(targets), generator=make_generator(seed, "test image"))
        if body.get("digit") is not None:
            digit = whole(body, "digit", 0, least=0, most=9)
            order = order[targets[order] == digit]
        if body.get("wrong_for") is None:
            return self._found(inputs, targets, int(order[0]))
        member = self.find(body["wrong_for"])
        for part in torch.split(order, PART):
            with member.lock:
                wrong = part[member.scores(inputs[part]).argmax(1) != targets[part]]
            if len(wrong):
                return self._found(inputs, targets, int(wrong[0]))
        return {"image": None}

    def accuracy_by_steps(self, member: PageModel) -> dict[str, Any]:
        """Return a spiking model's accuracy against T, on the first test images."""
        return accuracy_by_steps(member, *self._test_images(IMAGES))

    def _test_images(self, most: int | None = None) -> tuple[Tensor, Tensor]:
        test = self.data.test
        return torch.as_tensor(test.inputs)[:most], torch.as_tensor(test.targets)[:most]

    @staticmethod
    def _found(inputs: Tensor, targets: Tensor, index: int) -> dict[str, Any]:
        return {"image": encoded_image(inputs[index]), "index": index, "label": int(targets[index])}
