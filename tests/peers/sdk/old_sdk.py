"""What the scripts of this folder share. Runs inside the environment of an old SDK, never inside ours."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO


def private_stdout() -> TextIO:
    """Keep standard output for our answers: the SDK logs to it, so what it writes goes to standard error."""
    ours = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return ours


answers = private_stdout()

import bittensor as bt  # noqa: E402
import pydantic  # noqa: E402
from bittensor.utils import networking  # noqa: E402

# The one change an offline Dendrite or Axon needs: otherwise it asks the internet for its own address.
networking.get_external_ip = lambda: "203.0.113.9"


class ImageSynapse(bt.Synapse):
    """The subnet's challenge, in the validators' field layout; the class name is the route."""

    testnet_label: int = -1
    image: str = pydantic.Field(default="", frozen=False)
    prediction: float = pydantic.Field(default=-1.0, frozen=False)

    def deserialize(self) -> float:
        return self.prediction


def keypair(uri: str) -> Any:
    return bt.Keypair.create_from_uri(uri)


def answer(message: dict[str, Any]) -> None:
    """One JSON line to the parent."""
    answers.write(json.dumps(message) + "\n")


def command() -> dict[str, Any] | None:
    """The parent's next JSON line; None at the end of input."""
    line = sys.stdin.readline()
    return json.loads(line) if line else None
