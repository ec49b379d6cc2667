"""What the page draws over time comes from the ledger, whole and in order."""

from __future__ import annotations

import asyncio

import pytest

from miner.ledger import Ledger
from miner.page.histories import history_commands


@pytest.fixture
def ledger(tmp_path):
    now = [1_790_000_000 * 10**9]
    made = Ledger(tmp_path / "ledger.sqlite", hotkey="5us", clock_ns=lambda: now[0])
    for day in range(3):
        made.payout({"block": 100 + day, "alpha": 1.0 + day, "tao": 0.1, "incentive": 0.02, "rank": 9 - day})
        made.slice("classifier", f"v{day}", {"name": "2026-10", "count": 40, "accuracy": 0.9, "mcc": None})
        now[0] += 86_400 * 10**9
    made.close()
    return made.path


def asked(path, name):
    return asyncio.run(history_commands(path, "5us", lambda: [{"hotkey": "5v"}])[name]())


def test_days_without_gaps_and_the_twins(ledger):
    found = asked(ledger, "rewards_history")
    assert [(day["date"], day["alpha"], day["rank"]) for day in found["days"]] == [
        ("2026-09-21", 1.0, 9),
        ("2026-09-22", 2.0, 8),
        ("2026-09-23", 3.0, 7),
    ]
    assert found["twins"] == [{"hotkey": "5v"}]


def test_slices_newest_first(ledger):
    rows = asked(ledger, "accuracy_history")
    assert [row["version"] for row in rows] == ["v2", "v1", "v0"]
    assert rows[0] | {"at_s": 0} == {
        **{"at_s": 0, "tier": "classifier", "version": "v2", "slice": "2026-10"},
        **{"count": 40, "accuracy": 0.9, "mcc": None},
    }
    assert rows[0]["at_s"] == 1_790_000_000 + 2 * 86_400


def test_without_a_ledger_there_is_nothing_and_a_broken_one_is_named(tmp_path):
    assert asked(tmp_path / "none.sqlite", "accuracy_history") == []
    (tmp_path / "bad.sqlite").write_bytes(b"no database at all, but long enough to be looked into" * 40)
    with pytest.raises(ValueError, match="cannot be read"):
        asked(tmp_path / "bad.sqlite", "rewards_history")
