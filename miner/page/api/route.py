"""The routes: let in, read, judge, answer; every request is counted and none of them can make us fail."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from miner.engine.interface import Engine
from miner.page.api.answers import Outcome, outcomes, over_time, status_of
from miner.page.api.asked import Asked, read
from miner.page.api.door import Fault, admit
from miner.page.api.openapi import PATH, document
from miner.settings import Page, Wire

NDJSON = "application/x-ndjson"
AT_ONCE = 8
"""Requests being read or judged; a body is held in memory."""

Count = Callable[[str, float], None]


def create_api(engine: Engine, page: Page, wire: Wire, count: Count) -> list[BaseRoute]:
    """`POST /v1/classify` and `GET /openapi.json`; `count` gets every request's outcome and seconds."""
    described = document(wire, token=page.token is not None)

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    classify = _Classify(engine, page.token, wire, count)
    return [Route(PATH, classify, methods=["POST"]), Route("/openapi.json", openapi)]


@dataclass
class _Classify:
    """An ASGI application: `busy` counts a request until the last byte of its answer is out."""

    engine: Engine
    token: str | None
    wire: Wire
    count: Count
    busy: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        self.busy += 1
        try:
            response = await self._answer(Request(scope, receive), began)
            await response(scope, receive, send)
        finally:
            self.busy -= 1

    async def _answer(self, request: Request, began: float) -> Response:
        try:
            admit(request, self.token)
            if self.busy > AT_ONCE:
                raise Fault(429, "requests", f"more than {AT_ONCE} requests at once")
            asked = await read(request, self.wire)
        except Fault as fault:
            kind = "unauthorised" if fault.status in (401, 403) else "refused"
            self.count(kind, time.monotonic() - began)
            return fault.reply()
        if NDJSON in request.headers.get("accept", ""):
            return StreamingResponse(self._lines(asked, began), media_type=NDJSON)
        return await self._whole(asked, began)

    async def _whole(self, asked: Asked, began: float) -> Response:
        found = [each async for each in outcomes(asked, self.engine, began + asked.deadline_s)]
        self._count(found, began)
        found.sort(key=lambda each: each["scene"])
        if asked.several:
            whole = {"versions": self.engine.health().versions, "results": found}
            return JSONResponse({**whole, "progression": over_time(found)} if asked.series else whole)
        status = status_of(found[0])
        return JSONResponse(found[0], status, {"retry-after": "1"} if status == 503 else None)

    async def _lines(self, asked: Asked, began: float) -> AsyncIterator[bytes]:
        """A line of JSON per scene, as soon as it is known. Ends early with the connection."""
        found: list[Outcome] = []
        try:
            async with aclosing(outcomes(asked, self.engine, began + asked.deadline_s)) as arriving:
                async for each in arriving:
                    found.append(each)
                    yield json.dumps(each).encode() + b"\n"
        finally:
            self._count(found, began)

    def _count(self, found: list[Outcome], began: float) -> None:
        judged = sum("error" not in each for each in found)
        word = "answered" if judged == len(found) else "partly" if judged else "unanswered"
        self.count(word, time.monotonic() - began)
