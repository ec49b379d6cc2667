"""The operator's side over HTTP: a readable page, its JSON, metrics, health, and what is given beside."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from miner.page.api.door import Fault

SITE = "site"
INDEX = "index.html"
MEDIA = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
ANY_HOST = ("/health/live", "/health/ready", "/health/members")
"""Probes call by whatever name they know; there is nothing to read there."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def create_page(
    status: Callable[[], Mapping[str, Any]],
    metrics: Callable[[], bytes],
    reasons: Callable[[], Sequence[str]],
    allowed_hosts: Sequence[str] = (),
    more: Sequence[BaseRoute] = (),
    admit: Callable[[Request], None] = lambda _: None,
    members: Callable[[], Sequence[Mapping[str, Any]]] = list,
) -> Starlette:
    """The application.

    `status`   the `miner.status.Status` of this moment; `metrics` the Prometheus text.
    `reasons`  why challenges are not answered now; empty when they are (then /health/ready is 200, else 503).
    `allowed_hosts`  names it may be called by beside localhost and IP addresses.
    `more`     routes beside these, behind the same guard.
    `admit`    raises Fault for whoever may not read the status. Metrics and health are open to all.
    `members`  the state of each part, for /health/members.
    """

    async def status_json(request: Request) -> Response:
        try:
            admit(request)
        except Fault as fault:
            return fault.reply()
        return JSONResponse(status())

    async def metrics_text(_: Request) -> Response:
        return Response(metrics(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        why = list(reasons())
        return JSONResponse({"ready": not why, "reasons": why}, status_code=503 if why else 200)

    async def each(_: Request) -> Response:
        return JSONResponse({"members": list(members())})

    routes: list[BaseRoute] = [*more, *_site()]
    routes += [Route("/status.json", status_json), Route("/metrics", metrics_text)]
    routes += [Route("/health/live", live), Route("/health/ready", ready)]
    routes += [Route("/health/members", each)]
    return Starlette(routes=routes, middleware=[Middleware(Guard, allowed_hosts=allowed_hosts)])


class Guard:
    """Refuses names that are not ours, and puts the security headers on every answer.

    The names are against DNS rebinding: a foreign page whose own name resolves to this address.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._names = {"localhost", *(name.lower() for name in allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        host = Headers(scope=scope).get("host", "")
        if scope["path"] in ANY_HOST or self.knows(host):
            await self._app(scope, receive, guarded)
        else:
            refusal = PlainTextResponse(
                "This page is not served under that name; see page.allowed_hosts.\n", status_code=421
            )
            await refusal(scope, receive, guarded)

    def knows(self, host: str) -> bool:
        """Whether a Host header names us: an IP address, localhost or an allowed name, with any port."""
        name = host_name(host)
        return name in self._names or _is_address(name)


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, in lower case."""
    if host.startswith("["):
        name, _, rest = host[1:].partition("]")
        return name.lower() if rest.partition(":")[0] == "" else host.lower()
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _site() -> list[Route]:
    """A route for each file of the page; the index at the root."""
    names = sorted(file.name for file in resources.files("miner.page").joinpath(SITE).iterdir())
    return [Route("/" if name == INDEX else f"/{name}", _file(name)) for name in names]


def _file(name: str) -> Callable[[Request], Any]:
    content = resources.files("miner.page").joinpath(SITE, name).read_bytes()
    media_type = MEDIA[name.rpartition(".")[2]]

    async def serve(_: Request) -> Response:
        return Response(content, media_type=media_type)

    return serve
