"""Report and card in a real browser: nothing is cut on a phone, and in print the first page is used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import threegen as tg
from threegen.report.page import write_report
from threegen.report.results import HistoryResult

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
# Elements that reach beyond the right edge and are in no box that scrolls by itself.
CUT = """() => [...document.querySelectorAll("body *")].filter(one =>
    one.getBoundingClientRect().right > innerWidth + 1 && !one.closest(".scroll"))
    .map(one => one.outerHTML.slice(0, 80))"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; scripts/system_packages.sh installs it")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def report(history: HistoryResult, tmp_path: Path) -> Path:
    return write_report(history, tmp_path / "report.html")


@pytest.fixture
def card(tmp_path: Path) -> Path:
    data = torch.rand(30, 9, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    models = {"ann": tg.MLP([9, 800, 3]), "snn": tg.SpikingMLP([9, 800, 3], steps=4, encoder=tg.Bernoulli())}
    return tg.compare(models, data).save(tmp_path / "card.html")


def opened(browser: Any, path: Path, width: int, **options: Any) -> Any:
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window(browser: Any, report: Path, card: Path, width: int) -> None:
    for path in (report, card):
        page = opened(browser, path, width)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.evaluate(CUT) == []


def test_the_main_table_of_the_report_fits_a_phone(browser: Any, report: Path) -> None:
    page = opened(browser, report, 390)
    box = page.query_selector(".scroll:has(.compare)")
    assert box.evaluate("one => one.scrollWidth <= one.clientWidth")
    labels = page.evaluate(
        '[...document.querySelectorAll(".compare tbody tr:first-child td")].map(one => '
        'getComputedStyle(one, "::before").content.replace(/\\u00a0/g, " "))'
    )
    assert labels[0] == '"Accuracy, 95 % interval"'
    assert '"Memory"' in labels
    wide = opened(browser, report, 1280)
    assert wide.evaluate('getComputedStyle(document.querySelector(".compare td"), "::before").content') == "none"


def test_two_models_of_a_card_fit_a_phone(browser: Any, card: Path) -> None:
    page = opened(browser, card, 390)
    assert page.query_selector(".scroll:has(.sides)").evaluate("one => one.scrollWidth <= one.clientWidth")


def test_in_print_the_main_table_may_begin_on_the_first_page(browser: Any, report: Path) -> None:
    """A figure that must not break is moved to the second page as a whole, which leaves half of the first one empty."""
    page = opened(browser, report, 688)
    page.emulate_media(media="print")
    kept = 'getComputedStyle(document.querySelector("%s")).breakInside'
    assert page.evaluate(kept % "figure.wide") == "auto"
    assert page.evaluate(kept % ".compare tbody tr") == "avoid"


def test_dark_and_light(browser: Any, report: Path, card: Path) -> None:
    for path in (report, card):
        paper = {
            scheme: opened(browser, path, 1280, color_scheme=scheme).evaluate(
                "getComputedStyle(document.body).backgroundColor"
            )
            for scheme in ("light", "dark")
        }
        assert paper == {"light": "rgb(253, 252, 249)", "dark": "rgb(22, 22, 20)"}
