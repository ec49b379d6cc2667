"""Real Dendrites of the SDKs that validators run, against our wire: every answer they can tell apart."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from harness.process import Talk
from harness.stage import (
    NO_PERMIT,
    OTHER_MINER,
    POOR,
    PREDICTION,
    SECOND_VALIDATOR,
    STRANGER,
    VALIDATOR,
    encoded,
    jpeg,
    ss58,
)
from our_wire import OurWire, our_wire

from miner.settings import Wire

SIGNATURE, NONCE, UUID = (f"bt_header_dendrite_{name}" for name in ("signature", "nonce", "uuid"))
HOUR_S = 3600.0
STOCK_KEEP_ALIVE_S = 5.0


class Validator:
    """One Dendrite object (one uuid, one pool of connections) in the peer's process, aimed at one server."""

    def __init__(self, peer: Talk, port: int, signer: str = VALIDATOR, host: str = "127.0.0.1") -> None:
        self._peer = peer
        self._ask = {
            "host": host,
            "port": port,
            "axon_hotkey": ss58("//miner"),
            "image": encoded(jpeg()),
            "signer": signer,
            "session": uuid.uuid4().hex,
        }

    async def ask(self, **changes: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._peer.ask, {**self._ask, **changes})

    async def status(self, **changes: Any) -> int:
        """HTTP status of a challenge; whatever is refused must read as "no prediction" to the validator."""
        reply = await self.ask(**changes)
        assert reply["prediction"] == (PREDICTION if reply["http_status"] == 200 else -1.0)
        return int(reply["http_status"])

    async def replay(self, sent: dict[str, str], **changes: str | None) -> int:
        """Send the very headers of an earlier request again, but for `changes`."""
        return await self.status(headers={**sent, **changes})


@pytest.fixture
async def wire() -> AsyncIterator[OurWire]:
    async with our_wire() as running:
        yield running


@pytest.fixture
def validator(dendrite: Talk, wire: OurWire) -> Validator:
    return Validator(dendrite, wire.port)


async def test_a_permitted_validator_reads_our_prediction(
    dendrite: Talk, wire: OurWire, validator: Validator
) -> None:
    reply = await validator.ask()
    assert (reply["http_status"], reply["status_code"], reply["prediction"]) == (200, 200, PREDICTION)
    [exchange] = wire.exchanges
    assert (exchange.caller, exchange.outcome) == (ss58(VALIDATOR), "answered")
    major, minor, patch = (int(part) for part in dendrite.greeting["version"].split("."))
    assert exchange.client_version == str(major * 10**6 + minor * 10**3 + patch)
    assert wire.engine.last is not None and wire.engine.last.views == (jpeg(),)


async def test_the_least_stake_that_is_asked_for_is_enough(dendrite: Talk, wire: OurWire) -> None:
    assert await Validator(dendrite, wire.port, SECOND_VALIDATOR).status() == 200


async def test_the_same_socket_answers_over_ipv6(dendrite: Talk, wire: OurWire) -> None:
    """Validators bracket the address that they read from the chain."""
    assert await Validator(dendrite, wire.port, host="[::1]").status() == 200


@pytest.mark.parametrize(
    ("signer", "reason"), [(NO_PERMIT, "permit"), (POOR, "stake"), (STRANGER, "stranger")]
)
async def test_whom_we_do_not_answer_is_forbidden(
    dendrite: Talk, wire: OurWire, signer: str, reason: str
) -> None:
    assert await Validator(dendrite, wire.port, signer).status() == 403
    assert wire.refusals == {(403, reason): 1}
    assert wire.engine.asked == 0


async def test_an_unsigned_request_is_refused(wire: OurWire, validator: Validator) -> None:
    assert await validator.status(headers={SIGNATURE: None}) == 401
    assert wire.engine.asked == 0


@pytest.mark.parametrize("signature", ["", "0x", "zz", "0x" + "00" * 64, "0x" + "00" * 10_000])
async def test_a_wrong_signature_is_refused(wire: OurWire, validator: Validator, signature: str) -> None:
    assert await validator.status(headers={SIGNATURE: signature}) == 401
    assert wire.engine.asked == 0


async def test_a_stranger_cannot_borrow_a_validators_name(dendrite: Talk, wire: OurWire) -> None:
    stranger = Validator(dendrite, wire.port, STRANGER)
    assert await stranger.status(headers={"bt_header_dendrite_hotkey": ss58(VALIDATOR)}) == 401


async def test_a_request_signed_for_another_miner_is_refused(validator: Validator) -> None:
    """With that miner's hotkey in the header, as it was sent, and relayed with ours put in its place."""
    assert await validator.status(axon_hotkey=ss58(OTHER_MINER)) == 401
    relayed = {"bt_header_axon_hotkey": ss58("//miner")}
    assert await validator.status(axon_hotkey=ss58(OTHER_MINER), headers=relayed) == 401


async def test_a_replayed_request_is_refused(wire: OurWire, validator: Validator) -> None:
    sent = (await validator.ask())["sent"]
    assert await validator.replay(sent) == 401
    assert wire.engine.asked == 1
    assert await validator.status() == 200


@pytest.mark.parametrize(
    "changes", [{"bt_header_dendrite_version": "7001999"}, {"timeout": "1000000"}], ids=["version", "timeout"]
)
async def test_no_header_opens_a_way_around_the_replay_check(
    validator: Validator, changes: dict[str, str]
) -> None:
    """The stock Axon takes an old nonce when the caller claims to be an old SDK, or to wait for long."""
    sent = (await validator.ask())["sent"]
    assert await validator.replay(sent, **changes) == 401
    assert await validator.status(clock_shift_s=-60, headers=changes) == 401


async def test_a_request_cannot_be_replayed_after_a_restart(dendrite: Talk) -> None:
    async with our_wire() as first:
        before = Validator(dendrite, first.port)
        sent = [(await before.ask(clock_shift_s=shift))["sent"] for shift in (-8.0, 0.0, 3.5)]
        assert len(first.exchanges) == 3
    async with our_wire(started_ago_s=0.0) as second:
        after = Validator(dendrite, second.port)
        assert [await after.replay(headers) for headers in sent] == [401, 401, 401]
        second.clock.shift_s = 6.0
        assert [await after.replay(headers) for headers in sent] == [401, 401, 401]
        assert await after.status(clock_shift_s=6.0) == 200


@pytest.mark.parametrize(
    ("shift_s", "status"), [(-14.0, 401), (-11.0, 200), (3.0, 200), (5.0, 401), (HOUR_S, 401)]
)
async def test_a_nonce_is_fresh_within_limits_in_both_directions(
    validator: Validator, shift_s: float, status: int
) -> None:
    assert await validator.status(clock_shift_s=shift_s) == status


@pytest.mark.parametrize("nonce", [None, "", "0", "-1", "abc", "1e18", "9" * 30, "١٢٣"])
async def test_a_nonce_that_is_no_number_is_refused(validator: Validator, nonce: str | None) -> None:
    assert await validator.status(headers={NONCE: nonce}) == 401


async def test_an_unsigned_caller_gains_nothing_from_a_used_nonce(
    dendrite: Talk, wire: OurWire, validator: Validator
) -> None:
    sent = (await validator.ask())["sent"]
    assert await validator.replay(sent, **{SIGNATURE: None}) == 401
    assert await Validator(dendrite, wire.port, STRANGER).replay(sent, **{SIGNATURE: None}) == 401
    assert wire.engine.asked == 1


@pytest.mark.parametrize("signature", [None, "0x" + "11" * 64], ids=["unsigned", "forged"])
async def test_a_forged_far_future_nonce_does_not_lock_the_validator_out(
    dendrite: Talk, wire: OurWire, validator: Validator, signature: str | None
) -> None:
    """The stock Axon keeps the last nonce per hotkey and uuid: one from the future would end the talk."""
    sent = (await validator.ask())["sent"]
    attacker = Validator(dendrite, wire.port, STRANGER)
    for ahead_s in (HOUR_S, 2.0):
        nonce = str(time.time_ns() + int(ahead_s * 1e9))
        assert await attacker.replay(sent, **{SIGNATURE: signature, NONCE: nonce}) == 401
    assert await validator.status() == 200


async def test_a_body_hash_that_covers_the_image_is_recomputed(wire: OurWire, validator: Validator) -> None:
    """The stock Axon answers such a validator with a 500."""
    assert await validator.status(hashed=True) == 200
    swapped = encoded(jpeg(96))
    assert await validator.status(hashed=True, body={"image": swapped}) == 401
    assert wire.engine.asked == 1


@pytest.mark.parametrize("image", ["", "not base64!", encoded(b"not an image")])
async def test_what_is_no_image_is_the_callers_fault(wire: OurWire, validator: Validator, image: str) -> None:
    assert await validator.status(image=image) == 422
    assert await validator.status() == 200


async def test_a_burst_over_the_rate_limit_spends_only_the_callers_own_quota(dendrite: Talk) -> None:
    async with our_wire(Wire(caller_rate=0.001, caller_burst=2)) as running:
        validator, second = (Validator(dendrite, running.port, s) for s in (VALIDATOR, SECOND_VALIDATOR))
        assert [await validator.status() for _ in range(3)] == [200, 200, 429]
        assert await second.status() == 200


@pytest.mark.slow
async def test_a_pause_longer_than_the_stock_keep_alive_loses_no_challenge(validator: Validator) -> None:
    """The Dendrite keeps its connection for 15 s and fails when the server has closed it meanwhile."""
    assert await validator.status() == 200
    await asyncio.sleep(STOCK_KEEP_ALIVE_S + 1.0)
    assert await validator.status() == 200
