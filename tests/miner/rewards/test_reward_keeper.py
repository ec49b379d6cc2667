"""The keeper over a real ledger: what a validator asked, what the chain shows, what an operator is told."""

from __future__ import annotations

import random

import pytest
from test_rules import neuron, snapshot

from miner.alarms import Alarms
from miner.chain.errors import ChainDown
from miner.ledger import Ledger, events, payouts
from miner.records import Exchange
from miner.rewards.diary import Diary, DiarySink
from miner.rewards.keeper import RewardKeeper
from miner.rewards.several import Several
from miner.rewards.tables import Tables
from miner.rewards.twin import Twin
from miner.settings import Rewards

OURS, BIG, SMALL = "hot3", "hot2", "hot1"
START_S, GAP_S = 2e9, 300.0


class Chain:
    def __init__(self) -> None:
        self.table = {2: {3: 0.5, 4: 0.5}, 1: {3: 0.2, 4: 0.8}}
        self.reads, self.down = 0, False

    async def weights(self):
        self.reads += 1
        if self.down:
            raise ChainDown("nobody answers")
        return self.table

    async def bonds(self):
        return {2: {3: 0.75}}


class World:
    """A miner's ledger and chain at a time that the test sets."""

    def __init__(self, folder) -> None:
        self.now, self.epoch, self.snapshot, self.number = START_S, 9_900, None, 0
        self.chain, self.folder = Chain(), folder
        self.ledger = Ledger(folder / "ledger.sqlite", hotkey=OURS, clock_ns=lambda: int(self.now * 1e9))
        self.diary = Diary(folder / "rewards.log", clock=lambda: self.now)
        self.alarms = Alarms(self.ledger.event, clock=lambda: self.now)
        self.tables = Tables(self.chain, wall=lambda: self.now)
        self.keeper = self.keeper_of(self.alarms)
        self.show()

    def keeper_of(self, alarms, **whose):
        shared = (self.tables, self, self.ledger, alarms, Rewards(), self.diary)
        return RewardKeeper(*shared, wall=lambda: self.now, **whose)

    def show(self, *, stake=700.0, burned=0.0, registered=True, **fields):
        """The chain's newest snapshot."""
        rows = [neuron(0, incentive=burned), neuron(4, incentive=(1 - burned) / 2, emission=5.0)]
        rows += [neuron(1, stake=300.0, validator_permit=True, last_update=9_900)]
        rows += [neuron(2, stake=stake, validator_permit=True, last_update=9_990)]
        if registered:
            rows += [neuron(3, incentive=(1 - burned) / 2, emission=5.0)]
        values = {"taken_at": self.now, "last_epoch": self.epoch, "max_uids": 256, **fields}
        self.snapshot = snapshot(*sorted(rows, key=lambda n: n.uid), **values)

    def ask(self, caller, prediction=0.9, label=None, outcome="answered", hotkey=OURS):
        """One challenge, and time goes on."""
        self.number += 1
        sha256 = f"{self.number:064x}"
        notes = () if label is None else (f"testnet_label:{label}",)
        self.ledger.write(
            [
                Exchange(
                    *(f"id-{self.number}", int(self.now * 1e9), hotkey, caller, "192.0.2.1", "11.3"),
                    *(200 if outcome == "answered" else 503, outcome),
                    sha256=sha256,
                    prediction=prediction,
                    notes=notes,
                )
            ]
        )
        self.now += GAP_S
        return sha256

    def row(self, hotkey):
        return next(row for row in self.keeper.rows if row["hotkey"] == hotkey)

    def keys(self):
        return [row["key"] for row in self.alarms.rows()]

    def ledger_events(self, kind):
        self.ledger.write([])
        return events(self.ledger.path, kind=kind)

    def said(self):
        self.ledger.write([])
        self.diary.flush()
        return (self.folder / "rewards.log").read_text()


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.ledger.close()


async def test_known_labels_give_the_validators_own_score(world):
    rng, twin = random.Random(3), Twin()
    for _ in range(150):
        label, outcome = rng.randint(0, 1), "shed" if rng.random() < 0.05 else "answered"
        right = rng.random() < 0.95
        prediction = 0.9 if (label == 1) == right else 0.1
        world.ask(BIG, prediction, label, outcome)
        twin.observe(prediction if outcome == "answered" else -1.0, label)
    await world.keeper.check()
    row = world.row(BIG)
    assert row["worst"] == row["best"] == pytest.approx(twin.score, abs=1e-9)
    assert (row["challenges"], row["known"], row["gap_s"]) == (150, 150, GAP_S)


async def test_reviewed_labels_count_and_our_own_guesses_do_not(world):
    pictures = [world.ask(BIG, float(n % 2)) for n in range(60)]
    await world.keeper.check()
    assert world.row(BIG)["known"] == 0 and world.row(BIG)["worst"] < world.row(BIG)["best"]
    for n, sha256 in enumerate(pictures):
        world.ledger.label(sha256, "roadwork" if n % 2 else "none", source="review", reviewer="ann")
    world.ledger.label(pictures[0], "roadwork", source="pseudo", reviewer="")
    world.ledger.write([])
    await world.keeper.check()
    row = world.row(BIG)
    assert row["known"] == 60 and row["worst"] == row["best"] > 0.8


async def test_what_the_validator_scored_by_goes_before_what_a_person_sees(world):
    sha256 = world.ask(BIG, 1.0)
    world.ledger.label(sha256, "none", source="review", reviewer="ann")
    world.ledger.label(sha256, "roadwork", source="validator", reviewer="log")
    world.ledger.write([])
    await world.keeper.check()
    assert world.row(BIG)["best"] > 0


async def test_an_epoch_is_written_down_with_every_validators_view(world):
    world.ask(BIG, 0.9, 1)
    said = await world.keeper.check()
    assert "2 validators" in said
    world.ledger.write([])
    (row,) = payouts(world.ledger.path)
    assert row["block"] == 9_900 and row["alpha"] == 5.0
    big, small = row["validators"]
    assert (big["hotkey"], big["weight"], big["ceiling"], big["bond"]) == (BIG, 0.5, 1.0, 0.75)
    assert (small["hotkey"], small["ceiling"]) == (SMALL, 0.25)
    assert "epoch 9900: 5.000000 alpha" in world.said()
    await world.keeper.check()
    assert world.said().count("epoch 9900") == 1 and world.chain.reads == 1
    world.epoch += 360
    world.show()
    await world.keeper.check()
    assert world.said().count("epoch 10260") == 1 and world.chain.reads == 2


async def test_a_chain_that_is_down_costs_the_tables_only(world):
    world.chain.down = True
    world.ask(BIG, 0.9, 1)
    assert "nobody answers" in await world.keeper.check()
    assert world.row(BIG)["weight"] is None and world.row(BIG)["challenges"] == 1


async def test_before_the_first_snapshot_only_the_silence_is_told(world):
    world.snapshot = None
    assert "no snapshot" in await world.keeper.check()
    world.now += 2 * 3600
    await world.keeper.check()
    assert world.keys() == ["halt"]


async def test_one_validator_gone_silent_then_all_of_them(world):
    for n in range(60):
        world.ask(BIG if n % 2 else SMALL, float(n % 2))
    await world.keeper.check()
    assert not world.keys()
    for n in range(14):
        world.ask(BIG, float(n % 2))
    await world.keeper.check()
    assert world.keys() == [f"silent {SMALL}"]
    world.now += 3 * 3600
    world.show()
    await world.keeper.check()
    assert world.keys() == ["halt"], "what holds for all is not told of each"
    world.ask(BIG, 0.0)
    world.ask(SMALL, 0.0)
    await world.keeper.check()
    assert not world.keys()
    world.ledger.write([])
    states = [
        (event["data"]["key"], event["data"]["state"]) for event in events(world.ledger.path, kind="alarm")
    ]
    assert states[::-1] == [
        *((f"silent {SMALL}", "rings"), ("halt", "rings")),
        *((f"silent {SMALL}", "over"), ("halt", "over")),
    ]


async def test_burning_and_deregistration_ring(world):
    world.show(burned=1.0)
    await world.keeper.check()
    assert world.keys() == ["burn"]
    world.show(registered=False)
    world.epoch += 360
    await world.keeper.check()
    assert world.keys() == ["place"] and "not registered" in world.alarms.rows()[0]["text"]


async def test_twin_and_chain_must_disagree_twice_to_ring(world):
    world.chain.table = {2: {3: 0.01, 4: 0.99}, 1: {4: 1.0}}
    for n in range(120):
        world.ask(BIG, float(n % 2), n % 2)
    for keys in ([], [f"twin {BIG}"], [f"twin {BIG}"]):
        world.show()
        await world.keeper.check()
        assert world.keys() == keys
        world.epoch += 360
    world.chain.table = {2: {3: 0.5, 4: 0.5}}
    world.show()
    await world.keeper.check()
    assert not world.keys()


async def test_a_validators_change_of_stake_is_told(world):
    world.ask(BIG)
    await world.keeper.check()
    world.epoch += 360
    world.show(stake=500.0)
    await world.keeper.check()
    assert "stake was 700.0 alpha and is 500.0" in world.said()
    (event,) = events(world.ledger.path, kind="stake")
    assert event["data"] == {"hotkey": BIG, "before": 700.0, "after": 500.0}


async def test_what_changed_while_the_miner_was_down_is_told_and_our_growing_stake_is_not(tmp_path):
    before = World(tmp_path)
    before.ask(BIG)
    await before.keeper.check()
    before.ledger.close()
    after = World(tmp_path)
    after.epoch += 360
    after.show(stake=1400.0)
    await after.keeper.check()
    after.ledger.write([])
    assert [event["data"]["after"] for event in events(after.ledger.path, kind="stake")] == [1400.0]
    after.ledger.close()


async def test_for_several_hotkeys_the_chain_is_read_once_and_what_holds_for_all_rings_once(world):
    told = []
    of_second = Alarms(lambda kind, data: told.append(data["key"]), clock=lambda: world.now)
    both = Several([world.keeper, world.keeper_of(of_second, hotkey="hot4", first=False)])
    world.show(burned=1.0)
    await both.check()
    assert world.keys() == ["burn"] and not told and world.chain.reads == 1
    world.now += 3 * 3600
    world.epoch += 360
    world.show(stake=1400.0)
    assert "2 validators" in await both.check()
    assert world.keys() == ["halt"] and not told, "nobody asks any of them: one alarm"
    assert len(world.ledger_events("stake")) == 1 and world.chain.reads == 2
    world.ask(BIG, 0.0)
    await both.check()
    assert not world.keys() and told == ["halt"], "only the second is not asked"


async def test_tables_that_cannot_be_read_are_not_tried_again_by_every_keeper(world):
    world.chain.down = True
    both = Several([world.keeper, world.keeper_of(world.alarms, hotkey="hot4", first=False)])
    assert (await both.check()).count("nobody answers") == 2 and world.chain.reads == 1
    world.chain.down = False
    world.show(block=world.snapshot.block + 1)
    assert "nobody answers" not in await both.check() and world.row(BIG)["weight"] == 0.5


async def test_a_dead_model_and_a_stuck_one_ring(world):
    for n in range(40):
        world.ask(BIG, 0.9, outcome="answered" if n < 32 else "late")
    await world.keeper.check()
    assert world.keys() == ["one-sided", "missed"]


def test_the_diary_begins_anew_when_it_is_long_and_outlives_a_bad_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("miner.rewards.diary.MAX_BYTES", 400)
    diary = Diary(tmp_path / "rewards.log", clock=lambda: START_S)
    for number in range(20):
        diary.write(f"line {number}\nforged")
        diary.flush()
    lines = (tmp_path / "rewards.log.1").read_text().splitlines()
    assert all(line.endswith("forged") and "line" in line for line in lines)
    lost = Diary(tmp_path / "nowhere" / "rewards.log")
    lost.write("nothing happens")
    lost.flush()


def test_the_diary_touches_no_disk_where_challenges_are_answered(tmp_path):
    """A disk that hangs must hang the recorder's thread alone."""
    diary = Diary(tmp_path / "rewards.log", clock=lambda: START_S)
    diary.write("an alarm")
    assert not (tmp_path / "rewards.log").exists()
    DiarySink(diary).write([])
    assert (tmp_path / "rewards.log").read_text().endswith("an alarm\n")
