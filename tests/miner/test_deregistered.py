"""Who leaves the subnet for good, and who has a hotkey left to go on for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from harness.stage import MINER, VALIDATOR, ss58, subnet

from miner.app import EXIT_DEREGISTERED, exit_if_deregistered


@pytest.mark.parametrize(
    ("hotkeys", "statuses"),
    [
        ([ss58(MINER)], []),
        ([ss58("//gone")], [EXIT_DEREGISTERED]),
        ([ss58("//gone"), ss58(VALIDATOR)], []),
        ([ss58("//gone"), ss58("//gone too")], [EXIT_DEREGISTERED]),
    ],
    ids=["here", "gone", "first one gone", "both gone"],
)
def test_it_ends_when_none_of_its_hotkeys_is_left(hotkeys, statuses):
    ended = []
    exit_if_deregistered(subnet(), hotkeys, ended.append)
    assert ended == statuses
