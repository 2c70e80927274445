"""The live page: time from the last pointer event to the update of the last card; and many clients at once.

    python benchmarks/play.py --json [--quick] [--threads N] [--run FOLDER ...] [--clients N] [--seconds N]

`stroke`: Chromium draws digits by mouse on the page of a real `threegen play`, both on the same pinned cores. A figure
is the time between the last pointer move of a drawing and the moment at which all cards show their answer to it (every
spiking network over all its time steps; heat maps and other pictures come later and are not included). `ours` is the
median in milliseconds, `p95` the 95th percentile.

`stroke-clients`: many clients draw at once, each sending the next request when it is answered, or when the server
allows it (503 with Retry-After). `ours` is the median of the answered requests; `errors` counts answers other than 200
and 503, `memory_mib` is the server's memory after the first tenth and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness import complain, pin, rounded, show, thread_variables

DRAWINGS = Path(__file__).parents[1] / "tests" / "fixtures" / "hundred_strokes.json"
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
NOTE = "window.lastMove = 0; addEventListener('pointermove', (e) => { window.lastMove = e.timeStamp; }, true);"


@contextmanager
def serving(threads: int, runs: list[str]) -> Iterator[tuple[str, int]]:
    """Run `threegen play` and yield its address and process, once all networks use their kernels."""
    command = [sys.executable, "-m", "threegen", "play", "--no-open", "--port", "0"]
    command += [word for run in runs for word in ("--run", str(Path(run).resolve()))]
    folder = tempfile.mkdtemp(prefix="threegen-play-")
    server = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=folder, env={**os.environ, **thread_variables(1)}
    )
    try:
        line = next((one for one in server.stderr or () if one.startswith("threegen play: ")), None)
        if line is None:
            raise SystemExit("threegen play did not start")
        address = line.removeprefix("threegen play: ").split()[0]
        began = time.perf_counter()
        wait_until_ready(address)
        complain(f"{address} is ready after {time.perf_counter() - began:.0f} s")
        yield address, server.pid
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ready(address: str) -> None:
    """Wait until kernels are compiled and everything is measured: this uses the processor, too."""
    import httpx

    while httpx.get(f"{address}api/models", timeout=600).json()["measuring"]:
        time.sleep(1)


def stroke(address: str, drawings: list[list[list[list[float]]]]) -> list[float]:
    """Return the milliseconds of each drawing; the first one warms up and is left out."""
    from playwright.sync_api import sync_playwright

    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise SystemExit("Chromium is not installed: apt-get install chromium")
    found = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(NOTE)
        page.goto(address + "#method=none")
        page.wait_for_selector("body[data-ready]", timeout=120_000)
        box = page.locator("#pad").bounding_box()
        if box is None:
            raise SystemExit("the page has no drawing pad")
        for strokes in drawings:
            page.click("#clear")
            page.wait_for_selector("body[data-idle=yes]", timeout=60_000)
            for points in strokes:
                thin = [*points[:-1:3], points[-1]]  # as far apart as in a fast drawing
                places = [(box["x"] + x / 280 * box["width"], box["y"] + y / 280 * box["height"]) for x, y in thin]
                page.mouse.move(*places[0])
                page.mouse.down()
                for place in places[1:]:
                    page.mouse.move(*place)
                    page.wait_for_timeout(12)
                page.mouse.up()
            page.wait_for_selector("body[data-idle=yes]", timeout=60_000)
            took = page.evaluate("Number(document.body.dataset.answered) - window.lastMove")
            page.wait_for_timeout(400)  # costs are counted meanwhile
            complain(f"{took:.0f} ms")
            if took > 0:  # else the last move was shorter than a pixel and changed nothing
                found.append(float(took))
        browser.close()
    return found[1:]


async def crowd(address: str, drawings: list[Any], clients: int, seconds: float, pid: int) -> dict[str, Any]:
    """Let clients draw at once; return their results."""
    import httpx

    statuses: Counter[int | str] = Counter()
    took: list[float] = []
    memory: list[float] = []
    end = time.perf_counter() + seconds
    origin = address.rstrip("/")

    async def draw(number: int, client: httpx.AsyncClient) -> None:
        choose = random.Random(number)
        while time.perf_counter() < end:
            points = choose.choice(drawings)
            began = time.perf_counter()
            try:
                answer = await client.post("/api/answer", json={"strokes": points})
            except httpx.TransportError as problem:
                statuses[type(problem).__name__] += 1
                continue
            statuses[answer.status_code] += 1
            if answer.status_code == 200:
                if not answer.text.endswith('{"done":true}\n'):
                    raise SystemExit("an answer was incomplete")
                took.append(1e3 * (time.perf_counter() - began))
            else:
                await asyncio.sleep(float(answer.headers.get("retry-after", 1)) * choose.uniform(0.5, 1.5))

    async def watch() -> None:
        await asyncio.sleep(seconds / 10)
        memory.append(resident_mib(pid))
        await asyncio.sleep(max(0.0, end - time.perf_counter()))
        memory.append(resident_mib(pid))

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=origin, headers={"origin": origin}, timeout=60, limits=limits) as client:
        await asyncio.gather(watch(), *(draw(number, client) for number in range(clients)))
    return {"statuses": dict(statuses), "took": took, "memory": memory}


def resident_mib(pid: int) -> float:
    """Return the memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def result(job: str, values: list[float], threads: int, **more: Any) -> dict[str, Any]:
    """Return the result of a job as all benchmarks print it."""
    packages = {name: version(name) for name in ("threegen", "torch", "starlette", "uvicorn")}
    ordered = sorted(values)
    return {
        "job": job,
        "unit": "ms",
        "ours": rounded(statistics.median(values)) if values else None,
        "p95": rounded(ordered[int(0.95 * (len(ordered) - 1))]) if values else None,
        "peers": {},
        "floor": None,
        "ratio_to_floor": None,
        "ratio_to_best_peer": None,
        "threads": threads,
        **more,
        "versions": {"python": platform.python_version(), **packages},
    }


def main() -> None:
    """Run the requested jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a job on standard output")
    parser.add_argument("--quick", action="store_true", help="fewer drawings, fewer clients, less time")
    parser.add_argument("--threads", type=int, default=2, help="cores that server and browser share")
    parser.add_argument("--run", action="append", default=[], help="a run to add to the page; repeatable")
    parser.add_argument("--clients", type=int, help="100, or 20 with --quick")
    parser.add_argument("--seconds", type=float, help="60, or 10 with --quick")
    parser.add_argument("--only", choices=["stroke", "stroke-clients"], help="run only this job")
    chosen = parser.parse_args()
    clients, seconds = chosen.clients or (20 if chosen.quick else 100), chosen.seconds or (10 if chosen.quick else 60)
    drawings = [one["strokes"] for one in json.loads(DRAWINGS.read_text())]
    pin(chosen.threads)
    with serving(chosen.threads, chosen.run) as (address, pid):
        import httpx

        cards = [one["name"] for one in httpx.get(f"{address}api/models").json()["models"]]
        if chosen.only in (None, "stroke"):
            some = drawings[:: 10 if chosen.quick else 3]
            values = stroke(address, some)
            memory = resident_mib(pid)
            show(result("stroke", values, chosen.threads, cards=cards, peak_mib=rounded(memory)), as_json=chosen.json)
        if chosen.only in (None, "stroke-clients"):
            got = asyncio.run(crowd(address, drawings, clients, seconds, pid))
            errors = {str(status): n for status, n in got["statuses"].items() if status not in (200, 503)}
            more = {
                "clients": clients,
                "seconds": seconds,
                "answered": got["statuses"].get(200, 0),
                "refused_503": got["statuses"].get(503, 0),
                "errors": errors,
                "memory_mib": [rounded(one) for one in got["memory"]],
                "peak_mib": rounded(max(got["memory"])),
            }
            show(result("stroke-clients", got["took"], chosen.threads, **more), as_json=chosen.json)
            if errors:
                complain(f"errors: {errors}")


if __name__ == "__main__":
    main()
