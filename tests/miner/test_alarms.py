"""Alarms: told once when they begin, once when they end."""

from __future__ import annotations

from miner.alarms import Alarms


def an_alarms():
    told, now = [], [100.0]
    return (
        Alarms(lambda kind, data: told.append((data["key"], data["state"])), clock=lambda: now[0]),
        told,
        now,
    )


def test_an_alarm_rings_once_and_ends_once():
    alarms, told, now = an_alarms()
    for text in ("no room", "still no room"):
        alarms.ring("disk", "fail", text)
        now[0] += 1
    (row,) = alarms.rows()
    assert (row["text"], row["since_s"]) == ("still no room", 100.0)
    alarms.end("disk")
    alarms.end("disk")
    assert told == [("disk", "rings"), ("disk", "over")] and not alarms.rows()


def test_one_that_gets_worse_is_told_again():
    alarms, told, _ = an_alarms()
    alarms.ring("burn", "warn", "half")
    alarms.ring("burn", "fail", "all")
    assert told == [("burn", "rings"), ("burn", "rings")] and len(alarms.rows()) == 1


def test_holding_a_kind_ends_what_is_no_longer_found_and_leaves_other_kinds_alone():
    alarms, told, _ = an_alarms()
    alarms.ring("silently", "info", "another kind whose name begins alike")
    alarms.hold("silent", {"a": ("warn", "a"), "b": ("warn", "b")})
    alarms.hold("silent", {"b": ("warn", "b"), "c": ("warn", "c")})
    assert [row["key"] for row in alarms.rows()] == ["silent b", "silent c", "silently"]
    alarms.hold("silent", {})
    assert [row["key"] for row in alarms.rows()] == ["silently"]
    assert told.count(("silent b", "rings")) == 1


def test_the_worst_comes_first_then_the_oldest():
    alarms, _, now = an_alarms()
    for key, level in (("a", "info"), ("b", "fail"), ("c", "warn"), ("d", "fail")):
        alarms.ring(key, level, key)
        now[0] += 1
    assert [row["key"] for row in alarms.rows()] == ["b", "d", "c", "a"]
