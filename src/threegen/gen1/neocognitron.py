"""The base of all neocognitrons: a chain of layers of S- and C-cells, and maps of their activity.

The nets of the three papers have their own files: `neocognitron_1980`, `neocognitron_1988`, `neocognitron_2003`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from threegen.checks import require_choice, require_images, require_whole
from threegen.errors import ConfigError
from threegen.gen1.neocognitron_cells import CCells, SCells, sizes_of


class Neocognitron(nn.Module):
    """A chain of layers over one input plane; `forward` takes images `[B, 1, H, W]` and returns scores `[B, classes]`.

    `layers` maps names (`"S1"`, `"C1"`, ...) to modules in the order in which they are passed; `retina` fits the image
    to the first of them. `maps(x)` shows every layer's cells. Raises `ConfigError` for images that are not grey and for
    layers that do not fit together.
    """

    layers: nn.ModuleDict

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        if len(shape) != 3 or shape[0] != 1:
            raise ConfigError(f"{type(self).__name__} takes grey images [1, H, W], the data have {list(shape)}")
        self.shape = (1, require_whole("height", shape[1]), require_whole("width", shape[2]))
        self.classes = require_whole("classes", classes)
        self.layers = nn.ModuleDict()

    def add(self, *layers: tuple[str, nn.Module]) -> None:
        """Put layers on top of the others."""
        for name, layer in layers:
            self.layers[name] = layer

    def s_cells(self, name: str) -> SCells:
        """Return the layer of S-cells called `name`; raises `ConfigError` for another layer."""
        layer = self.layers[require_choice("name", name, self.layers)]
        if not isinstance(layer, SCells):
            raise ConfigError(f"{name} is a layer of {type(layer).__name__}, not of S-cells")
        return layer

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return (planes, side) of every layer of cells: the largest number of planes, and their side."""
        found: dict[str, tuple[int, int]] = {}
        side, planes = self.retina_side(), 1
        for name, layer in self.layers.items():
            if isinstance(layer, SCells | CCells):
                (side,) = sizes_of(side, [layer])
                planes = layer.planes if isinstance(layer, SCells) else planes
                found[name] = (planes, side)
        return found

    def retina_side(self) -> int:
        """Return the side of the plane that the first layer gets."""
        raise NotImplementedError

    def retina(self, x: Tensor) -> Tensor:
        """Return the first layer's input for images `[B, 1, H, W]`."""
        raise NotImplementedError

    def decide(self, top: Tensor) -> Tensor:
        """Return the scores `[B, classes]` for the last layer's cells `[B, K, h, w]`."""
        raise NotImplementedError

    def _seen(self, x: Tensor) -> Tensor:
        weight = next(self.parameters())
        return self.retina(require_images(type(self).__name__, x, self.shape, weight))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores `[B, classes]`, larger is better."""
        u = self._seen(x)
        for layer in self.layers.values():
            u = layer(u)
        return self.decide(u)

    def below(self, name: str, x: Tensor) -> Tensor:
        """Return the input of the layer called `name` for the image `x`, in the current mode."""
        require_choice("name", name, self.layers)
        u = self._seen(x)
        for other, layer in self.layers.items():
            if other == name:
                break
            u = layer(u)
        return u

    @torch.no_grad()
    def maps(self, x: Tensor, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Return every layer's cells `[B, K, h, w]` by name, or those of `names`, and the image under `"U0"`."""
        wanted = [*self.layers] if names is None else [require_choice("name", name, self.layers) for name in names]
        u = self._seen(x)
        found = {"U0": u}
        for name, layer in self.layers.items():
            u = layer(u)
            found[name] = u
        return {name: planes for name, planes in found.items() if name == "U0" or name in wanted}


def best_of_class(cells: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return the scores `[B, classes]`: the strongest cell `[B, K, h, w]` of the planes with each label; else zero."""
    if cells.shape[1] == 0:
        return cells.new_zeros(len(cells), classes)
    own = labels == torch.arange(classes, device=labels.device)[:, None]  # cells are never negative
    return (cells.amax((2, 3))[:, None] * own).amax(2)


def resizing(given: int, wanted: int) -> Tensor:
    """Return the matrix `[wanted, given]` that averages `given` pixels in a row over `wanted` equal parts."""
    edges = torch.arange(wanted + 1, dtype=torch.float64) * given / wanted
    pixels = torch.arange(given, dtype=torch.float64)
    shared = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (shared.clamp(min=0) * wanted / given).float()
