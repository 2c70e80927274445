"""A real Chromium, and a real `threegen play` in a process of its own with the weights that ship."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

WAIT = 180_000  # ms: the machines that run these tests are slow and shared; no test fails for being slow
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium (scripts/chromium.sh)")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("play")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "threegen", "play", "--no-open", "--port", "0"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stderr=log, stdout=log)
    try:
        yield _address(server, folder / "log")
    finally:
        server.terminate()
        server.wait(30)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("threegen play: "):
                return line.removeprefix("threegen play: ").split()[0]
        time.sleep(0.1)
    raise RuntimeError(f"threegen play did not start: {log.read_text()}")


@dataclass
class Opened:
    """A page, what it asked for and what it complained about."""

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def until(self, condition: str) -> None:
        """Wait until an expression holds; Playwright's own way needs `eval`, which the page's policy forbids."""
        deadline = time.monotonic() + WAIT / 1000
        while not self.page.evaluate(f"() => Boolean({condition})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"this never came: {condition}")
            self.page.wait_for_timeout(40)

    def idle(self) -> None:
        """Wait until the newest stroke is answered by all."""
        self.until("document.body.dataset.idle === 'yes'")

    def digits(self) -> list[str]:
        """Return the digit of each card, whatever the threshold says."""
        found: list[str] = self.page.eval_on_selector_all(
            ".card", "cards => cards.map(card => card.querySelector('.bars .best')?.textContent.trim() ?? '')"
        )
        return found

    def draw(self, *strokes: list[tuple[float, float]]) -> None:
        """Draw by mouse; the points are shares of the pad."""
        box = self.page.locator("#pad").bounding_box()
        for stroke in strokes:
            places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            self.page.mouse.move(*places[0])
            self.page.mouse.down()
            for place in places[1:]:
                self.page.mouse.move(*place, steps=8)
            self.page.mouse.up()
        self.idle()

    def set(self, slider: str, value: float) -> None:
        """Move a slider."""
        self.page.eval_on_selector(
            f"#{slider}", f"one => {{ one.value = {value}; one.dispatchEvent(new Event('input', {{bubbles: true}})) }}"
        )
        self.idle()


def _is_complaint(said: Any) -> bool:
    """Return whether a line of the console is one; the advice on reading a canvas is about the tests themselves."""
    return said.type in ("error", "warning") and "willReadFrequently" not in said.text


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    contexts: list[Any] = []
    pages: list[Opened] = []

    def open_one(path: str = "", **options: Any) -> Opened:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-US", **options})
        contexts.append(context)
        context.set_default_timeout(WAIT)
        opened = Opened(context.new_page())
        pages.append(opened)
        page, complaints = opened.page, opened.complaints
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("pageerror", lambda problem: complaints.append(str(problem)))
        page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
        page.goto(address + path)
        page.wait_for_selector("body[data-ready]")
        opened.idle()
        return opened

    yield open_one
    own = urlsplit(address).netloc
    asked = [url for one in pages for url in one.requests if not url.startswith(("data:", "blob:"))]
    complaints = [said for one in pages for said in one.complaints]
    for context in contexts:
        context.close()
    assert [url for url in asked if urlsplit(url).netloc != own] == [], "the page asked another machine"
    assert complaints == []
