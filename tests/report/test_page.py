"""The page is whole, closed, readable without help from outside, and says what the figures say."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from threegen.errors import DataError
from threegen.report.page import MOST_BYTES, render_report, write_report
from threegen.report.results import HistoryResult, Insides, ModelResult, results_json

VOID = {"meta", "link", "img", "br", "hr", "input", "source", "wbr"}  # HTML elements that have no end tag
MakeModel = Callable[..., ModelResult]
Gather = Callable[..., HistoryResult]


class Page(HTMLParser):
    """Collects what the tests ask for and refuses tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.attributes if name == tag]


def test_page_asks_for_nothing_from_outside(history: HistoryResult) -> None:
    text = render_report(history)
    page = Page(text)
    for tag, attributes in page.attributes:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            address = attributes.get(name, "")
            assert address.startswith(("data:", "#")) or not address, f"<{tag} {name}={address[:40]!r}>"
        assert not any(name.startswith("on") for name in attributes), f"<{tag}> has an event handler"
        assert "url(" not in attributes.get("style", "")
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert style
    assert "url(" not in style
    assert "@import" not in style
    assert [script["type"] for script in page.all("script")] == ["application/json"]


def test_inner_links_lead_somewhere(history: HistoryResult) -> None:
    page = Page(render_report(history))
    places = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert len(places) == len(set(places))
    links = [link["href"] for link in page.all("a")]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(places)


def test_pictures_and_tables_are_accessible(history: HistoryResult) -> None:
    page = Page(render_report(history))
    assert page.tags["img"] > 80  # 20 mistakes a model, and weights and time steps
    assert all(image.get("alt", "").strip() for image in page.all("img"))
    for drawing in page.all("svg"):
        named = drawing.get("role") == "img" and drawing.get("aria-label", "").strip()
        assert named or drawing.get("aria-hidden") == "true"
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert page.tags["figure"] == page.tags["figcaption"]
    assert page.tags["h1"] == 1
    assert page.all("html") == [{"lang": "en"}]
    assert "width=device-width" in next(meta["content"] for meta in page.all("meta") if meta.get("name") == "viewport")


def test_numbers_are_written_as_people_read_them(history: HistoryResult) -> None:
    text = Page(render_report(history)).text.replace("\u00a0", " ")
    for wanted in (
        "Four neural networks from 1958 to 2018, trained on MNIST",
        "Lenet 5 Modern: 9,893 of 10,000 unseen pictures right, 98.93 % (95 % interval 98.63 to 99.23 %)",
        "407,050",  # parameters
        "1.63 MB",  # 1,630,288 bytes
        "407 k",  # 406,528 multiply-accumulates
        "8, answered 3 (94 %)",
        "60,000 training and 10,000 test pictures",
        "ab" * 32,
        "threegen history --quick --seed 3",
        "torch 2.13.0",
        "3 min 10 s",
        "2020-02-29",
        "This was a quick run",
    ):
        assert wanted in text or wanted.replace("answered 3", "answered 3 ") in text, wanted
    for model in history.models:
        assert model.title in text
        assert model.command in text
        assert model.paper in text


def test_the_price_of_spikes_is_said_plainly(model: MakeModel, gather: Gather) -> None:
    # 2,000,000 accumulates against 2 * 406,528 = 813,056 operations: 2.46 times; skipping zeros 153,801: 13 times.
    text = Page(render_report(gather())).text.replace("\u00a0", " ")
    assert (
        "97.90 % right with 2 million additions and multiplications per picture, against 98.00 % right with 813,000 "
        "for Mlp, of the same structure: the spiking net costs 2.5 times as much, and 13 times the 154,000" in text
    )
    assert "updates neurons 5,000 times" in text
    cheap = gather(model("mlp"), model("spiking-mlp", 3, operations={"ac": 100_000.0}))
    text = Page(render_report(cheap)).text.replace("\u00a0", " ")
    assert "the spiking net costs less, 12 % of that, and 65 % of the 154,000" in text
    middle = gather(model("mlp"), model("spiking-mlp", 3, operations={"ac": 400_000.0}))
    text = Page(render_report(middle)).text.replace("\u00a0", " ")
    assert "the spiking net costs less, 49 % of that, but 2.6 times the 154,000" in text


def test_overlapping_intervals_settle_nothing(model: MakeModel, gather: Gather) -> None:
    close = gather(model("a", correct=9_800), model("b", correct=9_790))
    assert "does not settle" in Page(render_report(close)).text
    apart = gather(model("a", correct=9_800), model("b", correct=9_000))
    assert "do not overlap" in Page(render_report(apart)).text


def test_data_in_the_page_are_the_results(history: HistoryResult) -> None:
    page = Page(render_report(history))
    found = json.loads("".join(page.scripts))
    assert found["results"] == json.loads(results_json(history))
    assert set(found["insides"]) == {model.name for model in history.models}
    inside = found["insides"]["mlp"]
    assert len(inside["confusion"]) == 10
    assert inside["mistakes"][0] == {"index": 100, "truth": 8, "answer": 3, "confidence": 0.94}


@pytest.mark.parametrize("field", ["title", "paper", "rule", "about", "note", "command"])
def test_text_from_outside_is_escaped(field: str, model: MakeModel, gather: Gather) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' & </script>"
    text = render_report(gather(model("mlp", **{field: evil}), model("other")))
    page = Page(text)
    assert page.tags["script"] == 1
    assert "<img src=x" not in text
    assert evil in "".join(page.words)
    assert json.loads("".join(page.scripts))["results"]["models"][0][field] == evil


def test_twelve_models_stay_under_five_megabytes(
    model: MakeModel, gather: Gather, insides: Callable[..., Insides]
) -> None:
    models = [model(f"net-{n}", 3, correct=9_000 + n, insides=insides(True, n)) for n in range(12)]
    text = render_report(gather(*models))
    assert len(text.encode()) < MOST_BYTES
    assert Page(text).tags["article"] == 12
    assert "Twelve neural networks of 2018" in text


def test_same_history_same_page(history: HistoryResult) -> None:
    assert render_report(history) == render_report(history)


def test_models_without_insides_or_bill_are_shown(model: MakeModel, gather: Gather) -> None:
    bare = model("bare", insides=None, operations={}, memory={}, settings={}, about="", parameters=0)
    text = Page(render_report(gather(bare))).text
    assert "One neural network of 1986" in text
    assert "Bare" in text
    assert Page(render_report(gather(models=()))).tags["article"] == 0


def test_one_epoch_has_no_curve_but_a_sentence(
    model: MakeModel, gather: Gather, insides: Callable[..., Insides]
) -> None:
    once = dataclasses.replace(insides(False), curves=({"epoch": 1, "train_loss": 0.25, "seconds": 3.0},))
    assert (
        "One epoch only, so there is no curve; its mean loss was 0.25"
        in Page(render_report(gather(model("mlp", insides=once)))).text
    )


def test_a_loss_that_is_not_finite_is_left_out_of_the_curve(
    model: MakeModel, gather: Gather, insides: Callable[..., Insides]
) -> None:
    losses = [1.0, 0.5, 0.25]
    curves = tuple({"epoch": n, "train_loss": loss, "seconds": 1.0} for n, loss in enumerate(losses, 1))
    text = render_report(gather(model("mlp", insides=dataclasses.replace(insides(False), curves=curves))))
    assert "training loss over 3 epochs, training from 1 to 0.25" in text


def test_two_models_of_one_name_are_refused(model: MakeModel, gather: Gather) -> None:
    with pytest.raises(DataError, match="same name"):
        render_report(gather(model("mlp"), model("mlp")))


def test_write_report_moves_the_whole_page_into_place(history: HistoryResult, tmp_path: Path) -> None:
    target = tmp_path / "runs" / "report.html"
    assert write_report(history, target) == target
    assert target.read_text(encoding="utf-8") == render_report(history)
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_write_report_refuses_a_page_that_is_too_large(model: MakeModel, gather: Gather, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more than 5,000,000"):
        write_report(gather(model("mlp", note="x" * MOST_BYTES)), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())
