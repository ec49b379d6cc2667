"""From the first landed version to this one: its ledger and settings are taken over, and can be had back.

`landed/` holds the ledger's schema and every setting of the version of 23 November 2026, as they were.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from miner.ledger import LEDGER_NAME, Ledger, events, recent, summary
from miner.ledger.backup import BackupError, restore
from miner.ledger.changing import CURRENT, schema_of
from miner.settings import load
from miner.settings.fields import options, value_at
from miner.settings.tree import Settings
from miner.upgrade import check as upgrade

LANDED = Path(__file__).parent / "landed"
ROW = (
    "r-1", 1_800_000_000 * 10**9, "ours", "vali", "192.0.2.7", "10005000", 200, "answered", 12_000, "ab" * 32,
    0.75, 1.1, 1, '["classifier"]', '{"classifier":"1"}', '{"total":12.5}', 7.0, "[]",
)  # fmt: skip


@pytest.fixture
def old(tmp_path) -> Path:
    """A data folder as the first version left it: one challenge, one event, killed with its log unfolded."""
    path = tmp_path / LEDGER_NAME
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript((LANDED / "ledger-1.sql").read_text())
        db.execute(f"INSERT INTO challenges VALUES ({','.join('?' * len(ROW))})", ROW)
        db.execute("INSERT INTO events VALUES (1800000000000000000, 'ours', 'start', '{}')")
        db.commit()
    return path


def ids(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT id FROM challenges")]


def copies(path: Path) -> list[Path]:
    return sorted((path.parent / "backups").glob("*"))


def test_a_ledger_of_the_first_version_is_taken_over_with_all_its_rows(old):
    ledger = Ledger(old, hotkey="ours")
    ledger.event("start")
    ledger.close()
    assert schema_of(old) == CURRENT
    assert [row.id for row in recent(old, 5)] == ["r-1"] and recent(old, 5)[0].prediction == 0.75
    assert summary(old, 0).outcomes == {"answered": 1}
    assert [row["kind"] for row in events(old, 5)] == ["start", "start"]


def test_what_it_was_is_kept_and_can_be_put_back(old):
    Ledger(old, hotkey="ours").close()
    (copy,) = copies(old)
    assert copy.name.startswith("schema-1-") and copy.stat().st_mode & 0o077 == 0
    restore(copy, old)
    assert schema_of(old) == 1 and ids(old) == ["r-1"]


def test_a_ledger_of_this_version_is_not_copied_at_every_start(tmp_path):
    for _ in range(2):
        Ledger(tmp_path / LEDGER_NAME).close()
    assert copies(tmp_path / LEDGER_NAME) == []


def test_without_a_copy_nothing_is_changed(old, monkeypatch):
    def full(*_):
        raise BackupError("no space left on device")

    monkeypatch.setattr("miner.ledger.writer.copy_before", full)
    ledger = Ledger(old, hotkey="ours")
    ledger.event("start")
    assert ledger.backlog == 1 and schema_of(old) == 1, "it waits, and the miner answers meanwhile"
    monkeypatch.undo()
    ledger.close()
    assert schema_of(old) == CURRENT and len(copies(old)) == 1


def test_every_setting_of_the_first_version_is_understood_and_means_the_same():
    found = load([], {}, LANDED / "miner.env")
    assert found.notices == ()
    named = [line.partition("=")[0] for line in (LANDED / "miner.env").read_text().splitlines()]
    known = {option.env: option.name for option in options().values()}
    assert len(named) > 50 and set(named) <= known.keys()
    for name in (known[env] for env in named if known[env] not in CHANGED):
        assert value_at(found, name) == value_at(Settings(), name), name


CHANGED = {"model.temperature", "model.threshold"}
"""Their defaults of then, given explicitly, go before the model's own file now, as anything given does."""

# upgrade --check


def test_what_the_start_would_do_to_the_ledger_is_said(old):
    said = upgrade.ledger(old)
    assert said.level == "ok" and f"Schema 1 becomes {CURRENT}" in said.reason and "schema-1-" in said.reason
    assert upgrade.ledger(old, free=10).level == "fail"
    assert schema_of(old) == 1, "looking changes nothing"


def test_a_ledger_of_a_newer_version_is_a_reason_not_to_go_back(old):
    with closing(sqlite3.connect(old)) as db:
        db.execute("PRAGMA user_version = 99")
    said = upgrade.ledger(old)
    assert said.level == "fail" and "schema 99" in said.reason and "restore" in said.remedy


def test_no_ledger_a_current_one_and_a_broken_one(tmp_path):
    path = tmp_path / LEDGER_NAME
    assert upgrade.ledger(path).level == "ok"
    Ledger(path).close()
    assert "this version's schema" in upgrade.ledger(path).reason
    path.write_bytes(b"no database" * 100)
    assert upgrade.ledger(path).level == "fail"


def test_packages_of_other_versions_than_tested_are_named(tmp_path):
    pins = tmp_path / "constraints.txt"
    pins.write_text("# said\ntorch==2.13.0\nhttpx==0.28.1\nray==2.50\n")
    assert upgrade.environment(pins, {"torch": "2.13.0", "httpx": "0.28.1"}).level == "ok"
    said = upgrade.environment(pins, {"torch": "2.7.0", "httpx": "0.28.1"})
    assert said.level == "warn" and "torch 2.7.0 for 2.13.0" in said.reason and "make venv" in said.remedy


def test_settings_that_no_longer_load_stop_the_upgrade(tmp_path):
    found = upgrade.check([f"--data.path={tmp_path}", "--axon.port=0"], tmp_path)
    assert [each.check for each in found] == ["code", "environment", "settings"] and found[-1].level == "fail"


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    line = ["git", *who, "-C", str(folder), *words]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


def test_newer_code_is_seen_and_not_fetched(tmp_path):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    git(there, "init", "-q")
    git(there, "commit", "-q", "--allow-empty", "-m", "one")
    git(tmp_path, "clone", "-q", str(there), str(here))
    assert upgrade.code(here).level == "ok"
    git(there, "commit", "-q", "--allow-empty", "-m", "two")
    before = git(here, "rev-parse", "HEAD", "origin/main")
    assert upgrade.code(here).level == "warn"
    assert git(here, "rev-parse", "HEAD", "origin/main") == before
    there.rename(tmp_path / "gone")
    assert upgrade.code(here).level == "skip" and upgrade.code(tmp_path).level == "skip"


def test_the_command_does_nothing_by_itself(old):
    run = subprocess.run(
        [sys.executable, "-m", "miner", "upgrade", f"--data.path={old.parent}"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0 and "never changes itself" in run.stdout and schema_of(old) == 1


def test_the_command_looks_and_speaks_json(old):
    words = ["upgrade", "--check", "--json", f"--data.path={old.parent}"]
    run = subprocess.run([sys.executable, "-m", "miner", *words], capture_output=True, text=True)
    found = {each["check"]: each for each in json.loads(run.stdout)}
    assert {"code", "environment", "settings", "ledger", "running"} == found.keys()
    assert "Schema 1" in found["ledger"]["reason"] and schema_of(old) == 1
