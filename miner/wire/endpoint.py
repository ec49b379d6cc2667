"""The validators' door, pure ASGI: one challenge in, one prediction out, one record of it afterwards.

The order is the point: what costs more comes after what proves more. See "How a challenge flows" in the
design.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
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
from miner.wire.call import PEER, Call
from miner.wire.patience import Patience
from miner.wire.replay import ReplayWindow
from miner.wire.synapse import Rejected, Reply
from models.core import NO_PREDICTION, Request

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SHORTEST_TIMEOUT_S = 0.5
"""A `timeout` header below this is taken for nonsense and ignored: nobody can be answered in that time."""

GRACE_S = 0.5
"""How long past its deadline a verdict is waited for before the engine counts as broken for this request."""

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
        self._patience = Patience()
        self._replay = replay_window(wire, wall_ns)
        self._series = secrets.token_hex(4)
        self._count = itertools.count(1)

    async def __call__(self, scope: Scope, receive: bodies.Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = self._call(scope)
        try:
            reply, outcome = await self._handle(call, scope, receive)
        except asyncio.CancelledError:  # the server's patience at its stop is over
            await self._finish(
                call, send, synapse.refusal("stopping"), self._account(call, Rejected("stopping"))
            )
            raise
        except Exception:  # noqa: BLE001 - the outermost edge of a request; a bug of ours is a 500
            logger.exception("the endpoint failed on a request")
            call.notes = ("reason:bug",)
            reply, outcome = synapse.refusal("bug"), "error"
            if not call.admitted:
                self._refused(500, "bug")
        await self._finish(call, send, reply, outcome)

    async def _finish(self, call: Call, send: Send, reply: Reply, outcome: str) -> None:
        """Reply, and only then write it down."""
        status, headers, content = reply
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})
        if call.admitted:
            exchange = call.exchange(self._hotkey, status, outcome, self._now())
            self._record(exchange)
            if self._keep is not None and exchange.prediction is not None and call.verdict is not None:
                self._keep(exchange, call.views, call.verdict)

    def _call(self, scope: Scope) -> Call:
        client = scope.get("client")
        extensions = scope.get("extensions") or {}
        return Call(
            incoming=Incoming(scope["method"], _target(scope), dict(scope["headers"])),
            address=client[0] if client else "",
            peer=extensions.get(PEER),
            arrival=self._now(),
            at_ns=self._wall_ns(),
        )

    async def _handle(self, call: Call, scope: Scope, receive: bodies.Receive) -> tuple[Reply, str]:
        """The reply and the outcome for the record."""
        try:
            await self._admit(call, scope, receive)
            await self._read(call, receive)
            await self._judge(call)
        except Rejected as rejected:
            return synapse.refusal(rejected.reason), self._account(call, rejected)
        return self._answer(call)

    async def _admit(self, call: Call, scope: Scope, receive: bodies.Receive) -> None:
        """Raise Rejected unless the request is a fresh one of somebody whom we answer, by signature."""
        if scope["path"] != synapse.PATH:
            raise Rejected("path")
        if scope["method"] != "POST":
            raise Rejected("method")
        authenticator = self._authenticator(call.incoming)
        claim = call.claim = authenticator.claim(call.incoming)
        call.stake = self._admission.check(claim.hotkey)
        self._replay.check(claim.hotkey, claim.session, claim.nonce)
        await self._verify(call, authenticator, claim, receive)
        self._replay.remember(claim.hotkey, claim.session, claim.nonce)
        if call.peer is not None:
            call.peer.prove()
        if not self._callers.take(claim.hotkey):
            raise Rejected("caller_rate")
        call.id = f"{self._series}-{next(self._count)}"
        call.deadline = call.arrival + self._budget(call.incoming.headers.get(synapse.TIMEOUT))
        call.mark("auth", self._now() - call.arrival)

    async def _verify(
        self, call: Call, authenticator: Authenticator, claim: Claim, receive: bodies.Receive
    ) -> None:
        """The signature, paid for by the caller's address; an honest one gets its token back."""
        source = network(call.address)
        if not self._addresses.take(source):
            raise Rejected("address_rate")
        if authenticator.covers_body:
            call.incoming.body = await self._body(call, receive)
        authenticator.verify(claim, call.incoming)
        self._addresses.give_back(source)

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

    def _body(self, call: Call, receive: bodies.Receive) -> Awaitable[bytes]:
        declared = call.incoming.headers.get(b"content-length")
        return bodies.read_body(receive, declared, self._wire, call.peer is not None and call.peer.whole)

    async def _read(self, call: Call, receive: bodies.Receive) -> None:
        """Body, JSON and what the images claim to be. Raises Rejected for whatever is wrong with them."""
        start = self._now()
        claim, incoming = call.claim, call.incoming
        assert claim is not None
        if incoming.body is None:
            incoming.body = await self._body(call, receive)
        call.fields = bodies.parse(incoming.body)
        if not self._covered(claim, call.fields):
            raise Rejected("body_hash")
        call.views = bodies.views(call.fields, self._wire)
        call.mark("body", self._now() - start)

    def _covered(self, claim: Claim, fields: dict[str, Any]) -> bool:
        """Whether the body is the one whose hash was signed; a Dendrite's ImageSynapse hashes no field of
        it."""
        if claim.body_hash == synapse.EMPTY_HASH:
            return True
        return claim.body_hash == synapse.body_hash(fields, self._wire.hash_fields)

    async def _judge(self, call: Call) -> None:
        """Ask the engine. Raises Rejected: "shed", "image", "unavailable" or, nobody being left to tell,
        "gone"."""
        assert call.claim is not None
        request = Request(call.id, self._hotkey, call.claim.hotkey, call.views, call.deadline, call.stake)
        start = self._now()
        try:
            asked = self._engine.submit(request)
            verdict = call.verdict = await self._patience(asked, call.deadline - start + GRACE_S)
        except Refused as refused:
            call.notes = (f"engine:{refused.reason}",)
            raise Rejected(_why(refused)) from None
        except TimeoutError:
            call.notes = ("engine:silent",)
            raise Rejected("unavailable") from None
        finally:
            call.mark("engine", self._now() - start)
        if verdict.prediction == NO_PREDICTION:
            raise Rejected("unavailable")
        if call.peer is not None and call.peer.gone:
            raise Rejected("gone")

    def _answer(self, call: Call) -> tuple[Reply, str]:
        assert call.verdict is not None
        prediction = float(call.verdict.prediction)
        if not 0.0 <= prediction <= 1.0:
            raise ValueError(f"the engine's prediction is outside [0, 1]: {prediction}")
        now = self._now()
        outcome = "answered" if now <= call.deadline else "late"
        return synapse.answer(prediction, call.fields, now - call.arrival), outcome

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


def _target(scope: Scope) -> str:
    """The request target as sent, query included."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string") or b""
    return (path + b"?" + query if query else path).decode("latin-1")
