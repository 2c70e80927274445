"""The page may be left running: what other sites, large bodies, wrong pictures and crowds get."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

import threegen.web
from threegen.errors import ConfigError
from threegen.web.guards import Guard
from threegen.web.lineup import PageModel
from threegen.web.queue import Work
from threegen.web.server import make_app
from threegen.web.start import free_socket
from threegen.web.state import PageState

OWN = "http://127.0.0.1:8310"


def run_apart(work: Any) -> Any:
    """Run a coroutine in a thread of its own: a browser test before may have left a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def picture(mode: str = "L", size: tuple[int, int] = (60, 60), kind: str = "PNG", **options: Any) -> bytes:
    """Return a file: a dark bar on light paper."""
    values = np.full((size[1], size[0]), 250, np.uint8)
    values[size[1] // 4 : 3 * size[1] // 4, size[0] // 2 - 3 : size[0] // 2 + 3] = 10
    file = BytesIO()
    Image.fromarray(values).convert(mode).save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """Return a PNG that only claims its size: its pixels are missing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


# -- who may ask --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8310", "127.0.0.1.evil.example", "", "[::1].evil"])
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    """DNS rebinding: a name of somebody else that leads to the loopback address."""
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:8310", "127.0.0.1:1234", "[::1]:8310", "192.168.1.7:8310"])
def test_own_names_and_addresses_are_taken(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://127.0.0.1:9999", "file://"])
def test_another_origin_cannot_post(client: TestClient, seven: dict[str, object], origin: str) -> None:
    answer = client.post("/api/answer", json=seven, headers={"origin": origin})
    assert answer.status_code == 403
    assert answer.json()["code"] == "origin"


def test_no_cors_header_and_a_strict_policy(client: TestClient, seven: dict[str, object]) -> None:
    for answer in (client.get("/"), client.get("/static/main.js"), client.post("/api/answer", json=seven)):
        assert answer.status_code == 200
        assert not any(name.startswith("access-control") for name in answer.headers)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_other_methods_are_refused(client: TestClient) -> None:
    assert client.put("/api/answer", content=b"").status_code == 405
    assert client.delete("/api/models").status_code == 405


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/etc/passwd"]
)
def test_no_file_outside_of_static_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_it_listens_on_loopback_and_takes_the_next_free_port() -> None:
    first = free_socket("127.0.0.1", 0)
    try:
        host, port = first.getsockname()
        assert host == "127.0.0.1"
        second = free_socket("127.0.0.1", port)
        assert second.getsockname()[1] > port
        second.close()
    finally:
        first.close()
    with pytest.raises(ConfigError, match="port"):
        free_socket("127.0.0.1", 70_000)


# -- what may be sent ---------------------------------------------------------------------------------------------


def test_a_picture_is_read_and_turned_to_light_on_dark(client: TestClient) -> None:
    answer = client.post("/api/upload", content=picture())
    assert answer.status_code == 200
    assert answer.json()["inverted"] is True


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"x" * 1_000_001, 413, "too-large"),
        (png_header(2001, 2000), 413, "pixels"),
        (png_header(60_000, 60_000), 413, "pixels"),
        (picture("CMYK", kind="JPEG"), 415, "cmyk"),
        (b"this is a text with a picture's name\n" * 20, 415, "not-a-picture"),
        (b"", 415, "not-a-picture"),
        (picture()[:60], 415, "not-a-picture"),
        (b"\x80\x04\x95pickle", 415, "not-a-picture"),
        (b"GIF89a" + b"\xff" * 50, 415, "not-a-picture"),
        (png_header(10, 10, depth=16, colour=2), 415, "depth"),
        (png_header(10, 10, depth=16, colour=0), 415, "depth"),
    ],
    ids=["bytes", "pixels", "bomb", "cmyk", "text", "nothing", "cut", "pickle", "gif", "16-bit-colour", "16-bit-grey"],
)
def test_what_is_no_plain_picture_is_refused_with_a_sentence(
    client: TestClient, content: bytes, status: int, code: str
) -> None:
    answer = client.post("/api/upload", content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["error"].count(". ") == 0  # one sentence


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_an_animation_is_refused(client: TestClient, kind: str) -> None:
    file = BytesIO()
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("white", "black", "white")]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    answer = client.post("/api/upload", content=file.getvalue())
    assert (answer.status_code, answer.json()["code"]) == (415, "animated")


def test_a_tiff_of_the_same_pixels_is_not_even_opened(client: TestClient) -> None:
    """Few decoders, few holes: only the formats that the page names."""
    assert client.post("/api/upload", content=picture(kind="TIFF")).status_code == 415


def test_a_body_of_unknown_length_is_limited_too(client: TestClient) -> None:
    def parts() -> Any:
        for _ in range(30):
            yield b"x" * 50_000

    assert client.post("/api/upload", content=parts()).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"strokes": 3}',
        b'{"strokes": [[["a", 1]]]}',
        b'{"strokes": [[[1, 2, 3]]]}',
        b'{"strokes": [[[NaN, 2]]]}',
        b'{"strokes": [[[1e9, 2]]]}',
        b'{"image": "AAAA"}',
        b'{"image": 5}',
        b'{"strokes": [[[1, 1]]], "damage": {"noise": 7}}',
        b'{"strokes": [[[1, 1]]], "damage": {"noise": true}}',
        b'{"strokes": [[[1, 1]]], "seed": -1}',
        b'{"strokes": [[[1, 1]]], "models": ["../../etc/passwd"]}',
        b'{"strokes": [[[1, 1]]], "models": [{"name": 1}]}',
        b'{"strokes": [[[1, 1]]], "off": {"mlp": [1]}}',
        b'{"strokes": [[[1, 1]]], "off": {"mlp": {"layers": [1e9]}}}',
        b"[" * 100_000,
    ],
)
def test_what_the_page_does_not_send_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/api/answer", content=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "bad-request"


def test_a_drawing_of_too_many_points_is_refused(client: TestClient) -> None:
    strokes = [[[i % 200, i % 131] for i in range(5_000)]]
    assert client.post("/api/answer", json={"strokes": strokes}).status_code == 400


@pytest.mark.parametrize("name", ["inside", "spikes", "dream", "steps", "heat"])
def test_models_are_named_by_what_the_page_lists(client: TestClient, name: str, seven: dict[str, object]) -> None:
    for model in ("/etc/passwd", "../mlp", "no-such", 3, None):
        body = {**seven, "model": model, "models": [model], "method": "saliency"}
        assert client.post(f"/api/{name}", json=body).status_code == 400


# -- how much at once ---------------------------------------------------------------------------------------------


def test_a_full_queue_says_when_to_come_back(state: PageState, seven: dict[str, object]) -> None:
    """All turns are taken by requests that wait for a model whose lock is held."""
    app = Guard(make_app(state))

    async def crowd() -> tuple[list[tuple[int, str | None]], int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=OWN, headers={"origin": OWN}, timeout=60) as client:
            with state.by_name["mlp"].lock:
                asking = [asyncio.create_task(client.post("/answer", json=seven)) for _ in range(40)]
                while sum(one.done() for one in asking) < 24:
                    await asyncio.sleep(0.01)
            answers = [await one for one in asking]
            after = await client.post("/answer", json=seven)
        return [(one.status_code, one.headers.get("retry-after")) for one in answers], after.status_code

    statuses, after = run_apart(asyncio.wait_for(crowd(), 60))
    assert sorted(set(statuses)) == [(200, None), (503, "1")]
    assert sum(status == 200 for status, _ in statuses) == 16
    assert after == 200


def test_a_client_that_leaves_stops_its_computation(state: PageState, seven: dict[str, object]) -> None:
    """The client reads one line and goes; of the models that have not begun none is asked."""
    asked: list[str] = []
    first = threading.Event()

    def slow(member: PageModel) -> Any:
        own = member.scores

        def scores(images: Any, seed: int = 0) -> Any:
            asked.append(member.name)
            first.wait(30)
            return own(images, seed)

        return scores

    for member in state.models:
        member.scores = slow(member)  # type: ignore[method-assign]
    app = make_app(state)

    async def leave() -> None:
        gone = asyncio.Event()
        body = json.dumps(seven).encode()
        incoming = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if incoming:
                return incoming.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body" and message.get("body"):
                gone.set()

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/answer",
            "headers": [],
            "query_string": b"",
            "asgi": {"spec_version": "2.1"},
        }
        try:
            await asyncio.wait_for(app(scope, receive, send), 20)
        finally:
            first.set()
        await asyncio.sleep(0.2)

    run_apart(leave())
    assert 1 <= len(asked) <= 2 < len(state.models)  # what the two threads had begun


def test_turns_are_given_back_after_errors() -> None:
    async def use() -> int:
        work = Work(active=1, waiting=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with work.turn():
                    await work.run(lambda: 1 // 0)
        return work.present

    assert run_apart(use()) == 0


def test_the_server_has_no_place_for_a_model_file() -> None:
    """Nothing in threegen.web loads weights from what a client sends."""
    source = Path(threegen.web.__file__).parent
    for file in ("server.py", "request.py", "upload.py", "queue.py", "guards.py"):
        text = (source / file).read_text()
        assert "open_run" not in text
        assert "load_weights" not in text


def test_the_guard_lets_no_websocket_through(state: PageState) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    run_apart(Guard(make_app(state))({"type": "websocket", "headers": []}, receive, send))
    assert sent == []
