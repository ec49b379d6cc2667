"""The ledger: nothing that was taken is lost, whatever the disk or the process goes through."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.ledger import (
    Ledger,
    LedgerTooNew,
    LedgerUnreadable,
    events,
    judged,
    last_subnet_health,
    payouts,
    recent,
    summary,
)
from miner.ledger import writer as writer_module
from miner.ledger.backup import FOLDER, back_up, name_of
from miner.ledger.rows import from_row, to_row
from miner.ledger.schema import MIGRATIONS, migrate
from miner.records import Exchange
from miner.rewards.onchain import Payout

DAY_NS = 86400 * 10**9
ROOT = Path(__file__).resolve().parents[2]


def exchange(number: int = 0, **changes) -> Exchange:
    values = {
        "id": f"id-{number}",
        "at_ns": 1_800_000_000_000_000_000 + number,
        "hotkey": "our-hotkey",
        "caller": f"validator-{number % 3}",
        "address": "192.0.2.1",
        "client_version": "10.5.0",
        "status": 200,
        "outcome": "answered",
        "size": 12_000,
        "sha256": "ab" * 32,
        "prediction": 0.75,
        "log_odds": 1.1,
        "path": ("classifier",),
        "versions": {"classifier": "1"},
        "ms": {"total": 30.0 + number},
        "margin_s": 7.4,
        "notes": ("truncated:0.73",),
    }
    return Exchange(**{**values, **changes})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "data" / "ledger.db"


texts = st.text(max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(
    st.builds(
        Exchange,
        *[texts, st.integers(-(2**63), 2**63 - 1), texts, texts, texts, texts, st.integers(100, 599), texts],
        size=st.integers(0, 2**40),
        prediction=st.none() | numbers,
        log_odds=st.none() | numbers,
        certified=st.booleans(),
        path=st.lists(texts, max_size=3).map(tuple),
        versions=st.dictionaries(texts, texts, max_size=3),
        ms=st.dictionaries(texts, numbers, max_size=3),
        margin_s=st.none() | numbers,
        notes=st.lists(texts, max_size=3).map(tuple),
    )
)
def test_an_exchange_and_its_row_are_the_same_thing(one):
    assert from_row(to_row(one)) == one


def test_what_is_written_is_read_back_newest_first(path):
    ledger = Ledger(path)
    ledger.write([exchange(n) for n in range(5)])
    assert recent(path, limit=3) == [exchange(4), exchange(3), exchange(2)]
    assert recent(path, hotkey="another") == []


def test_what_is_watched_is_the_newest_answers_oldest_first(path):
    said = [exchange(n, sha256=f"{n:064x}", log_odds=n / 2, notes=("a", "\ud800")) for n in range(6)]
    said[4] = exchange(4, status=503, outcome="shed", prediction=None, log_odds=None)
    Ledger(path).write(said)
    newest = (said[2], said[3], said[5])
    assert judged(path, 3) == [(one.at_ns, one.sha256, one.log_odds, one.notes) for one in newest]


def test_the_file_is_for_its_owner_only(path):
    Ledger(path)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_summary_counts_and_times(path):
    ledger = Ledger(path)
    ledger.write(
        [exchange(n) for n in range(9)] + [exchange(9, outcome="shed", status=503, prediction=None, ms={})]
    )
    seen = summary(path)
    assert seen.outcomes == {"answered": 9, "shed": 1} and seen.total == 10 and seen.callers == 3
    assert (seen.p50_ms, seen.p95_ms) == (34.0, 38.0)
    assert summary(path, since_ns=exchange(9).at_ns).total == 1


def test_reading_without_a_ledger_gives_nothing(tmp_path):
    missing = tmp_path / "none.db"
    assert recent(missing) == [] and payouts(missing) == [] and events(missing) == []
    assert summary(missing).total == 0 and last_subnet_health(missing) is None and not missing.exists()


def test_payouts_events_and_health_wait_for_the_next_write(path):
    ledger = Ledger(path, hotkey="ours", clock_ns=lambda: 7)
    ledger.event("start", {"version": "1"})
    ledger.payout({"block": 360, "alpha": 1.5})
    ledger.payout({"block": 360, "alpha": 1.5})
    ledger.payout(Payout(720, 725, "ours", 3, 2.5, 0.1, 0.04, 1, 0.5, None))
    ledger.subnet_health({"burn_share": 1.0})
    assert ledger.backlog == 5 and events(path) == []
    ledger.write([])
    assert events(path) == [{"at_ns": 7, "hotkey": "ours", "kind": "start", "data": {"version": "1"}}]
    first, second = payouts(path)
    assert first == {"at_ns": 7, "hotkey": "ours", "block": 360, "alpha": 1.5}
    assert (second["at_ns"], second["block"], second["alpha"]) == (7, 720, 2.5)
    assert last_subnet_health(path) == {"burn_share": 1.0, "at_ns": 7}


def test_old_rows_go_and_payouts_stay(path):
    now = [100 * DAY_NS]
    ledger = Ledger(path, days=90, clock_ns=lambda: now[0], uptime=lambda: now[0] / 1e9)
    ledger.payout({"block": 1})
    ledger.event("start")
    ledger.write([exchange(0, at_ns=5 * DAY_NS), exchange(1, at_ns=50 * DAY_NS)])
    now[0] = 200 * DAY_NS
    ledger.write([exchange(2, at_ns=199 * DAY_NS)])
    assert [one.id for one in recent(path)] == ["id-2"]
    assert events(path) == [] and len(payouts(path)) == 1


def test_pruning_takes_several_writes_when_much_is_old(path, monkeypatch):
    monkeypatch.setattr(writer_module, "PRUNE_ROWS", 4)
    now = [0]
    ledger = Ledger(path, days=1, clock_ns=lambda: now[0], uptime=lambda: now[0] / 1e9)
    ledger.write([exchange(n, at_ns=0) for n in range(10)])
    now[0] = 10 * DAY_NS
    left = []
    for _ in range(4):
        ledger.write([])
        left.append(len(recent(path)))
    assert left == [6, 2, 0, 0]


def test_a_clock_that_leaps_years_ahead_prunes_nothing_until_it_is_right_again(path):
    now, up = [100 * DAY_NS], [0.0]
    ledger = Ledger(path, days=90, clock_ns=lambda: now[0], uptime=lambda: up[0])
    ledger.write([exchange(0, at_ns=99 * DAY_NS), exchange(1, at_ns=5 * DAY_NS)])
    assert [one.id for one in recent(path)] == ["id-0"]
    now[0], up[0] = 3000 * DAY_NS, 7200.0
    ledger.write([])
    assert [one.id for one in recent(path)] == ["id-0"]
    now[0], up[0] = 200 * DAY_NS, 100 * 86400.0
    ledger.write([])
    assert recent(path) == []


def fill_the_disk(ledger: Ledger) -> None:
    pages = ledger._db.execute("PRAGMA page_count").fetchone()[0]
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_reported_and_the_rows_follow_when_there_is_room(path):
    ledger = Ledger(path)
    ledger.write([exchange(0)])
    fill_the_disk(ledger)
    many = [exchange(n, notes=("x" * 2000,)) for n in range(1, 40)]
    with pytest.raises(sqlite3.OperationalError, match="full"):
        ledger.write(many)
    assert ledger.backlog == 39 and ledger.lost == 0
    ledger.write([exchange(40)])  # the file is opened anew, and there is room again
    assert len(recent(path, limit=100)) == 41 and ledger.backlog == 0


def test_a_long_outage_loses_the_oldest_challenges_but_no_payout(path, monkeypatch):
    monkeypatch.setattr(writer_module, "BACKLOG", 10)
    path.parent.mkdir()
    path.mkdir()  # nothing can be opened here
    ledger = Ledger(path)
    ledger.payout({"block": 1})
    for n in range(30):
        with pytest.raises((OSError, sqlite3.Error)):
            ledger.write([exchange(n)])
    assert ledger.backlog == 10 and ledger.lost == 21
    path.rmdir()
    ledger.write([])
    assert [one.id for one in recent(path)] == [f"id-{n}" for n in range(29, 20, -1)] and len(
        payouts(path)
    ) == 1


def test_one_impossible_row_does_not_hold_up_the_others(path):
    ledger = Ledger(path)
    ledger.write([exchange(0), exchange(1, size=2**70), exchange(2, address="\ud800"), exchange(3)])
    assert [one.id for one in recent(path)] == ["id-3", "id-0"] and ledger.lost == 2 and ledger.backlog == 0


@pytest.mark.parametrize("damage", [b"not a database at all" * 400, b""])
def test_a_damaged_file_is_set_aside_at_start(path, damage):
    before = Ledger(path)
    before.write([exchange(n) for n in range(200)])
    before.close()
    data = bytearray(path.read_bytes())
    data[:] = damage or data[:4096] + b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    ledger = Ledger(path)
    ledger.write([exchange(0)])
    assert len(recent(path)) == 1
    assert events(path)[0]["kind"] == "ledger_set_aside"
    kept = next(path.parent.glob("ledger.db.damaged-*"))
    assert kept.read_bytes() == bytes(data)


def test_damage_met_while_running_begins_a_fresh_file(path, monkeypatch):
    ledger = Ledger(path)
    ledger.write([exchange(n, notes=("x" * 3000,)) for n in range(50)])
    ledger.close()
    monkeypatch.setattr(writer_module, "CHECK_BYTES", 0)  # as for a file too large to check at start
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    ledger.write([exchange(99)])
    assert [one.id for one in recent(path)] == ["id-99"]
    assert len(list(path.parent.glob("ledger.db.damaged-*"))) == 1


@pytest.mark.parametrize("copies", [1, 2])
def test_the_newest_sound_copy_takes_a_damaged_files_place(path, copies):
    ledger = Ledger(path)
    ledger.write([exchange(n, notes=("x" * 3000,)) for n in range(50)])
    for number in range(copies):
        back_up(path, path.parent / FOLDER / name_of(1e9 + number))
    if copies == 2:  # and the newest is no good
        (path.parent / FOLDER / name_of(1e9 + 1)).write_bytes(b"no database at all" * 500)
    ledger.write([exchange(60)])
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    ledger._close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 40_000)
    ledger.write([exchange(99)])
    ids = [one.id for one in recent(path, 100)]
    assert ids[0] == "id-99" and len(ids) == 51 and "id-60" not in ids
    told = events(path, kind="ledger_set_aside")[0]["data"]
    assert told["restored"] == name_of(1e9) and told["kept_as"] in ledger.damage


def test_a_disk_that_became_read_only_is_an_error_and_not_the_end(path, monkeypatch):
    """SQLite would write through its memory map, and the kernel would kill the process."""
    ledger = Ledger(path)
    ledger.write([exchange(0)])
    monkeypatch.setattr(os, "utime", refused)
    with pytest.raises(OSError, match="Read-only"):
        ledger.write([exchange(1)])
    with pytest.raises(LedgerUnreadable, match="Read-only"):
        recent(path)
    assert isinstance(failed(ledger.run(lambda db: 1), ledger), OSError)
    monkeypatch.undo()
    ledger.write([])
    assert [one.id for one in recent(path)] == ["id-1", "id-0"]


def test_a_disk_that_is_full_is_an_error_before_anything_is_written_to_a_memory_map(path, monkeypatch):
    ledger = Ledger(path)
    ledger.write([exchange(0)])
    real = os.statvfs(path)
    full = SimpleNamespace(f_blocks=1, f_bavail=0, f_frsize=real.f_frsize)
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(OSError, match="disk is full"):
        ledger.write([exchange(1)])
    monkeypatch.undo()
    ledger.write([])
    assert [one.id for one in recent(path)] == ["id-1", "id-0"]


def refused(*_, **__):
    raise OSError(errno.EROFS, "Read-only file system")


def failed(future, ledger):
    with contextlib.suppress(OSError):
        ledger.write([])
    return future.exception(timeout=0)


def test_a_deleted_ledger_is_begun_anew(path):
    ledger = Ledger(path)
    ledger.write([exchange(0)])
    for part in path.parent.glob("ledger.db*"):
        part.unlink()
    ledger.write([exchange(1)])
    assert [one.id for one in recent(path)] == ["id-1"]


def test_a_file_of_a_newer_version_is_refused_untouched(path):
    Ledger(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerTooNew, match=r"--data\.path"):
        Ledger(path)
    assert not list(path.parent.glob("*.damaged-*"))


def test_migrations_run_once_each_and_in_order():
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, MIGRATIONS)
    db.execute("INSERT INTO events VALUES (1, 'h', 'kept', '{}')")
    migrate(db, (*MIGRATIONS, "ALTER TABLE events ADD COLUMN extra TEXT DEFAULT 'new'"))
    assert db.execute("SELECT kind, extra FROM events").fetchall() == [("kept", "new")]
    assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)


def test_readers_never_stop_the_writer(path):
    ledger = Ledger(path)
    ledger.write([exchange(0)])
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM challenges").fetchone()
        ledger.write([exchange(1)])
    assert len(recent(path)) == 2


def test_events_from_many_threads_all_arrive(path):
    ledger = Ledger(path)
    threads = [
        threading.Thread(target=lambda: [ledger.event("tick", {"n": n}) for n in range(100)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ledger.write([])
    ledger.write([])
    assert len(events(path, limit=1000)) == 400


KILLED = """
import sys, time
sys.path.insert(0, "tests/miner")
from pathlib import Path
from miner.ledger import Ledger
from miner.recorder import Recorder
from test_ledger import exchange
recorder = Recorder([Ledger(Path(sys.argv[1]))])
recorder.start()
number = 0
while True:
    recorder.record(exchange(number, at_ns=time.time_ns()))
    number += 1
    print(number, time.time_ns(), flush=True)
    time.sleep(0.002)
"""


def test_a_killed_process_loses_at_most_one_second_of_rows(path):
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        last = [child.stdout.readline() for _ in range(800)][-1]
        os.kill(child.pid, signal.SIGKILL)
        last = ([last, *child.stdout.readlines()])[-1]
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    recorded, at_ns = map(int, last.split())
    rows = recent(path, limit=10**6)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(rows) > 0 and at_ns - rows[0].at_ns <= 1e9
    assert [row.id for row in reversed(rows)] == [f"id-{n}" for n in range(len(rows))], (
        "no gap before the end"
    )
    Ledger(path).write([exchange(recorded, at_ns=time.time_ns())])
    assert len(recent(path, limit=10**6)) == len(rows) + 1
    assert json.dumps(rows[0].ms)
