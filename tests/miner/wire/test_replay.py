"""The replay window: nothing twice, everything once, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from wire_kit import Clock

from miner.wire.replay import SECOND, ReplayWindow
from miner.wire.synapse import Rejected

AGE, AHEAD = 13.0, 4.0


def window(clock: Clock, warm: bool = True, **caps) -> ReplayWindow:
    made = ReplayWindow(AGE, AHEAD, clock=clock.wall_ns, uptime=clock.now, **caps)
    if warm:
        clock.advance(AGE + AHEAD + 1)
    return made


def refusal(replay: ReplayWindow, *entry) -> str | None:
    try:
        replay.remember(*entry)
    except Rejected as rejected:
        return rejected.reason
    return None


def test_takes_a_fresh_nonce_once():
    clock = Clock()
    replay = window(clock)
    assert refusal(replay, "vali", "s", clock.wall) is None
    assert refusal(replay, "vali", "s", clock.wall) == "replay"


def test_what_was_just_checked_is_taken_like_any_other():
    clock = Clock()
    replay = window(clock)
    replay.check("vali", "s", clock.wall)
    replay.remember("vali", "s", clock.wall, checked=True)
    assert refusal(replay, "vali", "s", clock.wall) == "replay"


def test_same_nonce_of_another_session_or_hotkey_is_another_request():
    clock = Clock()
    replay = window(clock)
    entries = [("vali", "s"), ("vali", "t"), ("other", "s")]
    assert [refusal(replay, *entry, clock.wall) for entry in entries] == [None] * 3


def test_concurrent_requests_may_arrive_in_any_order():
    clock = Clock()
    replay = window(clock)
    nonces = [clock.wall - 5 * SECOND + i for i in (7, 3, 9, 1, 5)]
    assert [refusal(replay, "vali", "s", nonce) for nonce in nonces] == [None] * 5


@pytest.mark.parametrize(
    ("offset_s", "reason"),
    [(-13.01, "stale"), (-12.99, None), (3.99, None), (4.01, "future"), (3600, "future")],
)
def test_freshness_in_both_directions(offset_s, reason):
    clock = Clock()
    replay = window(clock)
    assert refusal(replay, "vali", "s", clock.wall + int(offset_s * SECOND)) == reason


def test_nothing_a_predecessor_may_have_taken_is_taken_after_a_restart():
    clock = Clock()
    first = window(clock)
    taken = [clock.wall - SECOND, clock.wall, clock.wall + int(AHEAD * SECOND)]
    assert [refusal(first, "vali", "s", nonce) for nonce in taken] == [None] * 3
    second = window(clock, warm=False)
    clock.advance(0.5)
    assert [refusal(second, "vali", "s", nonce) for nonce in taken] == ["restart"] * 3
    clock.advance(AHEAD)
    assert refusal(second, "vali", "s", clock.wall) is None


def test_looking_changes_nothing():
    clock = Clock()
    replay = window(clock)
    for _ in range(3):
        replay.check("vali", "s", clock.wall)
    assert len(replay) == 0
    replay.remember("vali", "s", clock.wall)
    with pytest.raises(Rejected, match="replay"):
        replay.check("vali", "s", clock.wall)


def test_forgets_what_is_stale():
    clock = Clock()
    replay = window(clock)
    for i in range(100):
        replay.remember("vali", "s", clock.wall + i)
    clock.advance(AGE + 2)
    replay.remember("other", "s", clock.wall)
    assert len(replay) == 1
    assert replay.callers == 1


def test_a_request_is_remembered_in_little_memory_whatever_its_session_is_called():
    clock = Clock()
    replay = window(clock)
    tracemalloc.start()
    try:
        for i in range(4096):
            replay.remember("vali", f"{i:0128d}", clock.wall + i * SECOND // 2048)
        assert tracemalloc.get_traced_memory()[0] < 4096 * 160
    finally:
        tracemalloc.stop()


def test_a_clock_set_back_revives_nothing():
    clock = Clock()
    replay = window(clock)
    nonce = clock.wall
    replay.remember("vali", "s", nonce)
    clock.advance(AGE + 5)
    replay.remember("vali", "s", clock.wall)  # forgets the first
    clock.advance(-AGE)
    assert refusal(replay, "vali", "s", nonce) == "stale"


def test_a_clock_that_leapt_ahead_for_a_moment_locks_nobody_out():
    clock = Clock()
    replay = window(clock)
    replay.remember("vali", "s", clock.wall)
    clock.advance(3600)
    assert refusal(replay, "vali", "s", clock.wall - 3600 * SECOND) == "stale"
    clock.advance(-3598)
    assert refusal(replay, "vali", "s", clock.wall) is None


def test_a_start_with_a_clock_an_hour_ahead_locks_nobody_out_once_it_is_set_right():
    clock = Clock()
    replay = window(clock, warm=False)
    clock.advance(10)
    clock.wall -= 3600 * SECOND
    before = clock.wall - 11 * SECOND
    assert refusal(replay, "vali", "s", before) == "restart"
    assert refusal(replay, "vali", "s", clock.wall - SECOND) is None


def test_a_clock_set_back_by_little_after_a_start_lets_nothing_in_that_a_predecessor_may_have_taken():
    clock = Clock()
    taken = clock.wall
    replay = window(clock, warm=False)
    clock.wall -= 30 * SECOND
    clock.advance(30)
    assert refusal(replay, "vali", "s", taken) == "restart"


def test_a_flood_of_one_hotkey_costs_only_itself():
    clock = Clock()
    replay = window(clock, per_caller=10)
    mine = clock.wall
    replay.remember("quiet", "s", mine)
    taken = []
    for _ in range(200):
        clock.advance(0.05)
        if refusal(replay, "loud", "s", clock.wall) is None:
            taken.append(clock.wall)
        assert len(replay) <= 11
    assert len(taken) > 80  # it goes on being served, second by second
    assert all(refusal(replay, "loud", "s", nonce) is not None for nonce in taken)
    assert refusal(replay, "quiet", "s", mine) == "replay"
    assert refusal(replay, "quiet", "s", mine + 1) is None


def test_a_full_table_makes_room_out_of_the_arriving_hotkeys_own():
    clock = Clock()
    replay = window(clock, entries=4)
    for i, hotkey in enumerate(["a", "a", "b", "b"]):
        replay.remember(hotkey, "s", clock.wall - (i + 1) * SECOND)
    assert refusal(replay, "new", "s", clock.wall) == "callers"
    assert refusal(replay, "a", "s", clock.wall) is None
    assert refusal(replay, "b", "s", clock.wall - 3 * SECOND) == "replay"
    assert refusal(replay, "a", "s", clock.wall - 2 * SECOND) == "replay"
    clock.advance(AGE + AHEAD)
    assert refusal(replay, "new", "s", clock.wall) is None


def test_no_more_than_so_many_hotkeys_at_a_time():
    clock = Clock()
    replay = window(clock, callers=100)
    outcomes = [refusal(replay, f"stranger {i}", "s", clock.wall) for i in range(1000)]
    assert outcomes.count(None) == 100
    assert replay.callers == 100
    assert refusal(replay, "stranger 0", "s", clock.wall + 1) is None
    clock.advance(AGE + 2)
    assert refusal(replay, "late", "s", clock.wall) is None


class AnyHistory(RuleBasedStateMachine):
    """Against the plain truth, a set of everything ever taken."""

    @initialize(per_caller=st.sampled_from([3, 4096]))
    def begin(self, per_caller):
        self.clock = Clock()
        self.replay = window(self.clock, per_caller=per_caller, callers=2)
        self.roomy = per_caller > 1000
        self.taken: set[tuple[str, str, int]] = set()
        self.furthest = self.clock.wall

    @rule(
        hotkey=st.sampled_from("ab"),
        session=st.sampled_from("st"),
        offset=st.integers(-int(14 * SECOND), int(5 * SECOND)) | st.integers(-3, 3).map(lambda s: s * SECOND),
    )
    def arrive(self, hotkey, session, offset):
        entry = (hotkey, session, self.clock.wall + offset)
        reason = refusal(self.replay, *entry)
        if reason is None:
            assert entry not in self.taken
            self.taken.add(entry)
            return
        fresh = -AGE * SECOND <= offset <= AHEAD * SECOND
        if self.roomy and fresh and entry not in self.taken and self.furthest == self.clock.wall:
            raise AssertionError(f"a fresh unseen nonce was refused: {reason}")

    @rule(data=st.data())
    def repeat(self, data):
        if self.taken:
            entry = data.draw(st.sampled_from(sorted(self.taken)))
            assert refusal(self.replay, *entry) is not None

    @rule(seconds=st.floats(0, 20))
    def pass_time(self, seconds):
        self.clock.advance(seconds)
        self.furthest = max(self.furthest, self.clock.wall)

    @rule(seconds=st.floats(0, 5))
    def set_back(self, seconds):
        self.clock.advance(-seconds)

    @invariant()
    def bounded(self):
        if hasattr(self, "taken") and not self.roomy:
            assert len(self.replay) <= 2 * 3


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
