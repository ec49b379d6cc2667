"""When a child is given up, who serves instead, and how often one is started again."""

from dataclasses import dataclass

import pytest

from miner.engine.failover import Breaker, choose, hung, suspect
from miner.engine.lane import Running


@dataclass
class Child:
    heard_s: float
    running: Running | None = None


@dataclass
class Seat:
    name: str
    usable: bool = True
    rank: int = 1


def test_silence_is_suspicious_soon_and_fatal_late():
    child = Child(heard_s=10.0)
    assert not suspect(child, 12.0, heartbeat_s=1.0)
    assert suspect(child, 13.0, heartbeat_s=1.0)
    assert hung(child, 24.0, hang_s=15.0) is None
    assert "silent" in hung(child, 25.1, hang_s=15.0)


def test_a_long_batch_that_was_expected_to_be_long_is_no_hang():
    child = Child(heard_s=40.0, running=Running(since=20.0, expected_s=10.0))
    assert not suspect(child, 40.0, heartbeat_s=1.0)
    assert hung(child, 40.0, hang_s=5.0) is None


def test_a_kernel_that_hangs_is_found_although_heartbeats_go_on():
    child = Child(heard_s=40.0, running=Running(since=20.0, expected_s=0.3))
    assert suspect(child, 40.0, heartbeat_s=1.0)
    assert "one batch" in hung(child, 40.0, hang_s=15.0)


def test_whoever_serves_goes_on_until_it_cannot():
    main, standby = Seat("main"), Seat("standby")
    assert choose([main, standby], None) is main
    assert choose([main, standby], standby) is standby
    standby.usable = False
    assert choose([main, standby], standby) is main
    main.usable = False
    assert choose([main, standby], main) is None


def test_a_gpu_that_is_back_takes_over_from_the_cpu():
    gpu, cpu = Seat("main", rank=0), Seat("standby", rank=1)
    assert choose([gpu, cpu], cpu) is gpu


def test_restarts_slow_down_and_a_crash_loop_makes_a_long_pause():
    breaker = Breaker()
    delays = [breaker.died(1.0) for _ in range(4)]
    assert delays == [pytest.approx(0.1 * 2**n) for n in range(4)]
    assert not breaker.open
    assert breaker.died(1.0) == breaker.pause_s
    assert breaker.open


def test_where_no_process_can_be_made_it_is_tried_again_soon_for_ever():
    breaker = Breaker()
    waits = [breaker.refused() for _ in range(20)]
    assert max(waits) < 1.0 and not breaker.open and breaker.young


def test_a_child_that_lived_long_wipes_the_slate():
    breaker = Breaker()
    for _ in range(6):
        breaker.died(0.0)
    assert breaker.died(31.0) == breaker.first_s
    assert not breaker.open
