"""Checks of every request (Host, Origin, size of the body) and the headers of every response."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"(?:\[(?P<inner>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z.-]+))(?::\d{1,5})?")
MOST_BYTES = 1_000_000
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


class TooLarge(Exception):
    """The body exceeds the size limit; raised by the code that reads it, which answers with `too_large`."""


def refusal(status: int, sentence: str, code: str, **headers: str) -> JSONResponse:
    """Return an error as the page reads it: one sentence and a code by which it is translated."""
    return JSONResponse({"error": sentence, "code": code}, status, headers=headers)


def too_large() -> JSONResponse:
    """Return the response to a body that exceeds the size limit."""
    return refusal(413, f"more than {MOST_BYTES:,} bytes were sent; the limit is 1 MB", "too-large")


class Guard:
    """Rejects requests from other sites and bodies that are too large; adds headers to all responses.

    A page elsewhere can make a browser send requests to a server on the loopback address (DNS rebinding lets it read
    the answers too). Its requests carry its own name as Host or as Origin: both must be ours. `names` are the host
    names that are accepted besides addresses, which cannot be rebound.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self.app = app
        self.names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        problem = self._problem(scope["method"], headers)
        if problem is not None:
            await problem(scope, receive, _with_headers(send))
            return
        await self.app(scope, _bounded(receive), _with_headers(send))

    def _problem(self, method: str, headers: dict[str, str]) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return refusal(403, "this name is not the server's own; open it as 127.0.0.1 or localhost", "host")
        if method in ("GET", "HEAD"):
            return None
        if method != "POST":
            return refusal(405, "only GET and POST are answered", "method")
        origin = urlsplit(headers.get("origin", ""))
        if origin.scheme not in ("http", "https") or origin.netloc.lower() != host.lower():
            return refusal(403, "only the page itself may send requests", "origin")
        length = headers.get("content-length", "")
        if length and (not length.isdigit() or int(length) > MOST_BYTES):
            return too_large()
        return None

    def _is_ours(self, host: str) -> bool:
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name = found["inner"] or found["name"]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower() in self.names
        return True


def _bounded(receive: Receive) -> Receive:
    """Count the bytes of the body while they arrive: a body without an announced length is limited too."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > MOST_BYTES:
                raise TooLarge
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def adding(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = [(name, value) for name, value in message.get("headers", [])]
            have = {name.lower() for name, _ in own}
            extra = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in have]
            message = {**message, "headers": [*own, *extra]}
        await send(message)

    return adding
