"""Who goes next: nobody is lost, served twice, starved by stake, or made late for somebody's stake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.engine.queues import MOST_HEAD_START_S, DeadlineQueue, Waiting

FAR = 1e6


def linear(a=0.0, b=1.0):
    return lambda images: a + b * images


def waiting(key, deadline=FAR, arrived=0.0, priority=0.0, size=1):
    return Waiting(key, key, deadline, arrived, priority, size)


def filled(items, cost=None):
    queue = DeadlineQueue(cost or linear())
    for item in items:
        queue.put(item)
    return queue


entries = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 1e7), st.integers(1, 6), st.booleans()),
    max_size=30,
)


@given(entries, st.integers(1, 16), st.floats(0.001, 5), st.floats(0, 2))
def test_whatever_goes_in_comes_out_exactly_once(rows, most, per_image, step):
    queue = DeadlineQueue(linear(0.1, per_image))
    for key, (deadline, arrived, priority, size, _) in enumerate(rows):
        queue.put(Waiting(key, key, deadline, arrived, priority, size))
    out, now = [], 0.0
    for key, row in enumerate(rows):
        if row[4] and (item := queue.discard(key)) is not None:
            out.append(item)
    while len(queue):
        late = queue.expire(now)
        batch = queue.take(most, now)
        assert all(rows[key][0] > now for key in batch)
        assert len(batch) <= 1 or sum(rows[key][3] for key in batch) <= most
        assert late or batch or now < 100
        out += late + batch
        now += step + 0.01
    assert sorted(out) == list(range(len(rows)))


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1e9)), min_size=1, max_size=40))
def test_stake_overtakes_nobody_who_came_more_than_the_head_start_earlier(rows):
    """With time for everybody, stake is all that changes the order of arrival."""
    queue = filled([waiting(n, FAR, arrived, stake) for n, (arrived, stake) in enumerate(rows)])
    served = [queue.take(1, 20.0)[0] for _ in rows]
    for place, key in enumerate(served):
        for later in served[place + 1 :]:
            assert rows[key][0] <= rows[later][0] + MOST_HEAD_START_S


@given(st.lists(st.tuples(st.floats(1, 60), st.floats(0, 1e6)), min_size=1, max_size=12), st.integers(1, 4))
def test_what_earliest_deadline_first_can_answer_in_time_is_answered_in_time(rows, most):
    cost = linear(0.5, 1.0)

    def answered(order):
        now, good = 0.0, 0
        for batch in order:
            now += cost(len(batch))
            good += sum(rows[key][0] >= now for key in batch)
        return good

    queue = filled([waiting(n, deadline, 0, stake) for n, (deadline, stake) in enumerate(rows)], cost)
    deadlines = [deadline for deadline, _ in rows]
    first = earliest_first(deadlines, most, cost)
    assert answered(drained(queue, most, cost)) >= answered(first)


def earliest_first(deadlines, most, cost):
    """Batches by deadline, each as large as its tightest deadline allows; nobody is left out."""
    now, batches, order = 0.0, [], sorted(range(len(deadlines)), key=deadlines.__getitem__)
    while order:
        size = 1
        while size < min(most, len(order)) and now + cost(size + 1) <= deadlines[order[0]]:
            size += 1
        batches.append(order[:size])
        now, order = now + cost(size), order[size:]
    return batches


def drained(queue, most, cost):
    now, batches = 0.0, []
    while batch := queue.take(most, now):
        batches.append(batch)
        now += cost(len(batch))
    return batches


def test_stake_goes_first_while_there_is_time():
    queue = filled([waiting("poor", 50.0), waiting("rich", 60.0, 0.0, 10_000.0)])
    assert queue.take(1, 0.0) == ["rich"]


def test_a_near_deadline_goes_before_stake():
    queue = filled([waiting("urgent", 1.5), waiting("rich", 60.0, 0.0, 10_000.0)])
    assert queue.take(1, 0.0) == ["urgent"]


def test_a_batch_stops_growing_before_it_makes_a_member_late():
    queue = filled([waiting("tight", 2.5, 0.0), *(waiting(n, 60.0, 1.0) for n in range(5))])
    assert queue.take(16, 0.0) == ["tight", 0]


def test_what_cannot_be_answered_in_time_does_not_make_others_late():
    queue = filled([waiting("hopeless", 0.5, 0.0, 1e6), waiting("possible", 1.2, 0.0)])
    assert queue.take(1, 0.0) == ["possible"]
    assert queue.take(1, 0.0) == ["hopeless"]


def test_expired_requests_are_handed_out_as_such_and_never_judged():
    queue = filled([waiting("old", 1.0), waiting("new", 9.0)])
    assert queue.take(5, 1.0) == ["new"]
    assert queue.expire(1.0) == ["old"]
    assert len(queue) == 0


def test_several_views_count_as_several_images_but_one_request_always_fits():
    queue = filled([waiting("six", size=6), waiting("one", arrived=1.0)])
    assert queue.take(4, 0.0) == ["six"]


def test_a_key_waits_only_once():
    queue = filled([waiting("a")])
    with pytest.raises(ValueError, match="waits already"):
        queue.put(waiting("a"))
