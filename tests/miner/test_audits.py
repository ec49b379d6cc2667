"""What early exits cost, by those that were audited: an estimate that the coin does not bias."""

from __future__ import annotations

import json
import random
import time

import pytest
from typer.testing import CliRunner

from miner.cli import app
from miner.ledger import LEDGER_NAME, Judged, Ledger
from miner.ledger.audits import audits
from miner.records import Exchange
from models.audit import Audit, coin


def judged(number: int, changed: bool, share: float, *more: str, tier: str = "classifier") -> Judged:
    note = Audit(tier, True, share).note()
    return Judged(number, f"{number:x}", -1.0 if changed else 1.0, (note, *more))


def test_the_share_that_would_come_out_otherwise_is_that_of_all_exits():
    share, dice = 0.1, random.Random(2)
    wrong = [dice.random() < 0.2 for _ in range(20_000)]
    heard = [judged(n, each, share) for n, each in enumerate(wrong) if coin(str(n), share)]
    found = audits(heard)["classifier"]
    assert found.audited == len(heard) and found.exits == 10 * len(heard)
    assert abs(found.changed - sum(wrong) / len(wrong)) < 3 * found.error < 0.05


def test_members_are_told_apart_and_repeated_answers_and_others_do_not_count():
    answered = [
        judged(1, False, 0.5),
        judged(2, True, 0.5, tier="regions"),
        judged(3, True, 0.5, "cached"),
        Judged(4, "4", 2.0, ("deadline",)),
        judged(5, True, 0.5)._replace(log_odds=None),
    ]
    found = audits(answered)
    assert {tier: (one.audited, one.exits, one.changed) for tier, one in found.items()} == {
        "classifier": (1, 2, 0.0),
        "regions": (1, 2, 1.0),
    }


@pytest.mark.parametrize("audited", [True, False])
def test_the_command_says_it(tmp_path, monkeypatch, audited):
    monkeypatch.chdir(tmp_path)
    book = Ledger(tmp_path / "data" / LEDGER_NAME, hotkey="ours")
    notes = (Audit("classifier", True, 0.01).note(),) if audited else ()
    asked = ("id", time.time_ns(), "ours", "5Big", "192.0.2.1", "11.3", 200, "answered")
    book.write([Exchange(*asked, prediction=0.3, log_odds=-0.8, notes=notes)])
    book.close()
    flag = f"--data.path={book.path.parent}"
    said = json.loads(CliRunner().invoke(app, ["ledger", flag, "audits", "--json"]).output)
    assert said == (
        {"classifier": {"audited": 1, "exits": 100, "changed": 1.0, "error": pytest.approx(0.995, abs=1e-3)}}
        if audited
        else {}
    )
    plain = CliRunner().invoke(app, ["ledger", flag, "audits"]).output
    assert ("100.00%" in plain) == audited and ("No early exit was audited" in plain) != audited
