"""A certificate that came with the cascade goes before one that was made here; whichever holds is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from loguru import logger

from miner.engine.plan import planned
from models.certify import Certificate, Member, OperatingPoint
from models.certify.certificate import Exit, Side
from models.description import Description, decide

SIDE = Side(400, 900, 0.002, 0.01, 0.7, 0.95, 299, 420)
NOW, BEFORE = [("a", "v2"), ("b", "v1")], [("a", "v1"), ("b", "v1")]


def certificate(path: Path, members: list[tuple[str, str]]) -> str:
    Certificate(
        point=OperatingPoint("two", tuple(Member(*each) for each in members), "sum"),
        exits=(Exit("a", -1.0, 1.0),),
        data="sha:d",
        eps=(0.01, 0.02),
        delta=0.05,
        sides=(SIDE, SIDE),
        saved=0.6,
        created="2026-11-23T12:00:00+00:00",
    ).save(path)
    return str(path)


@pytest.fixture
def two(tmp_path) -> Description:
    """Both certificates hold for what serves now."""
    own, made = certificate(tmp_path / "own.json", NOW), certificate(tmp_path / "made.json", NOW)
    return Description("two", ({"kind": "a"}, {"kind": "b"}), certificate=own, recertified=made)


def test_the_operators_own_wins_while_it_holds(two):
    plan, why = decide(two, NOW)
    assert why is None and plan.source == two.certificate


def test_after_a_promotion_the_one_made_since_is_taken(two, tmp_path):
    certificate(tmp_path / "own.json", BEFORE)
    plan, why = decide(two, NOW)
    assert why is None and plan.source == two.recertified
    assert decide(replace(two, certificate=None), NOW)[0].source == two.recertified


def test_an_old_one_made_here_does_not_stand_in_the_way_of_a_new_one_of_the_operators(two, tmp_path):
    certificate(tmp_path / "made.json", BEFORE)
    assert decide(two, NOW)[0].source == two.certificate
    (tmp_path / "made.json").write_text("damaged")
    assert decide(two, NOW)[1] is None


def test_when_neither_holds_both_reasons_are_told(two, tmp_path):
    certificate(tmp_path / "own.json", BEFORE)
    (tmp_path / "made.json").write_text("damaged")
    plan, why = decide(two, NOW)
    assert plan.certificate is None and plan.source == ""
    assert why is not None and "void" in why and "made.json: not a certificate" in why


def test_at_start_the_log_says_what_the_certificate_leaves_of_mcc(two):
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    try:
        assert planned(two, NOW).certificate is not None
    finally:
        logger.remove(sink)
    assert any(
        "leaves early" in line and "MCC is 0.900" in line and "at least 0.870" in line for line in lines
    )
