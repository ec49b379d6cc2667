"""Both ways of signing, with real keys."""

from __future__ import annotations

import time

import pytest
from bittensor import http_auth
from bittensor.keyfiles import Keypair
from hypothesis import given
from hypothesis import strategies as st
from wire_kit import EMPTY, MINER, STRANGER, VALI, headers

from miner.wire.auth import Claim, HttpAuthAuthenticator, Incoming, LegacyAuthenticator, authenticators
from miner.wire.synapse import Rejected

LEGACY = LegacyAuthenticator(MINER.ss58_address)
MODERN = HttpAuthAuthenticator(MINER.ss58_address)
BODY = b'{"image": "AAAA"}'


def incoming(given: dict[str, str], body: bytes | None = None, target: str = "/ImageSynapse") -> Incoming:
    return Incoming("POST", target, {n.lower().encode(): v.encode() for n, v in given.items()}, body)


def modern(
    keypair=VALI, receiver=MINER.ss58_address, body=BODY, path="/ImageSynapse", **more
) -> dict[str, str]:
    return http_auth.sign(keypair, method="POST", path=path, body=body, receiver_ss58=receiver, **more)


def refusal(authenticator, request: Incoming) -> str | None:
    try:
        authenticator.verify(authenticator.claim(request), request)
    except Rejected as rejected:
        return rejected.reason
    return None


def test_legacy_claim_and_signature():
    request = incoming(headers(nonce=123456789, session="abc"))
    claim = LEGACY.claim(request)
    assert claim == Claim(
        hotkey=VALI.ss58_address,
        session="abc",
        nonce=123456789,
        signature=claim.signature,
        body_hash=EMPTY,
        version="10005000",
    )
    assert refusal(LEGACY, request) is None


@pytest.mark.parametrize(
    "name",
    [f"bt_header_dendrite_{n}" for n in ("hotkey", "nonce", "uuid", "signature")] + ["computed_body_hash"],
)
def test_legacy_needs_every_header(name):
    assert refusal(LEGACY, incoming(headers(drop=[name]))) == "unsigned"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"bt_header_dendrite_nonce": "abc"}, "malformed"),
        ({"bt_header_dendrite_nonce": "-5"}, "malformed"),
        ({"bt_header_dendrite_nonce": "007"}, "malformed"),
        ({"bt_header_dendrite_nonce": "1_000"}, "malformed"),
        ({"bt_header_dendrite_nonce": "9" * 5000}, "malformed"),
        ({"bt_header_dendrite_uuid": ""}, "malformed"),
        ({"bt_header_dendrite_uuid": "x" * 129}, "malformed"),
        ({"bt_header_dendrite_hotkey": "ü"}, "malformed"),
        ({"computed_body_hash": ""}, "malformed"),
        ({"computed_body_hash": "." * 64}, "malformed"),
        ({"bt_header_axon_hotkey": STRANGER.ss58_address}, "receiver"),
        ({"bt_header_dendrite_signature": "zz"}, "signature"),
        ({"bt_header_dendrite_signature": "0x"}, "signature"),
        ({"bt_header_dendrite_signature": "0x" + "00" * 64}, "signature"),
        ({"bt_header_dendrite_signature": "0x" + "00" * 63}, "signature"),
        ({"bt_header_dendrite_hotkey": STRANGER.ss58_address}, "signature"),
        ({"bt_header_dendrite_hotkey": "not an address"}, "signature"),
        ({"bt_header_dendrite_uuid": "another"}, "signature"),
        ({"bt_header_dendrite_nonce": "1"}, "signature"),
        ({"computed_body_hash": "0" * 64}, "signature"),
    ],
)
def test_legacy_refuses_what_was_not_signed(change, reason):
    assert refusal(LEGACY, incoming({**headers(), **change})) == reason


def test_legacy_signature_for_another_miner_fails_whatever_the_header_says():
    theirs = headers(miner=STRANGER)
    assert refusal(LEGACY, incoming(theirs)) == "receiver"
    assert refusal(LEGACY, incoming({**theirs, "bt_header_axon_hotkey": MINER.ss58_address})) == "signature"
    del theirs["bt_header_axon_hotkey"]
    assert refusal(LEGACY, incoming(theirs)) == "signature"


def test_legacy_text_cannot_be_moved_between_uuid_and_hash():
    request = headers(session="a.b")
    moved = {**request, "bt_header_dendrite_uuid": "a", "computed_body_hash": f"b.{EMPTY}"}
    assert refusal(LEGACY, incoming(request)) is None
    assert refusal(LEGACY, incoming(moved)) == "malformed"


def test_legacy_version_is_only_a_label():
    claim = LEGACY.claim(incoming(headers(bt_header_dendrite_version="1; DROP\x7f <b>" + "9" * 100)))
    assert claim.version.startswith("1DROPb9")
    assert len(claim.version) <= 32
    assert LEGACY.claim(incoming(headers(drop=["bt_header_dendrite_version"]))).version == ""


def test_modern_claim_and_signature():
    nonce = time.time_ns()
    request = incoming(modern(nonce_ns=nonce), BODY)
    claim = MODERN.claim(request)
    assert (claim.hotkey, claim.nonce, claim.session) == (VALI.ss58_address, nonce, "btauth/1")
    assert refusal(MODERN, request) is None


def test_modern_accepts_the_other_scheme_when_it_is_declared():
    keypair = Keypair.create_from_uri("//ed", crypto_type=0)
    signed = modern(keypair)
    assert signed[http_auth.HEADER_CRYPTO]
    assert refusal(MODERN, incoming(signed, BODY)) is None


def test_modern_covers_body_and_target():
    signed = modern()
    assert refusal(MODERN, incoming(signed, BODY + b" ")) == "signature"
    assert refusal(MODERN, incoming(signed, None)) == "signature"
    assert refusal(MODERN, incoming(signed, BODY, target="/ImageSynapse?x=1")) == "signature"
    queried = modern(path="/ImageSynapse?x=1")
    assert refusal(MODERN, incoming(queried, BODY, target="/ImageSynapse?x=1")) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({http_auth.HEADER_RECEIVER: STRANGER.ss58_address}, "receiver"),
        ({http_auth.HEADER_VERSION: "2"}, "malformed"),
        ({http_auth.HEADER_CRYPTO: "rot13"}, "malformed"),
        ({http_auth.HEADER_CRYPTO: "ed25519"}, "signature"),
        ({http_auth.HEADER_SIGNATURE: "zz"}, "malformed"),
        ({http_auth.HEADER_SIGNATURE: "0x" + "00" * 64}, "signature"),
        ({http_auth.HEADER_HOTKEY: STRANGER.ss58_address}, "signature"),
        ({http_auth.HEADER_HOTKEY: "not an address"}, "malformed"),
        ({http_auth.HEADER_NONCE: " 12"}, "malformed"),
        ({http_auth.HEADER_NONCE: "12"}, "signature"),
    ],
)
def test_modern_refuses_what_was_not_signed(change, reason):
    assert refusal(MODERN, incoming({**modern(), **change}, BODY)) == reason


@pytest.mark.parametrize(
    "name", [http_auth.HEADER_HOTKEY, http_auth.HEADER_NONCE, http_auth.HEADER_SIGNATURE]
)
def test_modern_needs_every_header(name):
    signed = modern()
    del signed[name]
    assert refusal(MODERN, incoming(signed, BODY)) == "unsigned"


def test_modern_must_be_bound_to_us():
    assert refusal(MODERN, incoming(modern(receiver=None), BODY)) == "receiver"


def test_headers_decide_which_wire_it_is():
    legacy, modern_one = authenticators(MINER.ss58_address)
    assert legacy.recognises(incoming(headers()).headers)
    assert not modern_one.recognises(incoming(headers()).headers)
    assert modern_one.recognises(incoming(modern()).headers)
    assert not legacy.recognises(incoming(modern()).headers)


NAMES = [n.encode() for n in headers()] + [n.lower().encode() for n in modern()]


@given(
    which=st.sampled_from([LEGACY, MODERN]),
    given=st.dictionaries(
        st.sampled_from(NAMES),
        st.binary(max_size=200) | st.text("0123456789abx.", max_size=80).map(str.encode),
    ),
    body=st.none() | st.binary(max_size=20),
)
def test_any_headers_are_refused_and_nothing_else(which, given, body):
    assert refusal(which, Incoming("POST", "/ImageSynapse", given, body)) is not None
