"""A validator's real Dendrite, driven by JSON lines. Runs inside an old SDK's environment.

One command a line, one answer a line: see `Ask`. A session is one Dendrite object: its uuid and its open
connections live across commands. Between two commands the event loop stands still, as a validator's does when
it blocks.
"""

from __future__ import annotations

import asyncio
import sys
import time
import types
from dataclasses import dataclass, field
from typing import Any

from old_sdk import ImageSynapse, answer, bt, command, keypair

dendrite_module = sys.modules[bt.Dendrite.__module__]


class HashedImage(ImageSynapse):
    """A validator that covers the image by its signature: the SDK can, the subnet does not do it today."""

    required_hash_fields = ("image",)


HashedImage.__name__ = "ImageSynapse"


@dataclass
class Ask:
    """One challenge.

    `clock_shift_s`  the Dendrite's clock is off by that many seconds (the nonce is its clock).
    `headers`        changed after signing: a text replaces the header, None removes it.
    `body`           fields of the JSON body changed after signing.
    `hashed`         the signed body hash covers the image.
    """

    host: str
    port: int
    axon_hotkey: str
    image: str
    signer: str
    session: str = "default"
    timeout: float = 9.0
    clock_shift_s: float = 0.0
    headers: dict[str, str | None] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    hashed: bool = False


class Tap:
    """Stands between a Dendrite and its HTTP session: changes requests, keeps the headers sent."""

    def __init__(self, session: Any, ask: Ask) -> None:
        self.session, self.ask = session, ask
        self.sent: dict[str, str] = {}

    def post(self, url: str, headers: dict[str, str], json: dict[str, Any], **rest: Any) -> Any:
        changed = {**headers, **self.ask.headers}
        self.sent = {name: value for name, value in changed.items() if value is not None}
        return self.session.post(url, headers=self.sent, json={**json, **self.ask.body}, **rest)


class Probe(bt.Dendrite):
    """The SDK's Dendrite, watched: what it sent, and the HTTP status that came back."""

    tap: Tap
    http_status: int | None = None
    current: Ask

    @property
    async def session(self) -> Tap:
        self.tap = Tap(await super().session, self.current)
        return self.tap

    def process_server_response(self, server_response: Any, json_response: Any, local_synapse: Any) -> None:
        self.http_status = server_response.status
        super().process_server_response(server_response, json_response, local_synapse)


def shifted_clock(seconds: float) -> types.SimpleNamespace:
    shift_ns = int(seconds * 1e9)
    return types.SimpleNamespace(time=time.time, time_ns=lambda: time.time_ns() + shift_ns)


def session_of(sessions: dict[str, Probe], ask: Ask) -> Probe:
    if ask.session not in sessions:
        sessions[ask.session] = Probe(wallet=keypair(ask.signer))
    return sessions[ask.session]


async def challenge(probe: Probe, ask: Ask) -> dict[str, Any]:
    probe.current, probe.http_status = ask, None
    target = bt.AxonInfo(
        version=1, ip=ask.host, port=ask.port, ip_type=4, hotkey=ask.axon_hotkey, coldkey=ask.axon_hotkey
    )
    synapse = (HashedImage if ask.hashed else ImageSynapse)(image=ask.image)
    dendrite_module.time = shifted_clock(ask.clock_shift_s)
    [reply] = await probe(axons=[target], synapse=synapse, deserialize=False, timeout=ask.timeout)
    return {
        "http_status": probe.http_status,
        "status_code": reply.dendrite.status_code,
        "status_message": reply.dendrite.status_message,
        "prediction": reply.deserialize(),
        "sent": probe.tap.sent,
    }


def main() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    sessions: dict[str, Probe] = {}
    answer({"version": bt.__version__})
    while (said := command()) is not None:
        ask = Ask(**said)
        answer(loop.run_until_complete(challenge(session_of(sessions, ask), ask)))
    loop.run_until_complete(asyncio.gather(*(probe.aclose_session() for probe in sessions.values())))


main()
