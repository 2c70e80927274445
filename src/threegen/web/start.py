"""Start the live page: find a free port, serve, open the browser at once, and load the networks meanwhile.

Only light modules are imported here: the page opens before torch is loaded, and its requests wait.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from threegen.errors import ConfigError
from threegen.web.guards import Guard

PORT = 8310
KEEP_ALIVE = 60  # s that a connection may rest; one that is closed just as the browser writes loses a request
TRIED = 50  # further ports, if the first one is taken
STATIC = Path(__file__).parent / "static"
Load = Callable[[], Any]
Tell = Callable[[str], None]


class Page:
    """The ASGI application: static files at once, everything else as soon as `load` has returned the inner one."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.problem: BaseException | None = None
        self.failed: Callable[[], None] = lambda: None
        self._inner: Any = None
        self._done = threading.Event()
        routes = [
            Route("/", _index),
            Route("/favicon.ico", _icon),
            Mount("/static", StaticFiles(directory=STATIC)),
            Mount("/api", self._api),
        ]
        self.app = Starlette(routes=routes)

    def begin(self) -> None:
        """Load in a separate thread."""
        threading.Thread(target=self._load, daemon=True, name="page-load").start()

    def _load(self) -> None:
        try:
            self._inner = self.load()
        except BaseException as problem:  # told by whoever started the page
            self.problem = problem
            self.failed()
        finally:
            self._done.set()

    async def _api(self, scope: Any, receive: Any, send: Any) -> None:
        while not self._done.is_set():
            await asyncio.sleep(0.02)
        if self._inner is None:
            await Response(status_code=503)(scope, receive, send)
            return
        await self._inner(scope, receive, send)


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _icon(request: Request) -> Response:
    return FileResponse(STATIC / "icon.svg", media_type="image/svg+xml")


def play(
    load: Load,
    *,
    port: int = PORT,
    host: str = "127.0.0.1",
    open_browser: bool = True,
    tell: Tell = lambda sentence: None,
) -> None:
    """Serve the page until Ctrl-C.

    `load` returns the application that answers under `/api` (see `server.load_page`). `tell` gets the sentences for
    the user, the address first. If `port` is taken, the next free one is used. Raises `ConfigError` for an invalid
    port, and what `load` raises.
    """
    listening = free_socket(host, port)
    found = listening.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{'localhost' if host in ('0.0.0.0', '::') else shown}:{found}/"
    page = Page(load)
    names = [host, socket.gethostname()]
    # clients that keep a connection open (phones in a lecture hall) must not delay Ctrl-C
    config = uvicorn.Config(
        Guard(page.app, names),
        log_level="warning",
        lifespan="off",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE,
    )
    server = uvicorn.Server(config)
    page.failed = lambda: setattr(server, "should_exit", True)
    try:
        tell(f"threegen play: {address}" + ("" if found == port or not port else f" (port {port} is taken)"))
        if host not in ("127.0.0.1", "localhost", "::1"):
            tell("other machines can reach this page; leave --host out to prevent that")
        page.begin()
        if open_browser:
            threading.Thread(target=_open_when_up, args=(server, address), daemon=True).start()
        server.run(sockets=[listening])
    finally:
        listening.close()
    if page.problem is not None:
        raise page.problem


def free_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `port`, or on the next free one; 0 takes any. Raises `ConfigError`."""
    if not 0 <= port <= 65_535:
        raise ConfigError(f"port must be in 0..65535, got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for number in range(port, min(port + TRIED, 65_536)):
        one = socket.socket(family, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((host, number))
        except OSError as problem:
            one.close()
            if isinstance(problem, socket.gaierror):
                raise ConfigError(f"--host {host} is not an address of this machine") from problem
            continue
        one.listen(128)
        return one
    raise ConfigError(f"no port in {port}..{port + TRIED - 1} of {host} is free; choose another by --port")


def _open_when_up(server: Any, address: str) -> None:
    while not server.started and not server.should_exit:
        threading.Event().wait(0.02)
    webbrowser.open(address)
