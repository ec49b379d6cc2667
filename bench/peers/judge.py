"""What both peers judge with: a transformers checkpoint in float32 on torch, as anybody would serve it."""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
import threading
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

ROUTE = "/ImageSynapse"
PATIENCE_S = 9.0
"""Of a validator: what takes longer may as well not be answered."""


class Judge:
    """`batch` decoded challenges at a time -> P(roadwork) of each."""

    def __init__(self, model: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._processor = AutoImageProcessor.from_pretrained(model)
        self._network = AutoModelForImageClassification.from_pretrained(model, dtype=torch.float32).eval()
        self._positive = self._network.config.label2id["Roadwork"]

    def pixels(self, challenge: dict[str, Any]) -> Any:
        """A challenge's JSON as the network's input."""
        image = Image.open(BytesIO(base64.b64decode(challenge["image"]))).convert("RGB")
        return self._processor(image, return_tensors="pt")["pixel_values"][0]

    def judge(self, batch: Sequence[Any]) -> list[float]:
        with torch.inference_mode():
            logits = self._network(pixel_values=torch.stack(list(batch))).logits
        return logits.softmax(-1)[:, self._positive].tolist()


def told() -> dict[str, Any]:
    """The line that starts a server: {"model", "threads", "batch"}."""
    line: dict[str, Any] = json.loads(sys.stdin.readline())
    return line


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def greet(port: int) -> None:
    """Say on which port we serve."""
    print(json.dumps({"port": port, "pid": os.getpid()}), flush=True)


def wait_for(port: int) -> None:
    """Until somebody listens there."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            threading.Event().wait(0.1)
