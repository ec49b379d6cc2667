"""NATIX's registration: the hotkey signs the time, and nothing else, as the subnet's own script had it sign.

`POST /participants/register` with {uid, message, natix_public_key, natix_signature, type, model_repo}, where
`message` is the unix time as text; `GET /participants/registration-status/{uid}` tells what became of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from miner.publish.card import PublishError

SERVER = "https://hydra.natix.network"
TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Registration:
    """The body that is posted. `message` is what `natix_signature` (0x and hex, sr25519) signs."""

    uid: int
    message: str
    natix_public_key: str
    natix_signature: str
    type: str
    model_repo: str


def sign(keypair: Any, uid: int, model_repo: str, now: Callable[[], float] = time.time) -> Registration:
    """The text is ours alone: the time, chosen here. Raises PublishError for what is no UID or repository."""
    if uid < 0 or model_repo.count("/") != 1 or not all(model_repo.split("/")):
        raise PublishError("a registration has a UID from 0 and a repository OWNER/NAME")
    message = str(int(now()))
    signature = "0x" + bytes(keypair.sign(message.encode())).hex()
    return Registration(uid, message, str(keypair.ss58_address), signature, "miner", model_repo)


def send(registration: Registration, server: str = SERVER) -> str:
    """Post it; the server's words. Raises PublishError."""
    return _asked("POST", f"{server.rstrip('/')}/participants/register", json=asdict(registration))


def state(uid: int, server: str = SERVER) -> str:
    """What the server says of an earlier registration. Raises PublishError."""
    return _asked("GET", f"{server.rstrip('/')}/participants/registration-status/{uid}")


def _asked(method: str, address: str, **more: Any) -> str:
    try:
        reply = httpx.request(method, address, timeout=TIMEOUT_S, follow_redirects=False, **more)
        reply.raise_for_status()
    except httpx.HTTPStatusError as error:
        said = error.response.text[:300]
        raise PublishError(f"{address} answered {error.response.status_code}: {said}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PublishError(f"{address} cannot be asked: {error}") from error
    return reply.text[:2000]
