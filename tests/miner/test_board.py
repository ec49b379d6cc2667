"""The one status: what it says in each state of the parts, and that everybody who shows it can."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from miner.board import PAYOUTS, Board
from miner.chain.errors import ChainDown
from miner.chain.snapshot import Neuron, Snapshot
from miner.chain.subnet_health import assess
from miner.chain.watch import ChainWatch
from miner.engine.interface import EngineHealth, SeatRow
from miner.hotkeys import hotkey_row
from miner.place import PlaceRow
from miner.recorder import Recorder
from miner.records import Exchange
from miner.rewards.onchain import payout
from miner.settings import Settings, Subtensor
from miner.status import PayoutRow, Tally
from miner.telemetry import Metrics

OURS, RIVAL, VALIDATOR = "ours", "rival", "validator"
READY = EngineHealth(ready=True, state="ready", device="cpu", versions={"classifier": "abc"})


def neuron(uid: int, hotkey: str, incentive: float = 0.0, emission: float = 0.0) -> Neuron:
    return Neuron(
        uid, hotkey, f"{hotkey}'s", 0.0, hotkey == VALIDATOR, None, incentive, emission, 0.0, 0, 0, True
    )


def snapshot(*neurons: Neuron, block: int = 1_000, last_epoch: int = 720) -> Snapshot:
    return Snapshot(72, block, 360, 0.0, 0.5, "owner", 100, 256, neurons, last_epoch=last_epoch)


REGISTERED = snapshot(
    neuron(0, VALIDATOR), neuron(1, RIVAL, incentive=0.75, emission=30.0), neuron(2, OURS, 0.25, 10.0)
)
ALONE = snapshot(neuron(0, VALIDATOR))


class Source:
    """A chain that shows whatever the test wants; an exception is raised."""

    def __init__(self) -> None:
        self.shows: Snapshot | Exception = ChainDown("nobody answers")

    async def snapshot(self) -> Snapshot:
        if isinstance(self.shows, Exception):
            raise self.shows
        return self.shows

    async def rotate(self) -> None: ...


class StillEngine:
    """An engine of which only the health is asked."""

    def __init__(self) -> None:
        self.now = READY

    def health(self) -> EngineHealth:
        return self.now


class Parts:
    """A board over real parts, at a time of its own."""

    def __init__(self, *payouts: PayoutRow) -> None:
        self.seconds = self.opened = 1_000.0
        self.source, self.engine = Source(), StillEngine()
        self.watch = ChainWatch(self.source, OURS, Subtensor(), clock=lambda: self.seconds)
        self.metrics, self.tally = Metrics(), Tally()
        self.recorder = Recorder([self.metrics, self.tally], clock=lambda: self.seconds)
        self.board = Board(
            Settings(),
            self.watch,
            self.engine,
            self.recorder,
            self.tally,
            self.metrics,
            list(payouts),
            wall=lambda: self.seconds,
            opens=lambda: self.opened - self.seconds,
        )

    async def see(self, shown: Snapshot | Exception) -> Board:
        self.source.shows = shown
        await self.watch.refresh()
        return self.board


async def test_a_miner_that_just_started_is_not_ready_before_it_takes_what_is_signed_now():
    parts = Parts()
    parts.opened = 1_004.0
    board = await parts.see(REGISTERED)
    assert "just started: for 4.0 s more" in board.reasons()[0] and not board.status()["ready"]
    parts.seconds = 1_004.0
    assert board.reasons() == [] and board.status()["ready"]


async def test_a_miner_that_answers_has_no_reasons():
    board = await Parts().see(REGISTERED)
    status = board.status()
    assert board.reasons() == []
    assert (status["ready"], status["reasons"]) == (True, [])
    assert (status["registered"], status["uid"], status["hotkey"]) == (True, 2, OURS)
    assert status["engine"]["versions"] == {"classifier": "abc"}


def test_before_the_first_snapshot_nothing_is_claimed():
    status = Parts().board.status()
    assert (status["registered"], status["uid"], status["reward"]) == (None, None, None)
    assert status["subnet"]["level"] == "unknown"
    assert status["reasons"] == ["chain starting: no snapshot of the subnet yet"]


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        (EngineHealth(ready=False, state="starting"), "engine starting"),
        (EngineHealth(ready=False, state="down", detail="main: no memory"), "engine down: main: no memory"),
    ],
)
async def test_an_engine_that_is_not_ready_is_the_reason(health, reason):
    parts = Parts()
    parts.engine.now = health
    board = await parts.see(REGISTERED)
    assert board.reasons() == [reason]


async def test_a_degraded_engine_answers():
    parts = Parts()
    parts.engine.now = replace(READY, state="degraded", detail="main: starting again")
    assert (await parts.see(REGISTERED)).reasons() == []


async def test_each_part_that_can_fail_by_itself_has_a_state():
    parts = Parts()
    seats = [
        SeatRow(name="main", state="crash_loop", device="cuda:0", pid=None, restarts=5, detail="CUDA error"),
        SeatRow(name="standby", state="serving", device="cpu", pid=7, restarts=0, detail=""),
    ]
    parts.engine.now = replace(READY, state="degraded", restarts=5, seats=seats)
    board = await parts.see(REGISTERED)
    rows = [(row["member"], row["state"], row["restarts"]) for row in board.members()]
    assert rows == [
        ("engine", "degraded", 5),
        ("engine main", "crash_loop", 5),
        ("engine standby", "serving", 0),
        ("chain", "ok", 0),
        ("recorder", "ok", 0),
    ]
    assert "CUDA" not in json.dumps(board.members()), "details are the status's"
    parts.seconds += 60
    await parts.see(ChainDown("gone"))
    assert [row["state"] for row in board.members()[-2:]] == ["stale", "hung"]


async def test_a_chain_that_goes_down_later_is_no_reason():
    parts = Parts()
    await parts.see(REGISTERED)
    parts.seconds += 7_200
    board = await parts.see(ChainDown("nobody answers"))
    status = board.status()
    assert status["chain"]["state"] == "down"
    assert status["chain"]["age_s"] == 7_200
    assert (status["ready"], status["registered"], status["uid"]) == (True, True, 2)


@pytest.mark.parametrize("after", [replace(ALONE, block=1_002), ChainDown("nobody answers")])
async def test_a_deregistered_hotkey_is_the_reason_also_once_the_chain_is_gone(after):
    parts = Parts()
    await parts.see(REGISTERED)
    await parts.see(replace(ALONE, block=1_001))
    status = (await parts.see(after)).status()
    assert (status["ready"], status["registered"], status["uid"]) == (False, False, None)
    assert status["reward"] is None
    assert status["reasons"] == [f"hotkey {OURS} is not registered on subnet 72"]


async def test_the_reward_is_that_of_our_row():
    reward = (await Parts().see(REGISTERED)).reward()
    assert reward is not None
    epochs_a_day = 86_400 / 12 / 360
    assert reward["emission_alpha"] == 10.0
    assert reward["alpha_per_day"] == pytest.approx(10.0 * epochs_a_day)
    assert reward["tao_per_day"] == pytest.approx(5.0 * epochs_a_day)
    assert (reward["incentive"], reward["rank"], reward["position"]) == (0.25, 2, None)


async def test_every_hotkey_has_a_row_and_one_that_is_registered_is_enough():
    parts = Parts()
    tally = parts.tally
    asked = Exchange("1-1", 10**9, RIVAL, VALIDATOR, "127.0.0.1", "", 200, "answered", prediction=0.5)
    tally.write([asked, replace(asked, outcome="shed", prediction=None)])
    places = [
        PlaceRow(hotkey=hotkey, uid=uid, port=8091, address="published", sentence="")
        for hotkey, uid in ((OURS, None), (RIVAL, 1))
    ]
    seen = replace(snapshot(neuron(0, VALIDATOR), neuron(1, RIVAL, 0.75, 30.0)), block=1_060)
    twins = [{"challenges": 5, "share": 0.25, "worst": 0.5, "best": 0.5}]
    twins += [{"challenges": 9, "share": 0.75, "worst": 0.1, "best": 0.9}, {"challenges": 0, "share": 0.5}]
    rows = [
        hotkey_row(place, seen, said, tally.asked(place["hotkey"]))
        for place, said in zip(places, ([], twins), strict=True)
    ]
    parts.board._hotkeys = lambda: rows
    status = (await parts.see(seen)).status()
    first, second = status["hotkeys"]
    assert (first["reward"], first["twin"], first["challenges"]) == (None, None, 0)
    assert second["reward"] and second["reward"]["rank"] == 1 and second["immune_blocks"] == 0
    assert second["twin"] == (pytest.approx(0.2), pytest.approx(0.8))
    assert (second["challenges"], second["answered"]) == (2, 1)
    assert status["ready"] and status["uid"] is None, "the second is registered: it is answered for"


async def test_an_epoch_is_listed_once_even_after_a_restart():
    parts = Parts(
        PayoutRow(at_s=1.0, block=360, alpha=1.0, tao=0.5),
        PayoutRow(at_s=2.0, block=720, alpha=10.0, tao=5.0),
    )
    seen = payout(REGISTERED, OURS)
    assert seen is not None
    parts.board.paid(seen)
    parts.board.paid(replace(seen, block=1_080))
    rows = parts.board.status()["payouts"]
    assert [row["block"] for row in rows] == [360, 720, 1_080]
    assert rows[-1] == {"at_s": 1_000.0, "block": 1_080, "alpha": 10.0, "tao": 5.0}


def test_only_the_last_payouts_are_kept():
    parts = Parts(*(PayoutRow(at_s=0.0, block=block, alpha=0.0, tao=0.0) for block in range(PAYOUTS + 5)))
    seen = payout(REGISTERED, OURS)
    assert seen is not None
    parts.board.paid(seen)
    rows = parts.board.status()["payouts"]
    assert (len(rows), rows[0]["block"], rows[-1]["block"]) == (PAYOUTS, 6, 720)


async def test_challenges_and_refusals_are_counted():
    parts = Parts()
    await parts.see(REGISTERED)
    answered = Exchange("1-1", 10**9, OURS, VALIDATOR, "127.0.0.1", "", 200, "answered", prediction=0.5)
    for exchange in (answered, replace(answered, id="1-2", status=503, outcome="shed", prediction=None)):
        parts.recorder.record(exchange)
    parts.metrics.refused(403, "stranger")
    parts.metrics.refused(403, "stranger")
    assert parts.board.status()["recorder"]["queued"] == 2
    parts.recorder.flush()
    status = parts.board.status()
    assert status["counts"] == {"outcomes": {"answered": 1, "shed": 1}, "refused": {"403 stranger": 2}}
    assert [row["id"] for row in status["recent"]] == ["1-2", "1-1"]
    assert status["recorder"]["queued"] == 0


async def test_the_status_is_plain_json_in_every_state():
    parts = Parts()
    for shown in (ChainDown("down"), REGISTERED, replace(ALONE, block=1_001)):
        board = await parts.see(shown)
        if isinstance(shown, Snapshot):
            board.subnet = assess(shown, None)
        status = board.status()
        assert json.loads(json.dumps(status, allow_nan=False)) == status
