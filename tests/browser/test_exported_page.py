"""The exported page in a real browser, opened from a file: the layers' JavaScript answers as torch does."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from threegen.datasets.load import load_data
from threegen.datasets.strokes import mnist_form_of_strokes
from threegen.errors import ConfigError
from threegen.functional.encoding import draw_spikes
from threegen.gen2.lenet import LeNet5Modern
from threegen.gen2.lenet_1989 import LeNet1989
from threegen.gen2.mlp import MLP
from threegen.gen3.networks import SpikingMLP
from threegen.randomness import draw_key, make_generator
from threegen.runs.pretrained import pretrained
from threegen.tracing.inputs import answer
from threegen.web.export_page import NETWORKS, STATIC, export_page, page_layers

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
MOST_BYTES = 5_000_000
DRAWINGS = json.loads((Path(__file__).parents[1] / "fixtures" / "hundred_strokes.json").read_text())
SEVEN = [(0.3, 0.2), (0.7, 0.2), (0.45, 0.8)]  # places on the pad, as shares of its sides

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; scripts/system_packages.sh installs it")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(export_page(tmp_path_factory.mktemp("page") / "digits.html")["file"])


@pytest.fixture
def page(browser: Any, file: Path) -> Iterator[Any]:
    """The page, opened from its file; it must ask for nothing else and complain of nothing."""
    opened = browser.new_page(viewport={"width": 1200, "height": 900}, locale="en-US")
    asked, complaints = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert asked == [file.as_uri()]
    assert complaints == []


def draw(page: Any, places: list[tuple[float, float]]) -> None:
    """Draw one stroke with the mouse."""
    box = page.locator("#pad").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=10)
    page.mouse.up()


def encoded(images: Tensor) -> list[str]:
    pixels = (images.flatten(1) * 255).round().to(torch.uint8).numpy()
    return [base64.b64encode(one.tobytes()).decode() for one in pixels]


def test_the_page_is_one_file_of_a_few_megabytes(file: Path) -> None:
    text = file.read_text()
    assert len(text.encode()) < MOST_BYTES
    assert " src=" not in text
    assert "http://" not in text
    assert "https://" not in text


def test_networks_answer_test_images_as_torch_does(page: Any) -> None:
    """The first 200 test images: the same digits, and scores that differ by the order of float32 sums alone."""
    images = load_data("mnist").test.inputs[:200]
    found = page.evaluate(
        "images => threegen.NETWORKS.map(net => images.map("
        "one => threegen.answer(net, threegen.intensities(one)).scores))",
        encoded(images),
    )
    for name, scores in zip(NETWORKS, found, strict=True):
        model = pretrained(name)
        with torch.no_grad():  # image by image, with the spikes that the page of `threegen play` draws
            ours = torch.cat([answer(model, one[None], make_generator(0, "page")) for one in images])
        theirs = torch.tensor(scores)
        assert torch.equal(theirs.argmax(1), ours.argmax(1)), name
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-4)


def test_the_hundred_drawings_are_prepared_as_in_python(page: Any) -> None:
    found = page.evaluate("all => all.map(one => Array.from(threegen.mnistForm(one.strokes)))", DRAWINGS)
    ours = torch.stack([mnist_form_of_strokes(one["strokes"]) for one in DRAWINGS]).flatten(1)
    assert torch.equal(torch.tensor(found), ours)


def test_taps_and_strange_strokes_are_prepared_as_in_python(page: Any) -> None:
    """A dot, a dot beside a line, a stroke back over itself, negative and tiny coordinates; nothing at all."""
    cases: list[list[list[tuple[float, float]]]] = [
        [[(7, 7)]],
        [[(0, 0), (0, 50)], [(30, 80)]],
        [[(5, 5), (90, 5), (5, 5)]],
        [[(-3.5, -1e-3), (2e-3, 4.25)], []],
    ]
    for strokes in cases:
        found = page.evaluate("strokes => Array.from(threegen.mnistForm(strokes))", strokes)
        assert torch.equal(torch.tensor(found), mnist_form_of_strokes(strokes).flatten())
    assert page.evaluate("threegen.mnistForm([[]])") is None


def test_a_drawn_seven_is_answered(page: Any) -> None:
    draw(page, SEVEN)
    verdict = page.locator("#verdict")
    playwright.expect(verdict).to_have_text("4 of 4 networks say 7.")  # not wait_for_function: the page forbids eval
    assert page.locator(".digit").all_inner_texts() == ["7"] * 4
    assert "spikes for this answer" in page.locator("[data-model=spiking-mlp] .spikes").inner_text()
    assert "threegen play" in page.locator("main").inner_text()  # the others need the server
    page.click("#clear")
    playwright.expect(verdict).to_have_text("Draw something.")
    assert page.locator(".digit").all_inner_texts() == [""] * 4


def test_the_keyboard_alone_gets_answers(page: Any) -> None:
    """A test image is chosen by Tab and Enter; each of the ten has a label."""
    buttons = page.locator("#samples button")
    assert buttons.count() == 10
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.digit === '3'"):
            break
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#verdict")).to_contain_text("networks say 3")
    assert buttons.nth(3).locator("canvas").get_attribute("aria-label") == "Test image of a 3"


def test_phone_width_dark_and_chinese(page: Any) -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    playwright.expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.click("#language")
    assert page.evaluate("document.documentElement.lang") == "zh"
    assert page.locator("h1").inner_text() == "写一个数字：4 个神经网络来回答"
    assert page.locator("[data-model=mlp] h3").inner_text() == "多层感知机"
    heights = [page.locator(one).bounding_box()["y"] for one in ("#pad", "#verdict", "#cards", "#others")]
    assert heights == sorted(heights)  # on a phone the answer is below the pad


def test_both_languages_have_all_texts(blank: Any) -> None:
    names = blank.evaluate(
        """async () => {
            const { WORDS } = await import("/export/words.js");
            return Object.values(WORDS).map((words) => Object.keys(words).sort());
        }"""
    )
    assert len(names) == 2
    assert names[0] == names[1]


# -- single layers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blank(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page on which the layers' files can be imported: from a folder that the test serves itself."""
    opened = browser.new_page()

    def serve(route: Any) -> None:
        path = STATIC / route.request.url.removeprefix("http://layers.test/")
        if path.is_file():
            route.fulfill(body=path.read_text(), content_type="text/javascript")
        else:
            route.fulfill(body="<title>layers</title>", content_type="text/html")

    opened.route("http://layers.test/**", serve)
    opened.goto("http://layers.test/")
    yield opened
    opened.close()


def answer_of(blank: Any, layers: list[dict[str, Any]], image: Tensor) -> list[float]:
    found: list[float] = blank.evaluate(
        """async ([layers, image]) => {
            const { answer, unpacked } = await import("/export/network.js");
            return answer(unpacked({ layers, temperature: 1 }), Float32Array.from(image)).scores;
        }""",
        [layers, image.flatten().tolist()],
    )
    return found


@pytest.mark.parametrize(
    "model",
    [
        MLP([784, 33, 21, 7], generator=torch.Generator().manual_seed(1)),
        LeNet5Modern(7, generator=torch.Generator().manual_seed(2)),
        SpikingMLP([784, 40, 20, 7], steps=9, decay=0.8, threshold=0.7, generator=torch.Generator().manual_seed(3)),
    ],
    ids=["dense", "convolutional", "spiking"],
)
def test_untrained_networks_of_other_sizes_answer_alike(blank: Any, model: nn.Module) -> None:
    drawn = torch.Generator().manual_seed(4)
    model.eval()
    for _ in range(5):
        image = torch.rand(1, 1, 28, 28, generator=drawn)
        with torch.no_grad():
            ours = answer(model, image, make_generator(0, "page"))[0]
        theirs = torch.tensor(answer_of(blank, list(page_layers("other", model)), image))
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


def test_spikes_are_those_that_python_draws(blank: Any) -> None:
    """Bit by bit, at 13 steps: three whole groups of four and a part of one."""
    image = torch.rand(784, generator=torch.Generator().manual_seed(5))
    image[:5] = torch.tensor([0.0, 1.0, 0.5, 1 / 65536, 2**-18])
    key = draw_key(make_generator(0, "page"))
    found = blank.evaluate(
        """async ([layer, image]) => {
            const { bernoulli } = await import("/layers/bernoulli.js");
            return bernoulli(layer, Float32Array.from(image)).spikes;
        }""",
        [{"steps": 13, "key": str(key)}, image.tolist()],
    )
    ours = draw_spikes(image[None], 13, key)[:, 0]
    assert [one.nonzero().ravel().tolist() for one in ours] == found


def test_half_precision_is_unpacked_exactly(blank: Any) -> None:
    """All 63,488 finite numbers of float16, by numpy's conversion."""
    bits = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
    halves = bits.view(torch.float16)
    finite = halves[halves.isfinite()]
    packed = base64.b64encode(finite.numpy().astype("<f2").tobytes()).decode()
    found = blank.evaluate(
        """async (packed) => {
            const { numbers } = await import("/export/network.js");
            return Array.from(numbers({ type: "float16", base64: packed }));
        }""",
        packed,
    )
    assert len(finite) == 63_488
    assert torch.equal(torch.tensor(found), finite.float())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (LeNet1989(), "needs the server"),
        (MLP([784, 5, 10], activation="tanh"), "the page cannot compute Tanh"),
        (SpikingMLP([784, 5, 10], encoder="latency"), "rate coding"),
        (SpikingMLP([784, 5, 10], reset="soft"), "hard reset"),
        (SpikingMLP([784, 5, 10], votes=3), "one output neuron per class"),
    ],
)
def test_what_the_page_cannot_compute_is_said(model: nn.Module, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        list(page_layers("other", model))


def test_a_page_has_an_html_name_and_a_network(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name it \.html"):
        export_page(tmp_path / "page.txt")
    with pytest.raises(ConfigError, match="at least one network"):
        export_page(tmp_path / "page.html", [])
    found = export_page(tmp_path / "page.html", ["perceptron"])
    assert found["models"] == ["perceptron"]
    assert found["bytes"] == (tmp_path / "page.html").stat().st_size
