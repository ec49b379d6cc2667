"""The validators' door: one challenge in, one prediction out, one record of it afterwards.

The order is the point: what costs more comes after what proves more. See "How a challenge flows" in the
design.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from loguru import logger

from miner.engine.interface import BadImage, Engine, Refused, Shed
from miner.records import Keep, Record, Refusal
from miner.settings import Wire
from miner.wire import body as bodies
from miner.wire import synapse
from miner.wire.admission import Admission
from miner.wire.auth import Authenticator, Claim, Incoming
from miner.wire.budgets import TokenBuckets, network
from miner.wire.call import Asked, Call
from miner.wire.lobby import Lobby
from miner.wire.patience import Patience
from miner.wire.replay import ReplayWindow
from miner.wire.synapse import Rejected, Reply
from models.core import NO_PREDICTION, Request
from models.imaging.header import Limits

SHORTEST_TIMEOUT_S = 0.5
"""A `timeout` header below this is taken for nonsense and ignored: nobody can be answered in that time."""

GRACE_S = 0.5
"""How long past its deadline a verdict is waited for before the engine counts as broken for this request."""

UNPROVEN_BODIES = 4
"""Room for so many of the largest bodies while it is not known who sends them."""

OUTCOMES = {
    "shed": "shed",
    "unavailable": "unavailable",
    "stopping": "unavailable",
    "gone": "gone",
    "base64": "bad_image",
    "image": "bad_image",
    "image_size": "bad_image",
}
"""Reason of a refusal behind the door -> outcome of the exchange; the rest are "bad_request"."""


class Endpoint:
    """Answers `POST /ImageSynapse`; everything else is 404 or 405. GET, which the stock Axon takes too, is
    405: no Dendrite sends it, and one way in is enough.

    `record` gets one Exchange per admitted challenge, after its reply is out, and `keep` the answered ones
    with their pictures; everybody else is only counted, by
    `refused(status, reason)` with a reason of `synapse.REASONS`. Nothing a caller sends gives a 500.
    """

    def __init__(
        self,
        *,
        hotkey: str,
        admission: Admission,
        authenticators: Sequence[Authenticator],
        engine: Engine,
        record: Record,
        refused: Refusal,
        wire: Wire,
        keep: Keep | None = None,
        now: Callable[[], float] = time.monotonic,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._hotkey = hotkey
        self._admission = admission
        self._authenticators = tuple(authenticators)
        self._engine = engine
        self._record = record
        self._refused = refused
        self._wire = wire
        self._keep = keep
        self._now = now
        self._wall_ns = wall_ns
        self._addresses = TokenBuckets(wire.address_rate, wire.address_burst, clock=now)
        self._callers = TokenBuckets(wire.caller_rate, wire.caller_burst, clock=now)
        self._limits = Limits(bytes=wire.image_bytes, pixels=wire.pixels)
        self._lobby = Lobby(UNPROVEN_BODIES * wire.body_bytes)
        self._patience = Patience()
        self._replay = replay_window(wire, wall_ns)
        self._series = secrets.token_hex(4)
        self._count = itertools.count(1)

    async def __call__(self, asked: Asked) -> None:
        call = Call(asked.address, self._now(), self._wall_ns())
        try:
            reply, outcome = await self._handle(call, asked)
        except Rejected as rejected:
            reply, outcome = synapse.refusal(rejected.reason), self._account(call, rejected)
        except asyncio.CancelledError:  # the server's patience at its stop is over
            stopping = Rejected("stopping")
            await self._finish(call, asked, synapse.refusal(stopping.reason), self._account(call, stopping))
            raise
        except Exception:  # noqa: BLE001 - the outermost edge of a request; a bug of ours is a 500
            logger.exception("the endpoint failed on a request")
            call.notes = ("reason:bug",)
            reply, outcome = synapse.refusal("bug"), "error"
            if not call.admitted:
                self._refused(500, "bug")
        await self._finish(call, asked, reply, outcome)

    async def _finish(self, call: Call, asked: Asked, reply: Reply, outcome: str) -> None:
        """Reply, and only then write it down."""
        await asked.send(reply)
        if call.admitted:
            exchange = call.exchange(self._hotkey, reply[0], outcome, self._now())
            self._record(exchange)
            if self._keep is not None and exchange.prediction is not None and call.verdict is not None:
                self._keep(exchange, call.views, call.verdict)

    async def _handle(self, call: Call, asked: Asked) -> tuple[Reply, str]:
        """The reply and the outcome for the record. Raises Rejected."""
        authenticator = self._approach(call, asked)
        incoming = asked.incoming
        if authenticator.covers_body:
            incoming.body = await self._paid_body(call, asked)
        self._enter(call, asked, authenticator)
        if incoming.body is None:
            incoming.body = await bodies.read_body(asked, self._wire)
        self._read(call, incoming.body)
        call.ms["body"] = (self._now() - call.arrival) * 1e3 - call.ms["auth"]
        await self._judge(call, asked)
        return self._answer(call)

    def _approach(self, call: Call, asked: Asked) -> Authenticator:
        """What can be told without cryptography, and who is to check the signature. Raises Rejected."""
        if asked.path != synapse.PATH:
            raise Rejected("path")
        if asked.incoming.method != "POST":
            raise Rejected("method")
        authenticator = self._authenticator(asked.incoming)
        claim = call.claim = authenticator.claim(asked.incoming)
        call.stake = self._admission.check(claim.hotkey)
        self._replay.check(claim.hotkey, claim.session, claim.nonce)
        if not self._addresses.left(network(call.address)):
            raise Rejected("address_rate")
        return authenticator

    async def _paid_body(self, call: Call, asked: Asked) -> bytes:
        """The body of somebody who has proved nothing yet: the address pays until it is here, and all who
        have proved nothing share one room."""
        source, size = network(call.address), bodies.declared(asked.incoming.headers, self._wire.body_bytes)
        self._addresses.take(source)
        async with self._lobby.room(source, size):
            body = await bodies.read_body(asked, self._wire)
        self._addresses.give_back(source)
        return body

    def _enter(self, call: Call, asked: Asked, authenticator: Authenticator) -> None:
        """Admit the call, or raise Rejected: by its signature, which nobody has used yet, and its caller's
        rate. A signature that is none costs the caller's address a token."""
        claim = call.claim
        assert claim is not None
        try:
            authenticator.verify(claim, asked.incoming)
        except Rejected:
            self._addresses.take(network(call.address))
            raise
        waited = authenticator.covers_body
        self._replay.remember(claim.hotkey, claim.session, claim.nonce, checked=not waited)
        asked.prove()
        if not self._callers.take(claim.hotkey):
            raise Rejected("caller_rate")
        call.id = f"{self._series}-{next(self._count)}"
        call.deadline = call.arrival + self._budget(asked.incoming.headers.get(synapse.TIMEOUT))
        call.ms["auth"] = (self._now() - call.arrival) * 1e3

    def _budget(self, timeout: bytes | None) -> float:
        """Seconds from arrival to deadline: ours, or less when the caller says that it waits for less.

        A second of what the caller waits for belongs to the network, half of it when it waits for less than
        two.
        """
        ours = self._wire.answer_within_s
        try:
            theirs = float(timeout) if timeout else ours + 1.0
        except ValueError:
            return ours
        return min(ours, max(theirs - 1.0, theirs / 2)) if theirs >= SHORTEST_TIMEOUT_S else ours

    def _authenticator(self, incoming: Incoming) -> Authenticator:
        for authenticator in self._authenticators:
            if authenticator.recognises(incoming.headers):
                return authenticator
        raise Rejected("unsigned")

    def _read(self, call: Call, body: bytes) -> None:
        """JSON and what the images claim to be. Raises Rejected for whatever is wrong with them."""
        assert call.claim is not None
        call.size = len(body)
        fields = bodies.parse(body)
        call.timeout, call.label = synapse.timeout(fields), synapse.testnet_label(fields)
        if not self._covered(call.claim, fields):
            raise Rejected("body_hash")
        call.views = bodies.views(fields, self._limits)
        call.sha256 = sha256(call.views[0]).hexdigest()

    def _covered(self, claim: Claim, fields: dict[str, Any]) -> bool:
        """Whether the body is the one whose hash was signed; a Dendrite's ImageSynapse hashes no field of
        it."""
        if claim.body_hash == synapse.EMPTY_HASH:
            return True
        return claim.body_hash == synapse.body_hash(fields, self._wire.hash_fields)

    async def _judge(self, call: Call, asked: Asked) -> None:
        """Ask the engine. Raises Rejected: "shed", "image", "unavailable" or, nobody being left to tell,
        "gone"."""
        assert call.claim is not None
        who = call.claim.hotkey
        request = Request(call.id, self._hotkey, who, call.views, call.deadline, call.stake, call.sha256)
        start = self._now()
        try:
            asking = self._engine.submit(request)
            verdict = call.verdict = await self._patience(asking, call.deadline - start + GRACE_S)
        except Refused as refused:
            call.notes = (f"engine:{refused.reason}",)
            raise Rejected(_why(refused)) from None
        except TimeoutError:
            call.notes = ("engine:silent",)
            raise Rejected("unavailable") from None
        finally:
            call.ms["engine"] = (self._now() - start) * 1e3
        if verdict.prediction == NO_PREDICTION:
            raise Rejected("unavailable")
        if asked.gone:
            raise Rejected("gone")

    def _answer(self, call: Call) -> tuple[Reply, str]:
        assert call.verdict is not None
        prediction = float(call.verdict.prediction)
        if not 0.0 <= prediction <= 1.0:
            raise ValueError(f"the engine's prediction is outside [0, 1]: {prediction}")
        now = self._now()
        outcome = "answered" if now <= call.deadline else "late"
        return synapse.answer(prediction, call.timeout, call.label, now - call.arrival), outcome

    def _account(self, call: Call, rejected: Rejected) -> str:
        """Count a refusal at the door; name the outcome of one behind it."""
        if not call.admitted:
            self._refused(rejected.status, rejected.reason)
            return ""
        call.notes = (f"reason:{rejected.reason}", *call.notes)
        return OUTCOMES.get(rejected.reason, "bad_request")


def replay_window(wire: Wire, wall_ns: Callable[[], int] = time.time_ns) -> ReplayWindow:
    """A window with room for twice what the rate limit lets one caller send while a nonce is fresh."""
    honest = wire.caller_rate * (wire.max_age_s + wire.max_ahead_s) + wire.caller_burst
    per_caller = int(min(max(4096, 2 * honest), 65_536))
    return ReplayWindow(wire.max_age_s, wire.max_ahead_s, per_caller=per_caller, clock=wall_ns)


def _why(refused: Refused) -> str:
    if isinstance(refused, Shed):
        return "shed"
    return "image" if isinstance(refused, BadImage) else "unavailable"
