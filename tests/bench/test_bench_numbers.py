"""What benches conclude from what they counted."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from endurance import GROWTH_MB, trend  # noqa: E402
from harness.held import Held  # noqa: E402
from harness.queueing import line  # noqa: E402

AFTER = [10_000 * n for n in range(1, 101)]


def test_memory_that_wanders_is_no_growth_and_memory_that_leaks_is():
    noise = np.random.default_rng(0).normal(0, 0.3, len(AFTER))
    assert trend("front", AFTER, list(80 + noise)).growth == 0
    leaking = trend(
        "front", AFTER, [80 + 5e-6 * sent + rest for sent, rest in zip(AFTER, noise, strict=True)]
    )
    assert leaking.slope == pytest.approx(5, abs=1) and leaking.low < 5 < leaking.high
    assert leaking.growth > GROWTH_MB


def test_the_first_quarter_fills_windows_and_does_not_count():
    filled = [60 + min(20.0, sent / 10_000) for sent in AFTER]
    assert trend("front", AFTER, filled).growth == 0


def test_the_line_through_batches():
    assert line({n: 0.02 + 0.003 * n for n in (1, 2, 4, 8, 16)}) == pytest.approx((0.02, 0.003))
    assert line({1: 0.01, 2: 0.021, 4: 0.044}) == pytest.approx((0.0, 0.0105), rel=0.02)


async def test_a_callback_that_holds_the_loop_is_seen_with_its_place():
    held = Held()
    task = asyncio.create_task(held.run())
    await asyncio.sleep(0.05)
    held.take()
    time.sleep(0.08)
    await asyncio.sleep(0.02)
    seen = held.take()
    task.cancel()
    assert seen["held_ms"] > 40 and seen["long"] >= 1
    assert any("test_bench_numbers.py" in place for place in seen["where"])
