"""The jobs that every miner has: what each does, and what it tells when it cannot."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace
from unittest.mock import Mock

import pytest
from jobs_kit import Books, VirtualClock

from miner.alarms import Alarms
from miner.disk import Disk
from miner.jobs import Context, JobFailed
from miner.jobs.backup import backup
from miner.jobs.declared import Parts, declared
from miner.jobs.disk_check import disk_check
from miner.jobs.reminders import DAY_S, wanting
from miner.jobs.retention import retention
from miner.ledger import Ledger, recent
from miner.ledger.backup import back_up, backups, check
from miner.records import Exchange
from miner.registry import Registry
from miner.registry.manifest import Facts, Manifest
from miner.settings import Settings

GB = 10**9


def at(at_s: float = 0.0) -> Context:
    return Context("any", "manual", at_s)


def exchange(number: int, at_ns: int) -> Exchange:
    return Exchange(f"id-{number}", at_ns, "ours", "validator", "192.0.2.1", "11.3", 200, "answered")


@pytest.fixture
def ledger(tmp_path):
    book = Ledger(tmp_path / "data" / "ledger.sqlite", hotkey="ours", days=1)
    book.write([exchange(1, 10**18 * 2)])
    yield book
    book.close()


class Room:
    """A disk with as much room as a test says."""

    def __init__(self, tmp_path, free: int, min_free: int = GB) -> None:
        self.free, self.now = free, 0.0
        self.disk = Disk(tmp_path, min_free, free=self._ask, clock=lambda: self.now)

    def _ask(self, path) -> int:
        if self.free < 0:
            raise OSError("gone")
        return self.free


@pytest.fixture
def alarms():
    return Alarms(Books().event)


async def test_backups_are_made_checked_and_thinned(ledger, tmp_path):
    folder = tmp_path / "data" / "backups"
    run = backup(ledger.path, folder, 2, Room(tmp_path, 5 * GB).disk)
    for day in range(4):
        said = await run(at(day * DAY_S))
    assert "1 old ones deleted" in said and "checked" in said
    assert [check(path) for path in backups(folder)] == [1, 1]


async def test_without_room_no_backup_is_made_and_answering_is_not_asked(ledger, tmp_path):
    folder = tmp_path / "backups"
    with pytest.raises(JobFailed, match="almost full"):
        await backup(ledger.path, folder, 2, Room(tmp_path, 0).disk)(at())
    assert not folder.exists()


async def test_backups_can_be_off_and_a_missing_ledger_is_no_fault(tmp_path):
    disk = Room(tmp_path, 5 * GB).disk
    assert "off" in await backup(tmp_path / "ledger.sqlite", tmp_path / "backups", 0, disk)(at())
    assert "no ledger" in await backup(tmp_path / "ledger.sqlite", tmp_path / "backups", 2, disk)(at())


async def test_a_backup_that_cannot_be_made_says_why(tmp_path):
    broken = tmp_path / "ledger.sqlite"
    broken.write_bytes(b"nothing" * 2000)
    with pytest.raises(JobFailed, match="no backup"):
        await backup(broken, tmp_path / "backups", 2, Room(tmp_path, 5 * GB).disk)(at())


async def test_a_full_disk_rings_and_an_empty_one_ends_it(tmp_path, alarms):
    room = Room(tmp_path, 5 * GB)
    run = disk_check(room.disk, alarms)
    await run(at())
    assert not alarms.rows() and not room.disk.low
    room.free = GB - 1
    assert "almost full" in await run(at())
    assert [row["key"] for row in alarms.rows()] == ["disk"] and room.disk.low
    room.free = int(1.1 * GB)
    await run(at())
    assert room.disk.low, "just above the limit it would only flicker"
    room.free = 2 * GB
    await run(at())
    assert not alarms.rows() and not room.disk.low


async def test_a_ledger_that_was_set_aside_rings(tmp_path, alarms):
    room = Room(tmp_path, 5 * GB)
    damage = "the ledger is damaged: kept as x, its copy y takes its place"
    await disk_check(room.disk, alarms, lambda: damage)(at())
    (row,) = alarms.rows()
    assert (row["key"], row["level"]) == ("ledger", "fail")
    assert row["text"].startswith("The ledger is damaged: kept as x")


def test_who_wants_to_capture_is_told_within_seconds_and_without_the_job(tmp_path):
    room = Room(tmp_path, 5 * GB)
    assert not room.disk.low
    room.free, room.now = 0, 1.0
    assert not room.disk.low
    room.now = 3.0
    assert room.disk.low


def test_a_disk_that_cannot_be_asked_has_no_room_and_no_limit_means_always(tmp_path):
    assert Room(tmp_path, -1).disk.low
    assert not Room(tmp_path, 0, min_free=0).disk.low
    assert Disk(tmp_path / "not" / "there" / "yet", 1).look() > 0


async def test_retention_lets_old_rows_go_at_the_writers_next_turn(tmp_path):
    now = [2_000_000_000 * 10**9]
    book = Ledger(tmp_path / "ledger.sqlite", days=1, clock_ns=lambda: now[0], uptime=lambda: now[0] / 1e9)
    book.write([exchange(number, now[0]) for number in range(10)])
    now[0] += 2 * 86_400 * 10**9
    book.write([exchange(11, now[0])])
    now[0] += 1
    await retention(book)(at())
    book.write([])
    assert [one.id for one in recent(book.path)] == ["id-11"] and book.pruned == 10
    book.close()


def a_manifest(licence: str = "apache-2.0", created_s: float = 0.0) -> Manifest:
    return Manifest("classifier", "abc", int(created_s * 1e9), {}, Facts(licence=licence))


@pytest.mark.parametrize(
    ("licence", "days", "says"),
    [
        ("apache-2.0", 44, None),
        ("apache-2.0", 45, "45 days old"),
        ("", 1, "no licence"),
        ("cc-by-nc-4.0", 1, "may not allow paid work"),
        ("Research only", 1, "may not allow"),
        ("CNCF licence", 1, None),
    ],
)
def test_papers_that_want_a_look(licence, days, says):
    found = wanting({"classifier": a_manifest(licence)}, days * DAY_S, {})
    assert (found == {}) if says is None else (says in found["classifier"])


def test_a_card_is_as_old_as_its_last_upload():
    served = {"classifier": replace(a_manifest(), files={"model.safetensors": "ab", "config.json": "cd"})}
    uploads = {"ab": 40 * DAY_S, "other": 90 * DAY_S}
    assert wanting(served, 84 * DAY_S, uploads) == {}
    assert "45 days old" in wanting(served, 85 * DAY_S, uploads)["classifier"]


async def test_these_jobs_run_on_a_fresh_miner(ledger, tmp_path, alarms):
    class Rewards:
        async def check(self) -> str:
            return "nothing yet"

    ours = {"settings": Settings(), "ledger": ledger, "alarms": alarms, "disk": Disk(tmp_path, 1)}
    ours |= {"registry": Registry(tmp_path / "models"), "rewards": Rewards()}
    others = {field.name: Mock() for field in fields(Parts) if field.name not in ours}
    jobs = {job.name: job for job in declared(Parts(**ours, **others))}
    for name in ("rewards", "disk", "backup", "retention", "papers"):
        assert await asyncio.wait_for(jobs[name].run(at(VirtualClock().now())), 30), name
    assert not alarms.rows()


async def test_champions_without_a_licence_ring_softly(tmp_path, alarms):
    from miner.jobs.reminders import reminders

    class Champions:
        def tiers(self):
            return ("classifier",)

        def pointers(self, tier):
            return type("Pointers", (), {"champion": "abc"})()

        def version(self, tier, name):
            return type("Version", (), {"manifest": a_manifest("")})()

    said = await reminders(Champions(), alarms, tmp_path)(at(DAY_S))
    assert "no licence" in said
    assert [(row["key"], row["level"]) for row in alarms.rows()] == [("papers classifier", "info")]


def test_a_backup_is_readable_by_its_owner_only(ledger, tmp_path):
    copy = back_up(ledger.path, tmp_path / "backups" / "one.sqlite")
    assert copy.stat().st_mode & 0o077 == 0
