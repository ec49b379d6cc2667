"""`streetvision-miner rewards` without a running miner: epochs, validators, money."""

from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from miner.cli import app
from miner.ledger import LEDGER_NAME, Ledger
from miner.ledger.asked import Asked
from miner.records import Exchange
from miner.rewards.rates import rates

DAY_NS = 86_400 * 10**9


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def a_view(**changes):
    row = {"hotkey": "5Validator", "uid": 1, "permit": True, "stake": 9.0, "share": 0.75, "set_s": 0.0}
    row |= {"weight": 0.25, "ceiling": 0.5, "bond": None, "worst": 0.25, "best": 0.75, "known": 4}
    row |= {"mcc": (0.1, 0.9), "accuracy": (0.5, 1.0), "challenges": 9, "unanswered": 2, "gap_s": 1800.0}
    return {**row, "last_s": time.time() - 600, **changes}


@pytest.fixture
def flag(tmp_path):
    """Of a data folder with three days' epochs and a hundred labelled answers, nine in ten of them right."""
    book, now = Ledger(tmp_path / "data" / LEDGER_NAME, hotkey="ours"), time.time_ns()
    whole = {"immune_blocks": 0, "position": 5, "burned": 0.25, "alpha_per_day": 24.0, "tao_per_day": 0.1}
    for day in range(3):
        paid = {"block": 100 + day, "alpha": 2.0, "tao": 0.01, "rank": 3, "miners": 200, "incentive": 0.1}
        noted = {**whole, "validators": [a_view()]} if day < 2 else {}
        book.payout({"at_ns": now - (3 - day) * DAY_NS, **paid, **noted})
    for number in range(100):
        label = number % 2
        right = number % 20 > 1
        book.write(
            [
                Exchange(
                    *(
                        f"id-{number}",
                        now + number,
                        "ours",
                        "5Validator",
                        "192.0.2.1",
                        "11.3",
                        200,
                        "answered",
                    ),
                    prediction=float(label == right),
                    notes=(f"testnet_label:{label}",),
                )
            ]
        )
    book.close()
    return f"--data.path={book.path.parent}"


def invoke(*args: str):
    result = CliRunner().invoke(app, ["rewards", *args])
    assert result.exit_code == 0, result.output
    return result.output


def test_epochs_a_sparkline_our_place_and_every_validators_view(flag):
    shown = invoke(flag)
    assert "███" in shown and "6.000000 alpha" in shown
    assert "rank 3 of 200" in shown and "no longer immune, deregistered after 5 more" in shown
    assert "25% of the incentive burned" in shown
    (row,) = [line for line in shown.splitlines() if "5Valid" in line]
    assert all(text in row for text in ("75%", "0.250", "0.50", "0.25-0.75", "4/9", "10 min", "30 min"))


def test_json_has_the_same_in_full(flag):
    rows = json.loads(invoke("--json", flag))
    assert [row["block"] for row in rows] == [100, 101, 102]
    assert rows[1]["validators"][0]["ceiling"] == 0.5


def test_the_worth_of_a_point_of_mcc_stands_on_known_labels(flag):
    found = json.loads(invoke("--economics", "--cost-per-hour", "0.1", "--tao-price", "200", "--json", flag))
    assert found["income"] == pytest.approx(2.0) and found["cost"] == pytest.approx(2.4)
    assert found["profit"] == pytest.approx(-0.4)
    assert 0.0 < found["point"] < 0.1


def test_cost_and_price_may_come_from_the_settings(flag):
    more = ("--rewards.cost_per_hour=0.1", "--rewards.tao_price=200")
    assert "profit a day" in invoke("--economics", flag, *more)


def test_rates_need_enough_known_labels_of_either_class():
    def seen(count, prediction, truth):
        return [Asked(n, prediction, truth) for n in range(count)]

    assert rates(seen(500, 0.9, 1)) is None
    assert rates([*seen(500, 0.9, 1), *seen(19, 0.1, 0)]) is None
    assert rates([*seen(15, 0.9, 1), *seen(5, 0.1, 1), *seen(20, 0.1, 0), *seen(99, -1.0, 1)]) == (0.75, 1.0)
    assert rates(seen(500, 0.9, None)) is None
