"""Make the pictures of the live page for README and docs: docs/pictures/play*.png and play.gif.

    python scripts/play_pictures.py [--out docs/pictures] [--run FOLDER ...]

It starts `threegen play`, draws in a headless Chromium and takes pictures of what a user sees.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
DRAWINGS = ROOT / "tests" / "fixtures" / "hundred_strokes.json"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
]
FRAMES_APART = 6  # points of the drawing between two frames of the animation


@contextmanager
def serving(runs: list[str]) -> Iterator[str]:
    """Run `threegen play` until all networks are ready, and yield its address."""
    command = [sys.executable, "-m", "threegen", "play", "--no-open", "--port", "0"]
    command += [word for run in runs for word in ("--run", str(Path(run).resolve()))]
    folder = tempfile.mkdtemp(prefix="threegen-play-")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment)
    try:
        lines = iter(server.stderr or [])
        found = next(line for line in lines if line.startswith("threegen play: "))
        yield found.removeprefix("threegen play: ").split()[0]
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def opened(browser: Any, address: str, path: str = "", **options: Any) -> Any:
    """Return a page whose networks have all answered."""
    page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}, **options})
    page.set_default_timeout(180_000)
    page.goto(address + path)
    page.wait_for_selector("body[data-ready]")
    while page.evaluate("fetch('/api/models').then((answer) => answer.json()).then((found) => found.measuring)"):
        time.sleep(1)
    page.reload()
    page.wait_for_selector("body[data-ready]")
    settle(page)
    return page


def settle(page: Any) -> None:
    """Wait for answers, costs and heat maps."""
    page.wait_for_selector("body[data-idle=yes]")
    page.wait_for_timeout(4_000)


def draw(page: Any, strokes: list[list[list[float]]], frames: list[bytes] | None = None) -> None:
    """Draw strokes by mouse; with `frames` add a picture of the page every few points."""
    box = page.locator("#pad").bounding_box()
    page.click("#clear")
    number = 0
    for stroke in strokes:
        places = [(box["x"] + x / 280 * box["width"], box["y"] + y / 280 * box["height"]) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
            number += 1
            if frames is not None and number % FRAMES_APART == 0:
                page.wait_for_selector("body[data-idle=yes]")
                frames.append(page.screenshot())
        page.mouse.up()


def animation(page: Any, strokes: list[list[list[float]]], file: Path) -> None:
    """Write a GIF of the page while a digit is drawn."""
    frames: list[bytes] = []
    draw(page, strokes, frames)
    settle(page)
    frames += [page.screenshot()] * 6
    pictures = [Image.open(BytesIO(one)).convert("RGB").resize((800, 562), Image.Resampling.LANCZOS) for one in frames]
    first = pictures[-1].quantize(64, dither=Image.Dither.NONE)
    shown = [one.quantize(64, palette=first, dither=Image.Dither.NONE) for one in pictures]
    shown[0].save(file, save_all=True, append_images=shown[1:], duration=220, loop=0, optimize=True)


def smaller(content: bytes, file: Path, width: int) -> None:
    """Write a picture of the page, scaled to a width, in few colors."""
    picture = Image.open(BytesIO(content)).convert("RGB")
    scaled = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    scaled.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


def main() -> None:
    """Take all pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--run", action="append", default=[], help="a run to add to the page; repeatable")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    drawings = json.loads(DRAWINGS.read_text())
    by_digit = {digit: [one["strokes"] for one in drawings if one["digit"] == digit] for digit in range(10)}
    with serving(chosen.run) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = opened(browser, address)
        smaller(page.screenshot(), chosen.out / "play.png", 1280)
        animation(page, by_digit[4][0], chosen.out / "play.gif")
        page.click("[data-name=spiking-mlp] footer button")
        page.evaluate("document.querySelector('.top').style.position = 'static'")  # it would cover the picture
        settle(page)
        smaller(page.locator("#inside").screenshot(), chosen.out / "play-inside.png", 1100)
        page = opened(browser, address, color_scheme="dark")
        smaller(page.screenshot(), chosen.out / "play-dark.png", 1000)
        phone = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
        page = opened(browser, address, **phone, device_scale_factor=2)
        smaller(page.screenshot(), chosen.out / "play-phone.png", 390)
        browser.close()
    for file in sorted(chosen.out.glob("play*")):
        sys.stdout.write(f"{file}: {file.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
