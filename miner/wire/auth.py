"""From headers to a verified caller. Two wires: legacy `bt_header_*` headers and SDK 11's `X-Bittensor-*`.

The hotkey of this miner signs nothing here: nobody can make it sign a text of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Protocol

from bittensor import http_auth, sp_core

from miner.wire import synapse
from miner.wire.synapse import Rejected

Headers = Mapping[bytes, bytes]

MAX_NONCE_DIGITS = 20
MAX_TEXT = 128


@dataclass(slots=True)
class Incoming:
    """One HTTP request for authentication: lower-case names in `headers`, `target` with its query.

    `body` is None until it has been read.
    """

    method: str
    target: str
    headers: Headers
    body: bytes | None = None


@dataclass(slots=True)
class Claim:
    """Who a request says it is from, not yet believed.

    `session`    what a nonce is unique within, beside the hotkey (the Dendrite's uuid).
    `nonce`      wall-clock nanoseconds since 1970.
    `body_hash`  what the signature covers of the body (legacy wire), `EMPTY_HASH` when nothing.
    `version`    the client's own word on its version, for the records only.
    """

    hotkey: str
    session: str
    nonce: int
    signature: str
    body_hash: str
    version: str


class Authenticator(Protocol):
    """One way of signing requests. Freshness, replay and budgets are the endpoint's, the same for all.

    `covers_body`  whether `verify` needs `Incoming.body`.
    """

    covers_body: bool

    def recognises(self, headers: Headers) -> bool:
        """Whether these headers speak this protocol at all."""
        ...

    def claim(self, incoming: Incoming) -> Claim:
        """Parse the headers; no cryptography. Raises Rejected: "unsigned", "malformed" or "receiver"."""
        ...

    def verify(self, claim: Claim, incoming: Incoming) -> None:
        """Check the signature. Raises Rejected: "signature" or "malformed"."""
        ...


_LEGACY = itemgetter(
    synapse.DENDRITE_HOTKEY,
    synapse.DENDRITE_NONCE,
    synapse.DENDRITE_UUID,
    synapse.DENDRITE_SIGNATURE,
    synapse.BODY_HASH,
)


class LegacyAuthenticator:
    """sr25519 over `nonce.dendrite_hotkey.axon_hotkey.uuid.body_hash`, as SDK 9.9 to 10.5 sign."""

    covers_body = False

    def __init__(self, hotkey: str) -> None:
        self._hotkey = hotkey
        self._receiver = hotkey.encode()

    def recognises(self, headers: Headers) -> bool:
        return synapse.DENDRITE_HOTKEY in headers

    def claim(self, incoming: Incoming) -> Claim:
        headers = incoming.headers
        try:
            hotkey, nonce, uuid, signature, body_hash = _LEGACY(headers)
        except KeyError:
            raise Rejected("unsigned") from None
        if headers.get(synapse.AXON_HOTKEY, self._receiver) != self._receiver:
            raise Rejected("receiver")
        return Claim(
            hotkey=_text(hotkey),
            session=_text(uuid),
            nonce=_nonce(nonce),
            signature=_text(signature, 2 * MAX_TEXT),
            body_hash=_hash(body_hash),
            version=_label(headers.get(synapse.DENDRITE_VERSION, b"")),
        )

    def verify(self, claim: Claim, incoming: Incoming) -> None:
        signed = synapse.signed_text(
            str(claim.nonce), claim.hotkey, self._hotkey, claim.session, claim.body_hash
        )
        try:
            valid = sp_core.verify(signed, bytes.fromhex(claim.signature.removeprefix("0x")), claim.hotkey)
        except ValueError:  # not hex, wrong length, or a hotkey that is no ss58 address
            raise Rejected("signature") from None
        if not valid:
            raise Rejected("signature")


_HOTKEY = http_auth.HEADER_HOTKEY.lower().encode()
_NONCE = http_auth.HEADER_NONCE.lower().encode()
_RECEIVER = http_auth.HEADER_RECEIVER.lower().encode()
_SIGNATURE = http_auth.HEADER_SIGNATURE.lower().encode()


class _NeverSeen:
    """The nonce store that `http_auth.verify` asks for; replay is the endpoint's `ReplayWindow`."""

    def check_and_store(self, hotkey_ss58: str, nonce_ns: int) -> bool:
        return True


_NEVER_SEEN = _NeverSeen()


class HttpAuthAuthenticator:
    """SDK 11's `btauth/1`: the signature covers method, target, body, nonce, sender and receiver."""

    covers_body = True

    def __init__(self, hotkey: str) -> None:
        self._hotkey = hotkey
        self._receiver = hotkey.encode()

    def recognises(self, headers: Headers) -> bool:
        return _SIGNATURE in headers or _HOTKEY in headers

    def claim(self, incoming: Incoming) -> Claim:
        headers = incoming.headers
        try:
            hotkey, nonce, signature = headers[_HOTKEY], headers[_NONCE], headers[_SIGNATURE]
        except KeyError:
            raise Rejected("unsigned") from None
        if headers.get(_RECEIVER) != self._receiver:
            raise Rejected("receiver")
        return Claim(
            hotkey=_text(hotkey),
            session=http_auth.PROTOCOL,
            nonce=_nonce(nonce),
            signature=_text(signature, 2 * MAX_TEXT),
            body_hash=synapse.EMPTY_HASH,
            version=http_auth.PROTOCOL,
        )

    def verify(self, claim: Claim, incoming: Incoming) -> None:
        try:
            http_auth.verify(
                {name.decode("latin-1"): value.decode("latin-1") for name, value in incoming.headers.items()},
                incoming.body or b"",
                method=incoming.method,
                path=incoming.target,
                self_hotkey_ss58=self._hotkey,
                nonce_store=_NEVER_SEEN,
                now_ns=claim.nonce,  # freshness has been judged by the endpoint, by our settings
            )
        except http_auth.MalformedAuth:
            raise Rejected("malformed") from None
        except http_auth.AuthError:
            raise Rejected("signature") from None


def authenticators(hotkey: str) -> tuple[Authenticator, ...]:
    """Every wire this miner speaks, in the order in which headers are looked at."""
    return LegacyAuthenticator(hotkey), HttpAuthAuthenticator(hotkey)


def _text(value: bytes, limit: int = MAX_TEXT) -> str:
    if not value or len(value) > limit or not value.isascii():
        raise Rejected("malformed")
    return value.decode("ascii")


def _nonce(value: bytes) -> int:
    if not value.isdigit() or len(value) > MAX_NONCE_DIGITS or value.startswith(b"0"):
        raise Rejected("malformed")
    return int(value)


def _hash(value: bytes) -> str:
    """64 hex digits: without a dot in it, nobody can move text between uuid and hash under one signature."""
    if len(value) != 64 or not value.isalnum() or not value.isascii():
        raise Rejected("malformed")
    return value.decode("ascii")


def _label(value: bytes) -> str:
    """Free text of the caller's, made fit for a log line."""
    if value.isdigit() and len(value) <= 32:
        return value.decode("ascii")
    return "".join(c for c in value[:32].decode("latin-1") if c.isalnum() or c in ".-+")
