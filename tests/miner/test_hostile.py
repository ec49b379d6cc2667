"""Hostile clients of every kind at once, against our front in its own process, with a validator served."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from harness.attacks import Target, all_at_once
from harness.siege import siege

GROWTH_MB = 50.0
WIRE = {"max_ahead_s": 0.5, "header_timeout_s": 1.0, "body_timeout_s": 1.0}
HOLD_S = 12.0
"""Longest an attacker goes on; a busy machine may need seconds to close what timed out after one."""


async def test_a_validator_is_served_while_everybody_attacks(tmp_path: Path) -> None:
    async with siege(tmp_path, WIRE) as stage:
        counts = {"slow": 30, "huge": 3, "unproven": 24, "strangers": 500, "forgeries": 300, "scans": 60}
        target = Target(stage.port, hold_s=HOLD_S, **counts)
        seen = await stage.endure(all_at_once, target, settle_s=10.0)
        assert stage.alive
    assert seen.missed == 0, seen.validator
    assert seen.validator["answered"] >= 20
    assert seen.peak_mb < GROWTH_MB
    assert seen.after_mb < GROWTH_MB / 2
    assert seen.left == 0, "the attackers' connections are still held"
    assert not {"200", "500", "open"} & seen.endings.keys()
    assert seen.endings["403"] >= target.strangers
    assert seen.endings["closed"] >= target.half_open
    assert seen.endings["429"] > target.unproven, "forged signatures are not bounded per address"
    assert {"400", "401", "408"} <= seen.endings.keys()
    cut = (
        target.half_open + 2
    )  # of three huge bodies two are a validator's: refused, or reset while they send
    assert seen.endings["closed"] + seen.endings.get("413", 0) >= cut
