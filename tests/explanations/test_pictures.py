"""Pictures for slides: overlays, colour bars, scales, PDF; folded tables and diagrams."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from explained_nets import Pooled
from torch import Tensor, nn

from threegen.cost.count import count
from threegen.errors import ConfigError, ResourceError
from threegen.explanations.explain import explain
from threegen.gen2.mlp import MLP

SVG = "{http://www.w3.org/2000/svg}"


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def size_of(png: Path) -> tuple[int, int]:
    return struct.unpack(">II", png.read_bytes()[16:24])  # type: ignore[return-value]


def test_a_heat_map_over_its_picture_at_the_size_of_a_slide(tmp_path: Path) -> None:
    maps = explain(Pooled()).occlusion(images(1), window=7, stride=7)
    plain = size_of(maps.save(tmp_path / "plain.png"))
    assert min(plain) >= 320
    wide, high = size_of(maps.save(tmp_path / "over.png", overlay=True))
    assert wide >= 420
    assert high >= 420
    larger = size_of(maps.save(tmp_path / "scaled.png", overlay=True, scale=30))
    assert larger[0] >= 28 * 30
    with_bar = size_of(maps.save(tmp_path / "bar.png", overlay=True, scale=30, bar=True))
    assert with_bar[0] > larger[0]
    first, again = (maps.save(tmp_path / name, overlay=True, bar=True) for name in ("a.svg", "b.svg"))
    assert first.read_bytes() == again.read_bytes()
    texts = [one.text for one in ElementTree.fromstring(first.read_text()).iter(f"{SVG}text")]
    assert "Occlusion" in texts
    assert len(texts) > 3  # the numbers of the bar
    assert maps.save(tmp_path / "new" / "folder" / "c.pdf").read_bytes().startswith(b"%PDF")
    viridis = maps.save(tmp_path / "viridis.png", colormap="viridis").read_bytes()
    assert viridis != maps.save(tmp_path / "magma.png", colormap="magma").read_bytes()


def test_the_overlay_is_the_picture_where_the_map_is_zero_and_the_map_where_it_is_largest() -> None:
    maps = explain(Pooled()).saliency(images(1))
    maps.as_subclass(Tensor).zero_()
    maps.as_subclass(Tensor)[0, 0, 3, 5] = 2.0
    figure = maps.figure(overlay=True)
    axis = next(axis for axis in figure.axes if axis.images)
    under, over = (np.asarray(one.get_array()) for one in axis.images)
    assert under.shape == (28, 28, 3)
    ink = 255 - round((1 - float(maps.images[0, 0, 0, 0])) * 255)  # the picture is paler under a map
    assert under[0, 0].tolist() == [round(255 - 0.45 * ink)] * 3
    assert over[0, 0, 3] == 0
    assert over[3, 5, 3] == pytest.approx(0.85)
    assert over[3, 5, 0] > over[3, 5, 2]  # positive is orange
    assert tuple(axis.images[1].get_extent()) == (-0.5, 27.5, 27.5, -0.5)


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    maps = explain(MLP([784, 5, 3])).saliency(images().flatten(1))
    with pytest.raises(ConfigError, match="has none; leave it out"):
        maps.save(tmp_path / "over.png", overlay=True)
    with pytest.raises(ConfigError, match="did you mean 'viridis'"):
        maps.save(tmp_path / "over.png", colormap="virids")
    with pytest.raises(ConfigError, match="scale"):
        maps.save(tmp_path / "over.png", scale=0)
    (tmp_path / "file").write_text("")
    for picture in (maps, explain(MLP([4, 3])).summary()):
        with pytest.raises(ResourceError, match="cannot be written"):
            picture.save(tmp_path / "file" / "map.svg")


class Blocks(nn.Module):
    """Two residual blocks and a head, deep enough to be folded."""

    def __init__(self) -> None:
        super().__init__()
        make = lambda: nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))  # noqa: E731
        self.stem_with_a_rather_long_name_for_a_box = nn.Conv2d(1, 4, 3, padding=1)
        self.blocks = nn.ModuleList([make(), make()])
        self.head = nn.Linear(4 * 784, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem_with_a_rather_long_name_for_a_box(x)
        for block in self.blocks:
            x = torch.relu(x + block(x))
        return self.head(x.flatten(1))


def test_summaries_fold_blocks_and_choose_columns() -> None:
    look = explain(Blocks())
    whole, folded = look.summary(), look.summary(depth=2)
    names = [row.name for row in folded.rows]
    assert names[:2] == ["stem_with_a_rather_long_name_for_a_box", "blocks.0"]
    assert names[-1] == "head"
    block = folded.rows[1]
    assert (block.kind, block.output) == ("Sequential", (4, 28, 28))
    assert block.parameters == 2 * (4 * 4 * 9 + 4)
    assert block.mac == 2 * 4 * 4 * 9 * 784
    for name in ("parameters", "mac", "ac", "state"):
        assert sum(getattr(row, name) for row in folded.rows) == sum(getattr(row, name) for row in whole.rows)
    assert len(look.summary(depth=1).rows) < len(folded.rows) < len(whole.rows)
    chosen = look.summary(columns=["mac", "output"])
    assert chosen.cells()[0] == ("layer", "MAC", "output")
    assert len(str(chosen).splitlines()[0].split()) == 3
    assert "<table>" in chosen._repr_html_()
    with pytest.raises(ConfigError, match="did you mean 'mac'"):
        look.summary(columns=["macs"])
    with pytest.raises(ConfigError, match="depth"):
        look.summary(depth=0)


def test_the_summary_says_at_least_where_something_is_not_counted() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.fft.fft(x).real)

    for table in (explain(Odd()).summary(), explain(Odd()).summary(depth=1)):
        assert "at least 12" in str(table)
        assert "at least" in repr(table)
        assert "not counted: fft_fft" in table._repr_html_()
        assert table.as_dict()["uncounted"] == ["fft_fft"]
    assert "at least" not in str(explain(MLP([4, 3])).summary())


def boxes(look: object, **options: object) -> tuple[list[str], list[tuple[float, float, float]]]:
    root = ElementTree.fromstring(str(look.diagram(images(1), **options)))  # type: ignore[attr-defined]
    texts = [(one.text or "", float(one.get("x")), one.get("text-anchor")) for one in root.iter(f"{SVG}text")]
    frames = [(float(one.get("x")), float(one.get("y")), float(one.get("width"))) for one in root.iter(f"{SVG}rect")]
    return [text for text, _, anchor in texts if anchor == "start"], frames


def test_diagrams_fold_blocks_hide_reshapes_and_are_as_wide_as_their_names() -> None:
    look = explain(Blocks())
    whole, frames = boxes(look)
    assert "flatten" not in whole
    shown, _ = boxes(look, reshapes=True)
    assert "flatten" in shown
    folded, _ = boxes(look, depth=2)
    assert {"blocks.0", "blocks.1"} <= set(folded)
    assert not any(text.startswith("blocks.0.") for text in folded)
    text = str(look.diagram(images(1), depth=2))
    assert f"{2 * (4 * 4 * 9 + 4):,} parameters" in text
    long = "stem_with_a_rather_long_name_for_a_box"
    stem = frames[whole.index(long) // 2]  # two texts to the left in each box: name and shape
    assert stem[2] >= 6 * (len(long) + len("Conv2d"))
    assert frames[0][2] < stem[2]  # the input's box is no wider than it must be
    for x, y, width in frames:
        assert not any(one != (x, y, width) and one[1] == y and x <= one[0] < x + width for one in frames)
    with pytest.raises(ConfigError, match="depth"):
        look.diagram(images(1), depth=0)


def test_notebooks_and_consoles_see_what_there_is() -> None:
    look, x = explain(Blocks()), images(1)
    maps, bill = look.saliency(x), count(Blocks(), x)
    assert repr(maps).startswith("Saliency: maps [1, 1, 28, 28], ")
    assert "targets" in repr(maps)
    assert "<svg" in maps._repr_html_()
    assert repr(bill).startswith("Bill(")
    assert "<tfoot>" in bill._repr_html_()
    assert repr(look.summary()).startswith("Summary of Blocks: ")
    assert str(bill).count("\n") == len(bill.rows) + 4
