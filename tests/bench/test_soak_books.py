"""What a soak concludes: from ledgers and records, from samples, and that every fault is in the manual."""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from harness.soak.books import compare, tally  # noqa: E402
from harness.soak.clock import Step  # noqa: E402
from harness.soak.faults import FAULTS  # noqa: E402
from harness.soak.flat import Sample, Trend, Watch  # noqa: E402
from harness.soak.load import Pictures, Record, Sent  # noqa: E402

from miner.ledger import LEDGER_NAME, Ledger  # noqa: E402
from miner.records import Exchange  # noqa: E402
from miner.rehearsal.dendrite import Reply  # noqa: E402

CALLER = {"ss58": "//vali"}
NOW_NS = time.time_ns()


def sent(
    number: int, outcome: str = "answered", *, at: float = 0.0, took: float = 0.1, p: float = 0.5
) -> Sent:
    return Sent(f"sha-{number}", "//vali", outcome, "", p, took * 1e3, asked_s=at, done_s=at + took)


def row(number: int, *, p: float = 0.5, caller: str = "ss58") -> Exchange:
    return Exchange(
        f"id-{number}",
        NOW_NS + number,
        "ours",
        caller,
        "",
        "",
        200,
        "answered",
        sha256=f"sha-{number}",
        prediction=p,
    )


def write(data: Path, *rows: Exchange, name: str = LEDGER_NAME) -> None:
    ledger = Ledger(data / name, days=90)
    ledger.write(rows)
    ledger.close()


def test_a_ledger_that_says_what_was_sent_is_in_order(tmp_path):
    write(tmp_path, *(row(n) for n in range(5)), row(9, caller="somebody else"))
    books = compare([sent(n) for n in range(5)], tmp_path, CALLER, [], [])
    assert (books.answered, books.rows, books.files) == (5, 5, 1)
    assert books.failures == []


def test_a_missing_row_is_excused_by_a_kill_within_the_second_only(tmp_path):
    write(tmp_path, row(0))
    record = [sent(0), sent(1, at=10.0), sent(2, at=11.5)]
    assert compare(record, tmp_path, CALLER, [12.0], []).failures == ["1 answers are in no ledger"]
    assert compare(record[::2], tmp_path, CALLER, [12.0], []).failures == []


def test_an_answer_that_nobody_got_is_excused_by_a_stop_and_another_prediction_never(tmp_path):
    write(tmp_path, row(0), row(1), row(2, p=0.9))
    record = [sent(0), sent(1, "lost", at=5.0, took=9.0), sent(2)]
    assert compare(record, tmp_path, CALLER, [], [(6.0, 7.0)]).failures == [
        "1 rows with another prediction than was sent"
    ]
    assert "1 rows of answers that nobody got" in compare(record, tmp_path, CALLER, [], []).failures
    assert not compare([sent(0), sent(2, p=0.9)], tmp_path, CALLER, [], [], {"sha-1"}).failures, (
        "the end came"
    )


def test_files_that_were_set_aside_count_and_what_cannot_be_read_in_them_is_counted(tmp_path):
    aside = f"{LEDGER_NAME}.damaged-1"
    write(tmp_path, *(row(n) for n in range(400)), name=aside)
    write(tmp_path, row(400), row(7))
    with closing(sqlite3.connect(tmp_path / aside)) as db:
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'challenges_at'").fetchone()[0]
    with (tmp_path / aside).open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    books = compare([sent(n) for n in range(401)], tmp_path, CALLER, [], [])
    assert (books.rows, books.files, books.unreadable) == (401, 2, 0), "a lost index loses no row"
    assert books.failures == []


def test_what_was_lost_in_flight_at_a_stop_is_told_apart():
    record = [sent(0), sent(1, "lost", at=5.0, took=9.0), sent(2, "lost", at=50.0)]
    assert tally(record, [(6.0, 7.0)]) == {"answered": 1, "cut": 1, "lost": 1}


def test_nobody_listened_and_the_model_still_loads_are_no_losses():
    record = Record()
    for status, reason in ((0, "unreachable"), (503, "No model is available"), (0, "timeout")):
        record.add(b"", "//vali", Reply(status, -1.0, 1.0, reason))
    assert [one.outcome for one in record.sent] == ["unreached", "unready", "lost"]


@pytest.mark.parametrize(("per_hour", "grew"), [(0.0, False), (40.0, True)])
def test_growth_is_told_from_noise(per_hour, grew):
    watch = Watch(dict, every_s=1.0)
    noise = [0.0, 0.4, -0.3, 0.2, -0.4, 0.1, 0.3]
    watch._seen["front", 1] = [
        Sample(second, 100 + per_hour * second / 3600 + noise[second % 7], 50) for second in range(1800)
    ]
    memory, files = watch.trends()
    assert (memory.name, files.name) == ("front: MB", "front: descriptors")
    assert memory.low <= per_hour <= memory.high
    assert (memory.growth > 8) is grew
    assert files.growth == 0


def test_a_life_too_short_says_nothing():
    watch = Watch(dict, every_s=1.0)
    watch._seen["front", 1] = [Sample(0.0, 1.0, 1)] * 9
    assert watch.trends() == [] and Trend("", 1, 0, 0, 5, 2, 8).growth == 2


def test_no_two_challenges_are_the_same_and_each_can_be_drawn_again():
    waited_for: set[str] = set()
    pictures = Pictures(3, waited_for)
    drawn = [pictures.draw(number) for number in range(30)]
    assert len({one.image for one in drawn}) == 30
    assert pictures.draw(7) == drawn[7]
    assert len(waited_for) == 30


def test_a_stepped_clock_is_seen_by_whoever_shares_its_file(tmp_path):
    one, other = Step(tmp_path / "clock"), Step(tmp_path / "clock")
    one.set(-3600)
    assert other.ns() == -3600 * 10**9


def test_every_fault_is_in_the_manual_as_the_bench_brings_it_about():
    manual = (ROOT / "docs" / "faults.md").read_text()
    rows = {fault.name: f"| {fault.name} | {fault.injected} | {fault.behaviour} |" for fault in FAULTS}
    missing = [name for name, row in rows.items() if row not in manual]
    assert not missing, "print the table anew: python bench/soak.py --minutes 20 --markdown FILE"
