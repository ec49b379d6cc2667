"""The door as a whole, driven by hand with a clock that stands still."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire_kit import (
    EMPTY,
    IMAGE,
    MINER,
    NO_PERMIT,
    PNG,
    POOR,
    STAKE,
    STRANGER,
    VALI,
    VALI2,
    Asking,
    Door,
    body,
    headers,
    modern,
    png,
    verdict,
)

from miner.engine.interface import BadImage, Shed, Unavailable
from miner.settings import Blacklist, Wire
from miner.wire import synapse
from models.core import NO_PREDICTION


def digest(*values: str) -> str:
    parts = "".join(hashlib.sha3_256(v.encode()).hexdigest() for v in values)
    return hashlib.sha3_256(parts.encode()).hexdigest()


async def test_a_challenge_is_answered_and_then_recorded():
    door = Door()
    answer = await door.ask(content=body(testnet_label=1))
    assert answer.status == 200
    assert answer.json == {"name": "ImageSynapse", "timeout": 9.0, "testnet_label": 1, "prediction": 0.75}
    assert answer.headers["bt_header_axon_status_code"] == "200"
    (request,) = door.engine.requests
    assert request.views == (PNG,)
    assert (request.hotkey, request.caller) == (MINER.ss58_address, VALI.ss58_address)
    assert request.priority == STAKE
    (exchange,) = door.exchanges
    assert exchange.id == request.id
    assert (exchange.status, exchange.outcome, exchange.prediction) == (200, "answered", 0.75)
    assert (exchange.hotkey, exchange.caller) == (MINER.ss58_address, VALI.ss58_address)
    assert (exchange.address, exchange.client_version) == ("192.0.2.7", "10005000")
    assert exchange.at_ns == door.clock.wall
    assert exchange.size == len(body(testnet_label=1))
    assert exchange.sha256 == hashlib.sha256(PNG).hexdigest()
    assert (exchange.log_odds, exchange.path, exchange.versions) == (1.1, ("tiny",), {"tiny": "1"})
    assert set(exchange.ms) == {"tiny", "auth", "body", "engine", "total"}
    assert exchange.margin_s == pytest.approx(7.5)
    assert exchange.notes == ("testnet_label:1",)
    assert door.refusals == []


async def test_six_views_reach_the_engine_in_order():
    door = Door()
    frames = [png(i + 1, 2) for i in range(6)]
    answer = await door.ask(content=body(images=[base64.b64encode(f).decode() for f in frames]))
    assert answer.status == 200
    assert door.engine.requests[0].views == tuple(frames)
    assert door.exchanges[0].sha256 == hashlib.sha256(frames[0]).hexdigest()


@pytest.mark.parametrize(
    ("keypair", "reason"), [(STRANGER, "stranger"), (NO_PERMIT, "permit"), (POOR, "stake"), (MINER, "permit")]
)
async def test_whoever_is_not_admitted_gets_403(keypair, reason):
    door = Door()
    answer = await door.ask(door.headers(keypair=keypair))
    assert answer.status == 403
    assert answer.json["message"].startswith("Forbidden")
    assert door.refusals == [(403, reason)]
    assert not door.exchanges
    assert not door.engine.requests


async def test_before_the_metagraph_is_known_it_is_503_and_retry():
    door = Door(snapshot=None)
    answer = await door.ask()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert door.refusals == [(503, "starting")]


async def test_a_stranger_is_answered_when_the_settings_say_so():
    door = Door(blacklist=Blacklist(allow_non_registered=True))
    assert (await door.ask(door.headers(keypair=STRANGER))).status == 200
    assert door.engine.requests[0].priority == 0.0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signed": False}, "unsigned"),
        ({"miner": STRANGER}, "receiver"),
        ({"bt_header_dendrite_signature": "0x" + "00" * 64}, "signature"),
        ({"bt_header_dendrite_signature": "zz"}, "signature"),
        ({"bt_header_dendrite_nonce": "abc"}, "malformed"),
        ({"drop": ["bt_header_dendrite_nonce"]}, "unsigned"),
        ({"drop": ["bt_header_dendrite_hotkey"]}, "unsigned"),
    ],
)
async def test_what_is_not_signed_for_us_by_the_caller_gets_401(change, reason):
    door = Door()
    answer = await door.ask(door.headers(**change))
    assert answer.status == 401
    assert door.refusals == [(401, reason)]
    assert not door.exchanges


@pytest.mark.parametrize(
    ("offset_s", "reason"),
    [(-13.5, "stale"), (-60, "stale"), (-3600, "stale"), (4.5, "future"), (3600, "future")],
)
@pytest.mark.parametrize("lure", [{}, {"timeout": "1000000"}, {"bt_header_dendrite_version": "7001999"}])
async def test_no_header_of_the_callers_widens_the_window(offset_s, reason, lure):
    door = Door()
    nonce = door.clock.wall + int(offset_s * 1e9)
    assert (await door.ask(door.headers(nonce=nonce, **lure))).status == 401
    assert door.refusals == [(401, reason)]


async def test_an_old_nonce_inside_the_window_is_taken():
    door = Door()
    door.clock.advance(60)
    assert (await door.ask(door.headers(nonce=door.clock.wall - int(12.5e9)))).status == 200


async def test_a_replay_is_refused_also_by_another_connection_and_with_another_body():
    door = Door()
    signed = door.headers()
    assert (await door.ask(signed)).status == 200
    assert (await door.ask(signed, address="198.51.100.9")).status == 401
    assert (await door.ask(signed, body(image=base64.b64encode(png(9, 9)).decode()))).status == 401
    lowered = {**signed, "bt_header_dendrite_version": "7001999"}
    assert (await door.ask(lowered)).status == 401
    shouted = {**signed, "bt_header_dendrite_signature": signed["bt_header_dendrite_signature"].upper()}
    assert (
        await door.ask(
            {**shouted, "bt_header_dendrite_signature": "0x" + shouted["bt_header_dendrite_signature"][2:]}
        )
    ).status == 401
    assert {reason for _, reason in door.refusals} == {"replay"}
    assert len(door.engine.requests) == 1


async def test_a_replay_after_a_restart_is_refused():
    door = Door()
    signed = door.headers()
    assert (await door.ask(signed)).status == 200
    restarted = Door(clock=door.clock, wire=Wire())
    door.clock.advance(-3)  # the new process is two seconds old
    assert (await restarted.ask(signed)).status == 401
    assert restarted.refusals == [(401, "restart")]


async def test_an_unsigned_nonce_of_a_validators_name_locks_nobody_out():
    door = Door()
    for nonce in (door.clock.wall + 10, door.clock.wall + int(3.9e9), 2**63):
        await door.ask(door.headers(nonce=nonce, signed=False))
        await door.ask(door.headers(nonce=nonce, bt_header_dendrite_signature="0x" + "11" * 64))
    door.clock.advance(3.0)
    assert (await door.ask()).status == 200


async def test_failed_signatures_are_paid_by_the_address_and_by_no_hotkey():
    door = Door(wire=Wire(address_rate=1.0, address_burst=3))
    bad = {"bt_header_dendrite_signature": "0x" + "22" * 64}
    answers = [(await door.ask(door.headers(**bad), address="203.0.113.5")).status for _ in range(5)]
    assert answers == [401, 401, 401, 429, 429]
    assert (await door.ask(address="203.0.113.5")).status == 429
    assert (await door.ask(address="203.0.113.6")).status == 200
    door.clock.advance(1.0)
    assert (await door.ask(address="203.0.113.5")).status == 200


async def test_an_ipv6_network_has_one_budget():
    door = Door(wire=Wire(address_rate=0.1, address_burst=2))
    bad = {"bt_header_dendrite_signature": "0x" + "22" * 64}
    answers = [(await door.ask(door.headers(**bad), address=f"2001:db8::{i:x}")).status for i in range(4)]
    assert answers == [401, 401, 429, 429]


async def test_honest_requests_cost_an_address_nothing():
    door = Door(wire=Wire(address_rate=0.001, address_burst=1))
    assert [(await door.ask()).status for _ in range(20)] == [200] * 20


async def test_the_rate_of_a_hotkey_is_its_own():
    door = Door(wire=Wire(caller_rate=1.0, caller_burst=2))
    assert [(await door.ask()).status for _ in range(4)] == [200, 200, 429, 429]
    assert (await door.ask(door.headers(keypair=VALI2))).status == 200
    assert door.refusals == [(429, "caller_rate")] * 2
    door.clock.advance(1.0)
    assert (await door.ask()).status == 200


async def test_nobody_else_can_spend_a_validators_rate():
    door = Door(wire=Wire(caller_rate=0.001, caller_burst=1))
    for _ in range(10):
        await door.ask(door.headers(bt_header_dendrite_signature="0x" + "22" * 64), address="203.0.113.5")
    assert (await door.ask()).status == 200


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/Foo", "POST", 404),
        ("/", "GET", 404),
        ("/Synapse", "POST", 404),
        ("/ImageSynapse/", "POST", 404),
        ("/docs", "GET", 404),
        ("/openapi.json", "GET", 404),
        ("/ImageSynapse", "GET", 405),
        ("/ImageSynapse", "OPTIONS", 405),
    ],
)
async def test_one_route_one_method(path, method, status):
    door = Door()
    answer = await door.ask(path=path, method=method)
    assert answer.status == status
    assert door.refusals[0][0] == status


@pytest.mark.parametrize(
    ("content", "status", "outcome"),
    [
        (b"{nope", 422, "bad_request"),
        (b"[]", 422, "bad_request"),
        (body(image=5), 422, "bad_request"),
        (b"{}", 422, "bad_request"),
        (body(image="@@@"), 422, "bad_image"),
        (body(image="AAAA"), 422, "bad_image"),
        (body(image=base64.b64encode(png(60_000, 60_000)).decode()), 413, "bad_image"),
        ([b"x" * 600_000] * 11, 413, "bad_request"),
    ],
)
async def test_what_an_admitted_caller_gets_wrong_is_its_fault_and_recorded(content, status, outcome):
    door = Door()
    assert (await door.ask(content=content)).status == status
    (exchange,) = door.exchanges
    assert (exchange.status, exchange.outcome, exchange.prediction) == (status, outcome, None)
    assert exchange.notes[0].startswith("reason:")
    assert not door.refusals
    assert not door.engine.requests


async def test_extra_fields_and_a_false_name_in_the_body_change_nothing():
    door = Door()
    answer = await door.ask(content=body(dendrite={"hotkey": STRANGER.ss58_address}, zzz=[1, {"x": None}]))
    assert answer.status == 200
    assert door.exchanges[0].caller == VALI.ss58_address


async def test_a_signed_body_hash_is_recomputed():
    door = Door()
    good = digest(IMAGE)
    assert (await door.ask(door.headers(body_hash=good))).status == 200
    other = base64.b64encode(png(3, 3)).decode()
    assert (await door.ask(door.headers(body_hash=good), body(image=other))).status == 401
    assert (await door.ask(door.headers(body_hash=good), body(image="\ud800"))).status == 422
    assert [e.outcome for e in door.exchanges] == ["answered", "bad_request", "bad_request"]
    assert door.exchanges[1].notes == ("reason:body_hash",)


async def test_the_hashed_fields_are_a_setting():
    door = Door(wire=Wire(hash_fields=["testnet_label", "image"]))
    assert (await door.ask(door.headers(body_hash=digest("-1", IMAGE)))).status == 200
    assert (await door.ask(door.headers(body_hash=digest(IMAGE)))).status == 401
    assert (await door.ask(door.headers(body_hash=EMPTY))).status == 200


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (Shed("queue"), 503, "shed"),
        (Unavailable("down"), 503, "unavailable"),
        (BadImage("corrupt"), 422, "bad_image"),
    ],
)
async def test_what_the_engine_refuses(error, status, outcome):
    door = Door(act=error)
    assert (await door.ask()).status == status
    (exchange,) = door.exchanges
    assert (exchange.outcome, exchange.prediction) == (outcome, None)
    assert exchange.notes[1] == f"engine:{error.reason}"
    assert exchange.sha256 == hashlib.sha256(PNG).hexdigest()


async def unspoken(request):
    return verdict(request, NO_PREDICTION)


async def test_no_model_alive_is_503():
    door = Door(act=unspoken)
    assert (await door.ask()).status == 503
    assert door.exchanges[0].outcome == "unavailable"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.0001, -0.5])
async def test_a_prediction_outside_zero_to_one_never_leaves(value):
    async def broken(request):
        return verdict(request, value)

    door = Door(act=broken)
    answer = await door.ask()
    assert answer.status == 500
    assert "prediction" not in answer.json
    (exchange,) = door.exchanges
    assert (exchange.status, exchange.outcome, exchange.prediction) == (500, "error", None)


async def test_a_bug_of_ours_is_500_recorded_and_told_to_nobody():
    door = Door(act=ZeroDivisionError("secret detail"))
    answer = await door.ask()
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert door.exchanges[0].notes == ("reason:bug",)
    door.admission.check = None  # a bug before admission
    assert (await door.ask()).status == 500
    assert door.refusals == [(500, "bug")]
    assert len(door.exchanges) == 1


async def test_an_engine_that_never_comes_back_is_not_waited_for():
    async def silent(request):
        await asyncio.Event().wait()

    door = Door(act=silent, wire=Wire(answer_within_s=0.01))
    assert (await door.ask()).status == 503
    assert door.exchanges[0].notes == ("reason:unavailable", "engine:silent")


@pytest.mark.parametrize(
    ("timeout", "budget"),
    [
        ("9.0", 7.5),
        ("5", 4.0),
        ("1.0", 0.5),
        ("60", 7.5),
        ("0.01", 7.5),
        ("-3", 7.5),
        ("nan", 7.5),
        ("inf", 7.5),
        ("soon", 7.5),
        ("", 7.5),
    ],
)
async def test_the_deadline_is_ours_or_sooner(timeout, budget):
    door = Door()
    assert (await door.ask(door.headers(timeout=timeout))).status == 200
    assert door.engine.requests[0].deadline == pytest.approx(door.clock.monotonic + budget)


async def test_an_answer_after_the_deadline_is_sent_and_called_late():
    door = Door()

    async def slow(request):
        door.clock.advance(7.6)
        return verdict(request, 0.25)

    door.engine.act = slow
    assert (await door.ask()).json["prediction"] == 0.25
    (exchange,) = door.exchanges
    assert (exchange.outcome, exchange.prediction) == ("late", 0.25)
    assert exchange.margin_s < 0
    assert exchange.ms["engine"] == pytest.approx(7600)


async def test_a_client_that_left_is_recorded_as_gone():
    asked = Asking(None)
    door = Door()

    async def judge(request):
        asked.gone = True
        return verdict(request, 0.25)

    door.engine.act = judge
    await door.ask(asked=asked)
    (exchange,) = door.exchanges
    assert (exchange.status, exchange.outcome, exchange.prediction) == (499, "gone", None)


async def test_only_a_verified_request_proves_a_connection():
    asked = Asking(None)
    door = Door()
    await door.ask(door.headers(keypair=STRANGER), asked=asked)
    await door.ask(door.headers(signed=False), asked=asked)
    await door.ask(door.headers(bt_header_dendrite_signature="0x" + "00" * 64), asked=asked)
    assert asked.proven == 0
    await door.ask(asked=asked)
    assert asked.proven == 1


async def test_notes_of_the_verdict_are_kept():
    async def noted(request):
        return verdict(request, 0.25, notes=("truncated:0.73",))

    door = Door(act=noted)
    await door.ask(content=body(testnet_label=0))
    assert door.exchanges[0].notes == ("testnet_label:0", "truncated:0.73")


async def test_signed_requests_of_sdk_11_are_answered():
    door = Door()
    content = body()
    signed = modern(door, content)
    assert (await door.ask(signed, content)).json["prediction"] == 0.75
    assert (await door.ask(signed, content)).status == 401
    assert door.refusals == [(401, "replay")]
    assert door.exchanges[0].client_version == "btauth/1"
    target = "/ImageSynapse?a=1"
    assert (await door.ask(modern(door, content, target=target), content, query=b"a=1")).status == 200


async def test_sdk_11_goes_through_the_same_door():
    door = Door()
    content = body()
    assert (await door.ask(modern(door, content, keypair=STRANGER), content)).status == 403
    assert (await door.ask(modern(door, content), body(testnet_label=1))).status == 401
    stale = {"x-bittensor-nonce": str(door.clock.wall - int(14e9))}
    assert (await door.ask({**modern(door, content), **stale}, content)).status == 401
    assert [reason for _, reason in door.refusals] == ["stranger", "signature", "stale"]


async def test_an_empty_signed_body_is_a_bad_request_and_read_once():
    door = Door()
    assert (await door.ask(modern(door, b""), b"")).status == 422
    assert door.exchanges[0].outcome == "bad_request"


async def test_a_body_too_large_is_refused_before_it_is_read_on_both_wires():
    class Unread(Asking):
        async def receive(self):
            raise AssertionError("read")

    door = Door()
    declared = {"content-length": "300000000"}
    assert (await door.ask({**door.headers(), **declared}, asked=Unread(None))).status == 413
    assert (await door.ask({**modern(door, body()), **declared}, asked=Unread(None))).status == 413
    assert [e.status for e in door.exchanges] == [413]
    assert door.refusals == [(413, "body_size")]


async def test_ten_thousand_strangers_leave_nothing_behind():
    door = Door(blacklist=Blacklist())
    for i in range(10_000):
        claimed = headers(signed=False, nonce=door.clock.wall, bt_header_dendrite_hotkey=f"5Stranger{i:039}")
        claimed["bt_header_dendrite_signature"] = "0x" + "00" * 64
        await door.ask(claimed, address=f"198.51.{i // 256}.{i % 256}")
    assert door.refusals == [(403, "stranger")] * 10_000
    assert len(door.endpoint._replay) == len(door.endpoint._addresses) == len(door.endpoint._callers) == 0


def test_ids_are_unique_over_restarts():
    async def ids():
        door = Door()
        await door.ask()
        await door.ask()
        return [r.id for r in door.engine.requests]

    found = asyncio.run(ids()) + asyncio.run(ids())
    assert len(set(found)) == 4


NAMES = [n.encode() for n in headers()] + [b"content-length", b"x-bittensor-hotkey", b"x-bittensor-nonce"]
NAMES += [b"x-bittensor-signature", b"x-bittensor-receiver", b"x-bittensor-version", b"x-bittensor-crypto"]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    changes=st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=300) | st.just(None)), max_size=6),
    extra=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=50)), max_size=5),
    doubled=st.booleans(),
    content=st.binary(max_size=100) | st.just(body()),
)
def test_any_headers_give_an_answer_or_a_clear_refusal(changes, extra, doubled, content):
    async def run():
        door = Door()
        given = [(n.encode(), v.encode()) for n, v in door.headers().items()]
        for name, value in changes:
            if not doubled or value is None:
                given = [pair for pair in given if pair[0] != name]
            if value is not None:
                given.append((name, value))
        answer = await door.ask([*extra, *given], content)
        assert answer.status == 200 or 400 <= answer.status < 500, answer
        assert json.loads(answer.body)
        assert len(door.exchanges) + len(door.refusals) == 1
        if door.refusals:
            assert door.refusals[0] == (answer.status, door.refusals[0][1])
            assert door.refusals[0][1] in synapse.REASONS

    asyncio.run(run())
