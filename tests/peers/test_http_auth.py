"""SDK 11's own signer (`bittensor.http_auth`) against our wire's second authenticator."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from bittensor import http_auth
from harness.stage import (
    NO_PERMIT,
    OTHER_MINER,
    PREDICTION,
    STRANGER,
    VALIDATOR,
    encoded,
    jpeg,
    keypair,
    ss58,
)
from our_wire import OurWire, our_wire

PATH = "/ImageSynapse"
BODY = json.dumps({"image": encoded(jpeg())}).encode()
Signed = dict[str, str]


@pytest.fixture
async def wire() -> AsyncIterator[OurWire]:
    async with our_wire() as running:
        yield running


def sign(
    signer: str = VALIDATOR, *, receiver: str | None = "//miner", age_s: float = 0.0, path: str = PATH
) -> Signed:
    return http_auth.sign(
        keypair(signer),
        method="POST",
        path=path,
        body=BODY,
        receiver_ss58=ss58(receiver) if receiver else None,
        nonce_ns=time.time_ns() - int(age_s * 1e9),
    )


async def post(wire: OurWire, headers: Signed, body: bytes = BODY, path: str = PATH) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{wire.port}{path}"
        return await client.post(url, content=body, headers={**headers, "content-type": "application/json"})


async def test_a_permitted_validator_is_answered(wire: OurWire) -> None:
    reply = await post(wire, sign())
    assert (reply.status_code, reply.json()["prediction"]) == (200, PREDICTION)
    assert wire.exchanges[0].caller == ss58(VALIDATOR)
    assert wire.exchanges[0].client_version == "btauth/1"


@pytest.mark.parametrize("signer", [NO_PERMIT, STRANGER])
async def test_whom_we_do_not_answer_is_forbidden(wire: OurWire, signer: str) -> None:
    assert (await post(wire, sign(signer))).status_code == 403


@pytest.mark.parametrize("age_s", [14.0, -5.0, -3600.0], ids=["stale", "future", "far-future"])
async def test_a_nonce_that_is_not_fresh_is_refused(wire: OurWire, age_s: float) -> None:
    assert (await post(wire, sign(age_s=age_s))).status_code == 401


@pytest.mark.parametrize("receiver", [OTHER_MINER, None])
async def test_a_request_for_another_receiver_or_for_anybody_is_refused(
    wire: OurWire, receiver: str | None
) -> None:
    assert (await post(wire, sign(receiver=receiver))).status_code == 401


async def test_a_replay_is_refused_also_after_a_restart(wire: OurWire) -> None:
    headers = sign()
    assert [(await post(wire, headers)).status_code for _ in range(2)] == [200, 401]
    async with our_wire(started_ago_s=0.0) as restarted:
        assert (await post(restarted, headers)).status_code == 401


async def test_the_signature_covers_body_and_target(wire: OurWire) -> None:
    assert (await post(wire, sign(), body=BODY + b" ")).status_code == 401
    assert (await post(wire, sign(), path=f"{PATH}?x=1")).status_code == 401
    assert (await post(wire, sign(path=f"{PATH}?x=1"), path=f"{PATH}?x=1")).status_code == 200


@pytest.mark.parametrize(
    "name",
    [http_auth.HEADER_SIGNATURE, http_auth.HEADER_HOTKEY, http_auth.HEADER_NONCE, http_auth.HEADER_VERSION],
)
async def test_a_header_that_is_missing_is_no_way_in(wire: OurWire, name: str) -> None:
    headers = sign()
    del headers[name]
    assert (await post(wire, headers)).status_code == 401
    assert wire.engine.asked == 0


async def test_a_forged_signature_is_refused(wire: OurWire) -> None:
    forged = {**sign(STRANGER), http_auth.HEADER_HOTKEY: ss58(VALIDATOR)}
    assert (await post(wire, forged)).status_code == 401
