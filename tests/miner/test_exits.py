"""Ways out of the cascade are told apart, counted and timed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.exits import MOST, OTHER, WINDOW, Exits, exit_line
from miner.records import Exchange
from miner.telemetry import Metrics


def left(*path, certified=False, ms=10.0, outcome="answered", notes=()):
    return Exchange(
        *("1-1", 10**9, "us", "5Validator", "127.0.0.1", "", 200, outcome),
        path=path,
        certified=certified,
        ms={"total": ms},
        notes=notes,
    )


def test_paths_are_counted_with_their_share_and_latency():
    exits = Exits()
    exits.write([left("a", ms=ms) for ms in (10.0, 20.0, 30.0)] + [left("a", "b", ms=90.0, certified=True)])
    often, seldom = exits.rows()
    assert (often["path"], often["count"], often["share"]) == (["a"], 3, 0.75)
    assert (often["p50_ms"], often["p95_ms"], often["certified"]) == (20.0, 30.0, False)
    assert (seldom["path"], seldom["certified"], seldom["p50_ms"]) == (["a", "b"], True, 90.0)


def test_what_was_not_answered_left_by_no_exit_and_what_was_remembered_by_its_own():
    exits = Exits()
    exits.write([left("a", outcome="late"), left(outcome="shed"), left("a", notes=("cached",))])
    assert [(row["path"], row["count"]) for row in exits.rows()] == [(["remembered"], 1)]


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6), min_size=1, max_size=80))
def test_shares_sum_to_one_whatever_paths_there_are(paths):
    exits = Exits()
    exits.write([left(*path) for path in paths])
    rows = exits.rows()
    assert sum(row["count"] for row in rows) == len(paths)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert len(rows) <= MOST + 1


def test_memory_is_bounded():
    exits = Exits()
    exits.write([left(f"tier{n}") for n in range(3 * MOST)])
    exits.write([left("tier0", ms=float(n)) for n in range(3 * WINDOW)])
    rows = exits.rows()
    assert len(rows) == MOST + 1 and [OTHER] in [row["path"] for row in rows]
    assert rows[0]["p50_ms"] == pytest.approx(2.5 * WINDOW, abs=1), "of the last answers only"


def test_an_exit_in_words():
    exits = Exits()
    exits.write([left("a", "b", ms=12.0, certified=True)])
    assert exit_line(exits.rows()[0]) == "100.0 % a → b, certified: 12 ms (p95 12 ms), 1 answers"


def test_the_metrics_count_by_the_last_member_and_time_it():
    metrics = Metrics()
    metrics.write([left("a"), left("a", "b", ms=50.0), left("a", certified=True), left(outcome="shed")])
    text = metrics.text().decode()
    assert 'svm_exits_total{certified="false",tier="a"} 1.0' in text
    assert 'svm_exits_total{certified="true",tier="a"} 1.0' in text
    assert 'svm_exits_total{certified="false",tier="b"} 1.0' in text
    assert 'svm_exit_seconds_sum{tier="b"} 0.05' in text
