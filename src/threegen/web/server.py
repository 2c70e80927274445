"""The application under /api: lines of JSON, each sent as soon as it is ready. See `start` for the page itself."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from threegen.errors import DataError, ThreegenError
from threegen.web import answers, explanations, spiking
from threegen.web.comparing import compare_members
from threegen.web.guards import TooLarge, refusal, too_large
from threegen.web.lineup import PageModel, models_for_page
from threegen.web.queue import Busy, Work
from threegen.web.request import Asked, BadRequest, encoded_image, number, read_question, whole
from threegen.web.state import PageState
from threegen.web.training import Order, trainable
from threegen.web.upload import Refused, picture_from_bytes

MOST_COMPARED = 6
Endpoint = Callable[[Request], Awaitable[Response]]
Job = Callable[[], dict[str, Any]]


def load_page(models: Sequence[str] = (), runs: Sequence[str | Path] = ()) -> Starlette:
    """Load the networks (see `models_for_page`) and return the application; slow things get ready in the background."""
    torch.set_num_threads(1)  # a single image gains nothing from more; the page has its own threads
    state = PageState(models_for_page(models, runs))
    threading.Thread(target=state.get_ready, daemon=True, name="page-ready").start()
    return make_app(state)


def make_app(state: PageState) -> Starlette:
    """Return the application that serves `state`; put it behind a `Guard`."""
    api = _Api(state)
    posts = {
        "answer": api.answer,
        "cost": api.cost,
        "heat": api.heat,
        "inside": api.inside,
        "dream": api.dream,
        "spikes": api.spikes,
        "steps": api.steps,
        "compare": api.compare,
        "train": api.train,
        "upload": api.upload,
        "test-image": api.test_image,
    }
    routes = [Route(f"/{name}", _guarded(endpoint), methods=["POST"]) for name, endpoint in posts.items()]
    gets = [Route("/models", api.models), Route("/training", api.training)]
    return Starlette(routes=[*gets, *routes])


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint whose errors are one sentence, a code and a status."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Busy:
            return refusal(503, "too many requests at once; try again in a second", "busy", **{"retry-after": "1"})
        except TooLarge:
            return too_large()
        except Refused as problem:
            return refusal(problem.status, str(problem), problem.code)
        except BadRequest as problem:
            return refusal(400, str(problem), "bad-request")
        except DataError as problem:
            return refusal(422, str(problem), "empty" if "empty" in str(problem) else "data")
        except ThreegenError as problem:
            return refusal(422, str(problem), "cannot")
        except ClientDisconnect:
            return Response(status_code=499)

    return guarded


async def body_of(request: Request) -> Any:
    """Return the JSON body; raises `BadRequest`."""
    try:
        return json.loads(await request.body())
    except TooLarge:
        raise
    except (ValueError, RecursionError) as problem:
        raise BadRequest("expected JSON") from problem


class _Api:
    """The endpoints. Names of models are looked up in the state's list only; no request contains a path."""

    def __init__(self, state: PageState) -> None:
        self.state = state
        self.work = Work()

    async def models(self, request: Request) -> Response:
        return JSONResponse(self.state.describe())

    async def answer(self, request: Request) -> Response:
        """Answer an image by all models: a line with the image as the networks see it, then a line for each model."""
        body = await body_of(request)
        members = self.state.chosen(body)
        return await self._stream(body, lambda asked: [partial(_answer_one, one, asked) for one in members])

    async def cost(self, request: Request) -> Response:
        """Count what the answer of each model costs."""
        body = await body_of(request)
        members = self.state.chosen(body)
        return await self._stream(body, lambda asked: [partial(_bill_one, one, asked) for one in members])

    async def heat(self, request: Request) -> Response:
        """Draw a heat map over the image for each model, by one method."""
        body = await body_of(request)
        members = self.state.chosen(body)
        method = body.get("method")
        if method not in explanations.METHODS:
            raise BadRequest(f"method must be one of {', '.join(explanations.METHODS)}")
        return await self._stream(
            body, lambda asked: [partial(explanations.heat, one, asked, method) for one in members]
        )

    async def inside(self, request: Request) -> Response:
        """Show the hidden units of one model."""
        return await self._of_one(request, explanations.inside)

    async def spikes(self, request: Request) -> Response:
        """Show what a spiking model does at each time step."""
        return await self._of_one(request, spiking.record_of)

    async def dream(self, request: Request) -> Response:
        """Let a deep belief net dream of a digit."""
        body = await body_of(request)
        member = self.state.find(body.get("model") if isinstance(body, dict) else None)
        digit, seed = whole(body, "digit", 0, least=0, most=9), whole(body, "seed", 0, least=0, most=2**31)
        async with self.work.turn():
            return JSONResponse(await self.work.run(explanations.dream, member, digit, seed))

    async def steps(self, request: Request) -> Response:
        """Measure how good a spiking model is if it answers after fewer time steps."""
        body = await body_of(request)
        member = self.state.find(body.get("model") if isinstance(body, dict) else None)
        async with self.work.turn():
            return JSONResponse(await self.work.run(self.state.accuracy_by_steps, member))

    async def compare(self, request: Request) -> Response:
        """Compare models on the first test images."""
        body = await body_of(request)
        members = self.state.chosen(body)
        if not 2 <= len(members) <= MOST_COMPARED:
            raise BadRequest(f"choose 2 to {MOST_COMPARED} models to compare")
        images = whole(body, "images", 500, least=50, most=2_000)
        async with self.work.turn():
            test = await self.work.run(lambda: self.state.data.test)
            return JSONResponse(await self.work.run(compare_members, members, test, images))

    async def training(self, request: Request) -> Response:
        """Return the models that can be trained, and the state of the training."""
        return JSONResponse({"models": trainable(), **self.state.live.describe()})

    async def train(self, request: Request) -> Response:
        """Start, pause, continue, prolong or stop the training, set its rate, or add its run to the page."""
        body = await body_of(request)
        await asyncio.to_thread(_train, self.state, body)  # quick, and must not wait behind answers
        return JSONResponse(self.state.live.describe())

    async def _of_one(self, request: Request, function: Callable[[PageModel, Asked], dict[str, Any]]) -> Response:
        body = await body_of(request)
        member = self.state.find(body.get("model") if isinstance(body, dict) else None)
        async with self.work.turn():
            asked = await self.work.run(read_question, body)
            return JSONResponse(await self.work.run(function, member, asked))

    async def _stream(self, body: Any, jobs: Callable[[Asked], list[Job]]) -> Response:
        """Return lines of JSON, the image first. The queue is entered before the response begins, so that it can still
        refuse."""
        turn = self.work.turn()
        await turn.__aenter__()
        try:
            asked = await self.work.run(read_question, body)
        except BaseException as problem:
            await turn.__aexit__(type(problem), problem, problem.__traceback__)
            raise

        async def lines() -> AsyncIterator[bytes]:
            try:
                yield _line({"seen": encoded_image(asked.image)})
                async for found in self.work.each(jobs(asked)):
                    yield _line(found)
                yield _line({"done": True})
            finally:
                await turn.__aexit__(None, None, None)

        return _Lines(lines(), media_type="application/x-ndjson")

    async def upload(self, request: Request) -> Response:
        """Take the bytes of a picture file, without a file name."""
        content = await request.body()
        async with self.work.turn():
            image, inverted = await self.work.run(picture_from_bytes, content)
        return JSONResponse({"image": encoded_image(image), "inverted": inverted})

    async def test_image(self, request: Request) -> Response:
        """Return a test image: number `index`, or one (of `digit`) that the model `wrong_for` misclassifies."""
        body = await body_of(request)
        async with self.work.turn():
            found = await self.work.run(self.state.test_image, body)
        return JSONResponse(found)


class _Lines(StreamingResponse):
    """A stream whose generator is closed at once when the client leaves, so that its computation stops."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            close = getattr(self.body_iterator, "aclose", None)
            if close is not None:
                await close()


def _train(state: PageState, body: Any) -> None:
    """Carry out an action of the training tab."""
    if not isinstance(body, dict):
        raise BadRequest("expected a JSON object")
    live, action = state.live, body.get("action")
    if action == "start":
        model, rule = body.get("model"), body.get("rule")
        if not isinstance(model, str) or not isinstance(rule, str):
            raise BadRequest("model and rule must be names")
        live.start(
            Order(
                model,
                rule,
                epochs=whole(body, "epochs", 1, least=1, most=50),
                images=whole(body, "images", 10_000, least=500, most=59_500),
                seed=whole(body, "seed", 0, least=0, most=2**31),
                rate=None if body.get("rate") is None else number(body, "rate", 0.001, least=1e-6, most=10.0),
            )
        )
    elif action == "rate":
        live.set_rate(number(body, "rate", 0.001, least=1e-6, most=10.0))
    elif action == "join":
        state.join_trained()
    elif action in ("pause", "go_on", "stop", "add_epoch"):
        {"pause": live.pause, "go_on": live.go_on, "stop": live.stop, "add_epoch": live.add_epoch}[action]()
    else:
        raise BadRequest("action must be one of start, pause, go_on, stop, add_epoch, rate, join")


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _answer_one(member: PageModel, asked: Asked) -> dict[str, Any]:
    return _or_sentence(
        member, lambda: answers.answer(member, asked.image, seed=asked.seed, off=asked.off.get(member.name))
    )


def _bill_one(member: PageModel, asked: Asked) -> dict[str, Any]:
    return _or_sentence(member, lambda: answers.bill(member, asked.image, seed=asked.seed))


def _or_sentence(member: PageModel, function: Job) -> dict[str, Any]:
    """Return a result, or the sentence that says why there is none: one card must not stop the others."""
    try:
        return function()
    except ThreegenError as problem:
        return {"name": member.name, "error": str(problem)}
