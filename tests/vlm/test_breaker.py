"""When a server is not asked, and how it is asked again."""

from __future__ import annotations

from models.vlm.breaker import FIRST_S, LAST_S, TRIPS_AFTER, Breaker


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def tripped() -> tuple[Breaker, Clock]:
    clock = Clock()
    one = Breaker(clock)
    for _ in range(TRIPS_AFTER):
        assert one.admit()
        one.failed()
    return one, clock


def test_it_opens_after_three_failures_in_a_row_and_one_success_closes_it():
    one = Breaker(Clock())
    for _ in range(10):
        one.failed()
        one.failed()
        one.worked()
    assert one.admit() and not one.open
    one, clock = tripped()
    assert one.open and not one.admit()
    clock.now += FIRST_S
    assert one.admit()
    one.worked()
    assert one.admit() and one.admit()


def test_one_trial_at_a_time_and_pauses_that_double_to_a_limit():
    one, clock = tripped()
    pauses = []
    for _ in range(8):
        start = clock.now
        while not one.admit():
            clock.now += 0.25
        pauses.append(clock.now - start)
        assert not one.admit()  # while the trial is out
        one.failed()
    assert pauses[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S] and pauses[-1] == LAST_S


def test_a_trial_that_says_nothing_lets_the_next_one_through():
    one, clock = tripped()
    clock.now += FIRST_S
    assert one.admit()
    one.unknown()
    assert one.admit()
