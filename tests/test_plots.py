"""Charts are well-formed SVG, pictures are readable PNG, and both are the same for the same numbers."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from threegen.errors import DataError, ShapeError
from threegen.plots import (
    Series,
    contact_sheet,
    data_uri,
    diverging_palette,
    heat_table,
    ink_picture,
    line_chart,
    nice_ticks,
    png,
    raster,
    shown_rows,
    weight_picture,
)

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    """Return every text of an SVG, which must be well-formed XML."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def decode(picture: bytes) -> np.ndarray:
    """Read a PNG with pillow, an independent decoder that checks every chunk's sum."""
    image = pytest.importorskip("PIL.Image").open(io.BytesIO(picture))
    return np.asarray(image.convert("RGB") if image.mode == "P" else image)


def test_ticks_are_round_and_inside() -> None:
    # Worked out by hand: 1, 2 or 5 times a power of ten apart.
    assert nice_ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(91.3, 95.7, 5) == [92, 93, 94, 95]
    assert nice_ticks(0.0, 0.04, 4) == [0, 0.01, 0.02, 0.03, 0.04]
    assert nice_ticks(3.0, 3.0) == [3.0]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_an_axis_without_bounds_is_refused(wrong: float) -> None:
    with pytest.raises(DataError, match="finite"):
        nice_ticks(0.0, wrong)


def test_line_chart_draws_every_point_and_escapes_names() -> None:
    series = [Series("a<b>", [1, 2, 3], [0.5, 0.2, 0.1]), Series("c", [1, 2, 3], [0.6, 0.4, 0.3])]
    svg = line_chart(series, title='loss & "more"', x_label="epoch", level=(0.25, "goal"))
    tree = ElementTree.fromstring(svg)
    assert tree.get("aria-label") == 'loss & "more"'
    assert len(list(tree.iter(f"{SVG}circle"))) == 6
    assert [len((line.get("points") or "").split()) for line in tree.iter(f"{SVG}polyline")] == [3, 3]
    assert {"a<b>", "c", "epoch", "goal", "1", "2", "3"} <= set(texts(svg))
    assert svg == line_chart(series, title='loss & "more"', x_label="epoch", level=(0.25, "goal"))


def test_line_chart_puts_larger_values_higher() -> None:
    tree = ElementTree.fromstring(line_chart([Series("up", [1, 2], [10.0, 20.0])], title="up"))
    low, high = (float(dot.get("cy") or "nan") for dot in tree.iter(f"{SVG}circle"))
    assert high < low  # y grows downwards in SVG


def test_line_chart_of_one_constant_point_is_drawn() -> None:
    assert (
        len(list(ElementTree.fromstring(line_chart([Series("one", [1], [0.0])], title="t")).iter(f"{SVG}circle"))) == 1
    )


def test_line_chart_refuses_what_it_cannot_draw() -> None:
    with pytest.raises(DataError, match="at least one point"):
        line_chart([], title="empty")
    with pytest.raises(DataError, match="non-finite"):
        line_chart([Series("nan", [1, 2], [0.1, float("nan")])], title="nan")
    with pytest.raises(ShapeError, match="2 x values and 1 y values"):
        line_chart([Series("short", [1, 2], [0.1])], title="short")


def test_heat_table_prints_each_count_and_leaves_zeros_empty() -> None:
    svg = heat_table(np.array([[90, 3], [0, 88]]), ["no", "yes & more"], title="confusion")
    numbers = [text for text in texts(svg) if text.isdigit()]
    assert sorted(numbers) == ["3", "88", "90"]
    assert len(list(ElementTree.fromstring(svg).iter(f"{SVG}rect"))) == 4
    assert texts(svg).count("yes & more") == 2


def test_heat_table_of_many_classes_has_no_numbers_and_of_wrong_shape_is_refused() -> None:
    names = [f"class {number}" for number in range(21)]
    assert not [text for text in texts(heat_table(np.eye(21, dtype=int), names, title="many")) if text.isdigit()]
    with pytest.raises(ShapeError, match="K labels"):
        heat_table(np.zeros((2, 3)), ["a", "b"], title="oblong")


def test_raster_has_one_tick_a_spike_and_counts_named_rows() -> None:
    spikes = np.zeros((5, 3), dtype=bool)
    spikes[[0, 2, 4], 1] = True
    spikes[1, 2] = True
    svg = raster(spikes, title="spikes", labels=("a", "b", "c"))
    paths = list(ElementTree.fromstring(svg).iter(f"{SVG}path"))
    assert sum((path.get("d") or "").count("M") for path in paths) == 4
    assert "time step" in texts(svg)
    assert texts(svg)[-6:] == ["a", "0", "b", "3", "c", "1"]


def test_raster_draws_evenly_chosen_rows_of_a_wide_layer() -> None:
    rows = shown_rows(800, 100)
    assert (len(rows), rows[0], rows[-1]) == (100, 0, 799)
    assert set(np.diff(rows)) == {8, 9}
    svg = raster(np.ones((4, 800), dtype=bool), title="wide")
    assert svg.count("M") == 400
    with pytest.raises(ShapeError, match=r"\[T, N\]"):
        raster(np.zeros((0, 3), dtype=bool), title="none")


def test_png_round_trip_grey_and_colour() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(8, 32)
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode(png(grey)), grey)
    np.testing.assert_array_equal(decode(png(colour)), colour)
    with pytest.raises(ShapeError, match="uint8"):
        png(np.zeros((2, 2)))  # type: ignore[arg-type]


def test_ink_is_dark_on_white() -> None:
    np.testing.assert_array_equal(decode(ink_picture(np.array([[0.0, 1.0, 2.0]]))), [[255, 0, 0]])


def test_weights_take_the_colour_of_their_sign() -> None:
    palette = diverging_palette()
    assert palette.shape == (256, 3)
    negative, zero, positive = decode(weight_picture(np.array([[-2.0, 0.0, 1.0]])))[0].astype(int)
    assert negative[2] > negative[0]  # more blue than red
    assert positive[0] > positive[2]  # more red than blue
    assert zero.min() > 230
    np.testing.assert_array_equal(decode(weight_picture(np.zeros((2, 2))))[0, 0], zero)


def test_contact_sheet_places_pictures_row_by_row() -> None:
    pictures = np.zeros((3, 2, 2))
    pictures[1] = 1.0
    sheet = decode(contact_sheet(pictures, columns=2, scale=3, gap=1))
    assert sheet.shape == (2 * 6 + 1, 2 * 6 + 1)
    assert sheet[0, 0] == 0  # the first picture is black
    assert sheet[0, 7] == 255  # the second, right of it, is white
    assert sheet[7, 0] == 0  # the third begins the second row
    assert sheet[7, 7] == 255  # nothing there: ground
    assert decode(contact_sheet(np.ones((2, 3, 4, 4)))).shape == (4, 10, 3)
    with pytest.raises(ShapeError, match="contact sheet"):
        contact_sheet(np.zeros((3, 4)))
    with pytest.raises(DataError, match="non-finite"):
        contact_sheet(np.full((1, 2, 2), np.nan))


def test_contact_sheet_scales_each_signed_picture_to_itself() -> None:
    strong, weak = np.array([[[1.0, -1.0]]]), np.array([[[0.01, -0.01]]])
    np.testing.assert_array_equal(
        decode(contact_sheet(strong, diverging=True)), decode(contact_sheet(weak, diverging=True))
    )


def test_data_uri_holds_the_bytes() -> None:
    assert data_uri(b"\x00\x01") == "data:image/png;base64,AAE="
