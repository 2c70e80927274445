"""The live page in a real Chromium. Each test also fails for a console error or a request to another machine."""

from __future__ import annotations

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import threegen

SEVEN = ([(0.22, 0.25), (0.74, 0.23)], [(0.74, 0.23), (0.6, 0.5), (0.45, 0.82)])
FOUR = ([(0.35, 0.15), (0.25, 0.55), (0.75, 0.52)], [(0.64, 0.2), (0.6, 0.88)])
TEXT = Path(threegen.__file__).parent / "web" / "static" / "text.json"


def zero_as_file(size: int = 300, ink: int = 20, paper: int = 240) -> bytes:
    """Return a picture of a 0, dark on light: an ellipse."""
    y, x = np.mgrid[0:size, 0:size] / size
    seen = np.abs(np.hypot((x - 0.5) / 0.7, y - 0.5) - 0.3) < 0.035
    file = BytesIO()
    Image.fromarray(np.where(seen, ink, paper).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def most(digits: list[str], digit: str, share: float = 0.5) -> bool:
    return Counter(digits)[digit] >= share * len(digits)


def test_a_seven_drawn_by_mouse_is_answered_by_every_card(open_page: Any) -> None:
    opened = open_page()
    page = opened.page
    page.click("#clear")
    opened.idle()
    assert set(opened.digits()) == {""}
    opened.draw(*SEVEN)
    digits = opened.digits()
    assert len(digits) >= 4
    assert "" not in digits, "a card has no answer"
    assert most(digits, "7", 0.9), digits
    opened.until("document.getElementById('verdict').textContent.includes('seven')")
    assert page.get_attribute("#verdict", "role") == "status"
    # what it cost, and why, come when the pen rests
    opened.until(
        "[...document.querySelectorAll('.card .facts')].every(one => !one.textContent.includes('Operations–'))"
    )
    opened.until("document.querySelector('[data-name=mlp] .heat').title.includes('evidence')")
    page.click("#clear")
    opened.idle()
    assert set(opened.digits()) == {""}
    opened.until("document.getElementById('verdict').textContent === 'Draw something.'")


def test_upload_pick_and_undo(open_page: Any) -> None:
    opened = open_page()
    page = opened.page
    page.set_input_files("#file", {"name": "../../etc/passwd.png", "mimeType": "image/png", "buffer": zero_as_file()})
    opened.until("document.getElementById('source').textContent.includes('turned into light on dark')")
    opened.idle()
    assert most(opened.digits(), "0"), opened.digits()
    assert not any("passwd" in url for url in opened.requests)
    page.set_input_files("#file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no picture"})
    opened.until("document.getElementById('verdict').textContent.includes('not a picture')")
    opened.complaints.clear()  # Chromium itself writes the status 415 to the console
    page.select_option("#pick-digit", "5")
    page.select_option("#pick-wrong", "perceptron")
    page.click("#pick")
    opened.until("document.getElementById('source').textContent.includes('its label is 5')")
    opened.idle()
    assert page.locator("[data-name=perceptron] .bars .best").inner_text().strip() != "5"
    page.click("#clear")
    opened.draw(*FOUR)
    page.click("#undo")
    page.click("#undo")
    opened.idle()
    assert set(opened.digits()) == {""}


INKED = """(() => { const c = document.getElementById('raster'); if (!c || !c.width) return 0;
  const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0;
  for (let i = 3; i < d.length; i += 4) n += d[i] > 0 && d[i - 3] < 90 && d[i - 1] < 90; return n; })()"""


def test_the_raster_moves_and_the_decision_forms(open_page: Any) -> None:
    opened = open_page()
    page = opened.page
    page.locator(".card[data-spiking] footer button").last.click()
    opened.until("document.getElementById('spikes-step')?.max > 1")
    opened.until("document.getElementById('spikes-step').value === document.getElementById('spikes-step').max")
    last = page.evaluate(INKED)
    page.eval_on_selector("#spikes-step", "one => { one.value = 0; one.dispatchEvent(new Event('input')) }")
    first = page.evaluate(INKED)
    assert first < last
    page.click("#spikes-play")
    opened.until(f"{INKED} > {first}")
    opened.until("document.querySelector('.spikes > .hint:last-child').textContent.includes('says')")


EVENTS = """(() => { const c = document.querySelector('.spikes .time canvas'), found = [0, 0, 0];
  if (!c || c.width !== 34) return found;
  const d = c.getContext('2d').getImageData(0, 0, 34, 34).data;
  for (let i = 0; i < d.length; i += 4) found[d[i] > 200 ? 0 : d[i + 2] > 200 ? 1 : 2] += 1;
  return found; })()"""


def test_a_camera_records_the_drawing_and_its_events_are_shown(open_page: Any) -> None:
    """ON and OFF events in two colours, on 34 by 34 pixels, most of which see nothing; the card names the camera."""
    opened = open_page()
    page = opened.page
    card = page.locator("[data-name=spiking-events]")
    assert "simulated event camera" in card.inner_text()
    opened.draw(*SEVEN)
    assert card.locator(".bars .best").inner_text().strip() == "7"
    card.locator("footer button").click()
    opened.until(f"{EVENTS}[0] > 10")
    on, off, none = page.evaluate(EVENTS)
    assert off > 10
    assert none > on + off
    assert "ON orange" in page.locator(".spikes figcaption").first.inner_text()


SHARES = "[...document.querySelectorAll('[data-name=lenet-5-modern] .bars i')].map(one => one.style.height).join()"


def test_units_are_switched_off_by_a_click_and_sliders_change_answers(open_page: Any) -> None:
    opened = open_page()
    page = opened.page
    page.click("[data-name=lenet-5-modern] footer button")
    page.wait_for_selector("#inside .tile[data-unit]")
    sign = "document.querySelector('[data-name=lenet-5-modern] .bars').getAttribute('aria-label')"
    before = page.evaluate(SHARES), page.evaluate(sign)
    units = page.eval_on_selector_all(
        "#inside .layers:first-child .tile[data-unit]", "all => { all.forEach(one => one.click()); return all.length }"
    )
    opened.idle()
    assert page.evaluate("document.getElementById('off').textContent").startswith(str(units))
    assert (page.evaluate(SHARES), page.evaluate(sign)) != before
    page.evaluate("document.getElementById('damage').open = true")
    page.click("#repair")
    opened.idle()
    assert (page.evaluate(SHARES), page.evaluate(sign)) == before
    right = opened.digits()
    opened.set("rotation", 90)
    assert opened.digits() != right
    opened.set("rotation", 0)
    opened.set("noise", 0.9)
    assert opened.digits() != right or page.evaluate(SHARES) != before[0]
    opened.set("noise", 0)
    assert opened.digits() == right
    ink = "document.getElementById('seen').getContext('2d').getImageData(0, 0, 28, 28).data.reduce((a, b) => a + b)"
    thin = page.evaluate(ink)
    opened.set("width", 2.4)
    assert page.evaluate(ink) > thin
    opened.set("threshold", 0.99)
    assert page.locator(".digit.unsure").count() > 0


FOCUSED = """(() => { const a = document.activeElement; if (!a || a === document.body) return null;
  const name = a.getAttribute('aria-label') || a.textContent || a.closest('label')?.textContent
    || (a.id && document.querySelector(`label[for=${a.id}]`)?.textContent) || '';
  return [a.id || a.dataset.unit || a.closest('[data-name]')?.dataset.name || a.tagName, name.trim()]; })()"""


def test_the_keyboard_alone_can_do_everything(open_page: Any) -> None:
    opened = open_page()
    page = opened.page
    page.keyboard.press("Tab")  # the first stop leads to the pad
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    opened.until("document.activeElement.id === 'pad'")
    page.keyboard.press("Delete")
    opened.idle()
    assert set(opened.digits()) == {""}
    for _ in range(10):  # a 1: from the middle up, pen down, and down again
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    opened.idle()
    assert most(opened.digits(), "1"), opened.digits()
    page.keyboard.press("4")
    opened.idle()
    assert most(opened.digits(), "4"), opened.digits()
    # every control is reached by Tab, in the order in which it is read, and has a name
    found: list[tuple[str, str]] = []
    for _ in range(200):
        page.keyboard.press("Tab")
        one = page.evaluate(FOCUSED)
        if one is None:
            break
        found.append(tuple(one))
    reached = [one for one, _ in found]
    wanted = ["clear", "undo", "file", "pick-digit", "pick-wrong", "pick", "threshold", "method", "mlp"]
    assert [one for one in reached if one in wanted] == wanted
    assert [one for one, name in found if not name] == []
    page.focus("#tab-draw")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-train"
    assert page.is_visible("#panel-train")
    page.keyboard.press("ArrowLeft")
    page.focus("[data-name=perceptron] footer button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#inside h3")


SMALL = """all => all.filter(one => one.offsetParent && Math.min(one.offsetWidth, one.offsetHeight) < 24)
  .map(one => one.outerHTML)"""


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_everything_without_scrolling_sideways(open_page: Any, width: int) -> None:
    opened = open_page(viewport={"width": width, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2)
    page = opened.page
    for tab in ("draw", "train", "compare"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    page.click("#tab-draw")
    # WCAG 2.2, 2.5.8: targets of at least 24 by 24 pixels
    assert page.eval_on_selector_all("button, select, summary, label.button", SMALL) == []
    page.click("#clear")
    opened.idle()
    page.evaluate("scrollTo(0, 0)")  # the answers are below the pad, on the first screen
    under, below = (page.locator(one).bounding_box() for one in ("#pad", "#agreement"))
    assert under["y"] + under["height"] < below["y"]
    assert below["y"] < 740
    page.evaluate("document.getElementById('pad').scrollIntoView({block: 'center'})")
    box = page.locator("#pad").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)  # a tap makes a dot
    opened.idle()
    assert set(opened.digits()) != {""}
    assert page.evaluate("getComputedStyle(document.getElementById('pad')).touchAction") == "none"


CONTRAST = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const part = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const under = (one) => { for (let e = one; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || (c.length === 4 && c[3] === 1)) return c; } return [255, 255, 255]; };
  const poor = [];
  for (const one of document.querySelectorAll('main *, header *, footer *')) {
    if (!one.offsetParent || one.disabled || one.closest('.visually-hidden')) continue;
    if (![...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const a = light(parse(getComputedStyle(one).color)), b = light(under(one));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push([one.className || one.tagName, ratio.toFixed(2), one.textContent.slice(0, 30)]);
  }
  return poor;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_and_light_follow_the_system_and_have_contrast(open_page: Any, scheme: str) -> None:
    opened = open_page(color_scheme=scheme)
    page = opened.page
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.click("[data-name=mlp] footer button")
    page.wait_for_selector("#inside .tile[data-unit]")
    page.mouse.move(1, 1)
    page.wait_for_timeout(300)  # until the colors of a hover have faded
    assert page.evaluate(CONTRAST) == []  # WCAG 2.2, 1.4.3: 4.5 to 1
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") != scheme
    page.reload()
    page.wait_for_selector("body[data-ready]")
    opened.idle()
    assert page.evaluate("document.documentElement.dataset.theme") != scheme  # the choice is kept


ENGLISH = """(() => { const found = [];
  for (const one of document.querySelectorAll('main *, header *, footer *')) {
    if (!one.offsetParent || one.closest('.about')) continue;
    for (const node of one.childNodes)
      if (node.nodeType === 3 && /[a-z]{3,} [a-z]{3,}/i.test(node.textContent)) found.push(node.textContent); }
  return found; })()"""


def test_chinese(open_page: Any) -> None:
    opened = open_page(locale="zh-CN")
    page = opened.page
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    opened.until("document.getElementById('verdict').textContent.includes('网络')")
    page.locator(".card[data-spiking] footer button").last.click()
    page.wait_for_selector("#inside .tile")
    assert [text for text in page.evaluate(ENGLISH) if "threegen play" not in text] == []
    page.click("#tab-compare")
    page.fill("#compare-images", "50")
    for box in page.locator(".choices input").all():
        box.set_checked(box.get_attribute("value") in ("mlp", "spiking-mlp"))
    page.click("#compare-go")
    page.wait_for_selector(".result .sentence")
    assert page.evaluate(ENGLISH) == []
    page.click("#language")
    assert page.evaluate("document.documentElement.lang") == "en"
    opened.until("document.getElementById('verdict').textContent.includes('networks say')")


def test_every_sentence_is_there_in_both_languages() -> None:
    text = json.loads(TEXT.read_text())
    more = {key for key in set(text["zh"]) - set(text["en"]) if not key.startswith(("model.", "rule.", "table."))}
    assert set(text["en"]) - set(text["zh"]) == more == set()
    for key, sentence in text["en"].items():
        places = sorted(part.split("}")[0] for part in sentence.split("{")[1:])
        assert places == sorted(part.split("}")[0] for part in text["zh"][key].split("{")[1:]), key


def test_a_training_runs_and_joins_the_answers(open_page: Any) -> None:
    opened = open_page("#tab=train")
    page = opened.page
    opened.until("document.querySelectorAll('#train-model option').length > 3")
    page.select_option("#train-model", "perceptron")
    page.fill("#train-images", "1000")
    page.fill("#train-epochs", "1")
    page.click("#train-start")
    opened.until("document.getElementById('train-status').textContent.startsWith('Done')")
    assert "runs/page/perceptron-" in page.inner_text("#train-status")
    cards = page.evaluate("document.querySelectorAll('.card').length")
    page.click("#train-join")
    opened.until(f"document.querySelectorAll('.card').length === {cards + 1}")
    page.click("#tab-draw")
    opened.draw(*SEVEN)
    assert len(opened.digits()) == cards + 1


def test_comparing_and_exporting(open_page: Any, browser: Any, tmp_path: Path) -> None:
    opened = open_page("#tab=compare")
    page = opened.page
    page.wait_for_selector(".choices input")
    page.fill("#compare-images", "50")
    for box in page.locator(".choices input").all():
        box.set_checked(box.get_attribute("value") in ("perceptron", "mlp"))
    page.click("#compare-go")
    page.wait_for_selector(".result .sentence")
    assert page.locator(".result table").count() >= 4
    page.click("#tab-draw")
    with page.expect_download() as waiting:
        page.click("#export")
    file = tmp_path / "page.html"
    waiting.value.save_as(file)
    text = file.read_text()
    assert "https://" not in text
    state = json.loads(text.split('id="threegen-state">')[1].split("</script>")[0])
    assert len(state["seen"]) == 784
    other = browser.new_page()
    asked: list[str] = []
    other.on("request", lambda request: asked.append(request.url))
    other.goto(file.as_uri())
    assert other.locator(".card").count() == len(state["models"])
    assert other.evaluate("[...document.images].every(one => one.naturalWidth > 0)")
    assert all(url.startswith(("file:", "data:")) for url in asked)
    other.close()
