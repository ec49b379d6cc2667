"""The reference miner's path from the socket to the verdict, emulated. `python -m harness.reference`.

What it has in common with the original: a transformers pipeline called once per request inside an async
function on the event loop, always on the CPU, behind a middleware of the kind the stock Axon has (an answer
passes through other tasks before it is written). What it leaves out, in its favour: the Axon's signature
check and its two parsings of the body. Reads one JSON line {"model", "threads"}, answers {"port", "pid"},
stops at the end of input."""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
import threading
from io import BytesIO
from typing import Any

import torch
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from transformers import pipeline

from harness.front import say


async def pass_through(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def application(model: str) -> Starlette:
    classify = pipeline("image-classification", model=model)

    async def forward(request: Request) -> JSONResponse:
        fields: dict[str, Any] = await request.json()
        try:
            image = Image.open(BytesIO(base64.b64decode(fields["image"])))
            prediction = {each["label"]: each["score"] for each in classify(image)}["Roadwork"]
        except Exception:  # noqa: BLE001 - as the original does: any error is the answer -1
            prediction = -1.0
        return JSONResponse({**fields, "image": None, "prediction": prediction})

    routes = [Route("/ImageSynapse", forward, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_through)])


def main() -> None:
    said = json.loads(sys.stdin.readline())
    torch.set_num_threads(said["threads"])
    app = application(said["model"])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    say({"port": listener.getsockname()[1], "pid": os.getpid()})
    server.run(sockets=[listener])


def stop_at_end_of_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
