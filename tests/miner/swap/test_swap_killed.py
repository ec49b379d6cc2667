"""kill -9 at every step of a swap, each by its name: the next start has a champion that answers."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from swap_kit import TIER, brought

from miner.registry import Registry
from miner.swap.report import STEPS

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("swap_killed.py")


def run(*given):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, given)],
        capture_output=True,
        text=True,
        timeout=90,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("step", STEPS)
def test_a_miner_that_is_killed_at_a_step_of_a_swap_starts_with_a_working_champion(tmp_path, step):
    registry = Registry(tmp_path / "models")
    old = registry.add(TIER, brought(tmp_path / "old", sign=1))
    new = registry.add(TIER, brought(tmp_path / "new", sign=1, ms=0.5))
    registry.promote(TIER, old)
    killed = run(tmp_path, step, new)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    again = json.loads(run(tmp_path).stdout)
    swapped = STEPS.index(step) > STEPS.index("exchange")
    assert again["champion"] == (new if swapped else old)
    assert again["log_odds"] > 0
    assert not list(tmp_path.glob("models/.*"))
