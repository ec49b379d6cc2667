"""What the operator does on the page: the control socket's commands over HTTP, and the pictures to judge.

The page calls the same commands as the CLI. Only those in `COMMANDS` can be called from here.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from miner.capture import NoPicture
from miner.control import Command
from miner.page.api.door import Fault, admit_near

COMMANDS = frozenset(
    {
        *("rewards_history", "accuracy_history"),
        *("models", "swap_status", "swap", "rollback"),
        *("review_next", "review_label", "review_undo"),
        *("jobs", "job_run", "job_pause", "job_resume"),
        *("capture_status", "capture_set", "capture_purge"),
    }
)
BODY_BYTES = 16 * 1024
PATIENCE_S = 30.0
DIGEST = re.compile(r"[0-9a-f]{64}")

Picture = Callable[[str], bytes]
"""SHA-256 in hex -> the JPEG kept of it. Raises NoPicture."""


def create_desk(commands: Mapping[str, Command], picture: Picture, token: str | None) -> list[BaseRoute]:
    """`GET /v1/commands` lists what there is, `POST /v1/commands/NAME` takes a JSON object of arguments and
    answers {"result": ...} or {"error", "message"}; `GET /v1/pictures/SHA256` is a JPEG.

    `commands` may be filled later. Whoever is not on this machine needs the token.
    """

    async def listed(request: Request) -> Response:
        try:
            admit_near(request, token)
        except Fault as fault:
            return fault.reply()
        return JSONResponse(sorted(COMMANDS & commands.keys()))

    async def called(request: Request) -> Response:
        try:
            admit_near(request, token)
            result = await _call(commands, request.path_params["name"], await _arguments(request))
        except Fault as fault:
            return fault.reply()
        return JSONResponse({"result": result})

    async def seen(request: Request) -> Response:
        try:
            admit_near(request, token)
            content = await _picture(picture, request.path_params["digest"])
        except Fault as fault:
            return fault.reply()
        return Response(content, media_type="image/jpeg")

    return [
        Route("/v1/commands", listed),
        Route("/v1/commands/{name}", called, methods=["POST"]),
        Route("/v1/pictures/{digest}", seen),
    ]


async def _call(commands: Mapping[str, Command], name: str, arguments: dict[str, Any]) -> Any:
    if name not in COMMANDS or name not in commands:
        raise Fault(404, "command", "no such command")
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await commands[name](**arguments)
    except TimeoutError:
        raise Fault(504, "time", f"{name} took longer than {PATIENCE_S:.0f} s") from None
    except (ValueError, TypeError) as error:  # TypeError: arguments that the command does not have
        raise Fault(400, "refused", str(error)) from None


async def _arguments(request: Request) -> dict[str, Any]:
    """JSON only: a form of another site cannot send that without being asked about first."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Fault(415, "type", "arguments are application/json")
    if int(request.headers.get("content-length") or 0) > BODY_BYTES:
        raise Fault(413, "size", f"arguments are at most {BODY_BYTES} bytes")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise Fault(413, "size", f"arguments are at most {BODY_BYTES} bytes")
    try:
        given = json.loads(bytes(body) or b"{}")
    except (ValueError, RecursionError):
        raise Fault(400, "json", "arguments are a JSON object") from None
    if not isinstance(given, dict):
        raise Fault(400, "json", "arguments are a JSON object")
    return given


async def _picture(picture: Picture, digest: str) -> bytes:
    if not DIGEST.fullmatch(digest):
        raise Fault(404, "picture", "no such picture")
    try:
        return await asyncio.to_thread(picture, digest)
    except (NoPicture, OSError) as error:
        raise Fault(404, "picture", "no such picture is kept") from error
