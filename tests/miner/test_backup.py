"""Backups of the ledger: whole, made under load, and proven to come back."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from miner.ledger import Ledger, payouts, recent
from miner.ledger.backup import BackupError, back_up, backups, check, name_of, restore, thin
from miner.records import Exchange


def exchange(number: int) -> Exchange:
    return Exchange(
        *(f"id-{number}", 1_800_000_000_000_000_000 + number, "ours", "validator", "192.0.2.1", "11.3", 200),
        "answered",
        prediction=0.5 + number / 10_000,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    book = Ledger(path, hotkey="ours")
    book.write([exchange(number) for number in range(100)])
    yield book
    book.close()


def test_what_is_backed_up_comes_back_whole(ledger, path, tmp_path):
    ledger.payout({"block": 7, "alpha": 1.5})
    ledger.write([])
    before = recent(path, 1000), payouts(path)
    copy = back_up(path, tmp_path / "backups" / "one.sqlite")
    ledger.write([exchange(number) for number in range(100, 150)])
    ledger.close()
    kept = restore(copy, path, now_s=0)
    assert (recent(path, 1000), payouts(path)) == before
    assert len(recent(kept, 1000)) == 150, "what was there is kept"
    with_more = Ledger(path, hotkey="ours")
    with_more.write([exchange(1000)])
    with_more.close()
    assert check(path) == 101, "the miner goes on with it"


def test_a_lost_ledger_is_restored(ledger, path, tmp_path):
    copy = back_up(path, tmp_path / "copy.sqlite")
    ledger.close()
    for file in path.parent.iterdir():
        file.unlink()
    assert restore(copy, path) is None
    assert len(recent(path, 1000)) == 100


def test_what_a_killed_miner_left_in_its_log_is_kept_and_does_not_leak_into_the_restored(
    ledger, path, tmp_path
):
    copy = back_up(path, tmp_path / "copy.sqlite")
    ledger.write([exchange(number) for number in range(100, 130)])
    killed = tmp_path / "killed" / path.name
    killed.parent.mkdir()
    for side in ("", "-wal"):
        shutil.copy(f"{path}{side}", f"{killed}{side}")
    kept = restore(copy, killed, now_s=0)
    assert check(killed) == 100 and check(kept) == 130
    assert not killed.with_name(f"{killed.name}-wal").exists()


def test_a_damaged_ledger_makes_room_for_its_backup(ledger, path, tmp_path):
    copy = back_up(path, tmp_path / "copy.sqlite")
    ledger.close()
    path.write_bytes(b"nothing" * 5000)
    kept = restore(copy, path, now_s=0)
    assert check(path) == 100 and kept.read_bytes().startswith(b"nothing")


def test_a_backup_is_made_beside_the_writer_and_holds_whole_batches_only(ledger, path, tmp_path):
    stop = threading.Event()

    def write() -> None:
        number = 1000
        while not stop.is_set():
            ledger.write([exchange(number + offset) for offset in range(10)])
            number += 10

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(10):
            copy = back_up(path, tmp_path / f"{number}.sqlite")
            assert check(copy) % 10 == 0
    finally:
        stop.set()
        writer.join()


def test_a_damaged_backup_is_refused_and_nothing_is_touched(ledger, path, tmp_path):
    copy = back_up(path, tmp_path / "copy.sqlite")
    ledger.close()
    content = bytearray(copy.read_bytes())
    content[4096 * 2 : 4096 * 4] = b"\xff" * 8192
    copy.write_bytes(content)
    with pytest.raises(BackupError, match=r"damaged|malformed"):
        restore(copy, path)
    assert len(recent(path, 1000)) == 100


@pytest.mark.parametrize("content", [b"", b"no database at all" * 500])
def test_a_file_that_is_no_ledger_is_refused(content, path, tmp_path):
    wrong = tmp_path / "wrong.sqlite"
    wrong.write_bytes(content)
    with pytest.raises(BackupError):
        restore(wrong, path)
    with pytest.raises(BackupError, match="no file"):
        restore(tmp_path / "nowhere.sqlite", path)


def test_a_ledger_of_a_newer_program_is_refused(ledger, path, tmp_path):
    copy = back_up(path, tmp_path / "copy.sqlite")
    with closing(sqlite3.connect(copy)) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(BackupError, match="schema 99"):
        restore(copy, path)


def test_a_backup_that_fails_leaves_no_half_of_one(ledger, path, tmp_path, monkeypatch):
    monkeypatch.setattr("miner.ledger.backup._sync", lambda path: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(BackupError, match="full"):
        back_up(path, tmp_path / "copies" / "copy.sqlite")
    assert not list((tmp_path / "copies").iterdir())


def test_only_the_newest_are_kept(tmp_path):
    for number in range(5):
        (tmp_path / name_of(86_400.0 * number)).touch()
    (tmp_path / "notes.txt").touch()
    gone = thin(tmp_path, 2)
    assert [path.name for path in backups(tmp_path)] == [name_of(86_400.0 * n) for n in (3, 4)]
    assert len(gone) == 3 and (tmp_path / "notes.txt").exists()
    assert thin(tmp_path, 2) == []
