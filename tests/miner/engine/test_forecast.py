"""What the forecast learns, and that admission by it neither loses what it took nor wastes the model."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.engine.forecast import (
    EFFICIENT,
    LONGEST_BATCH_S,
    RATE_S,
    RESERVE,
    Arrivals,
    Book,
    Forecast,
    Learner,
)
from miner.engine.interface import Shed
from miner.engine.queues import DeadlineQueue, Waiting


def taught(a, b, sizes=(1, 2, 4, 8, 16), rounds=20, most=16):
    learner = Learner(most)
    for _ in range(rounds):
        for size in sizes:
            learner.judged(size, a + b * size)
    return learner


@given(st.floats(0, 0.5), st.floats(1e-5, 0.5))
def test_it_finds_the_line_behind_the_batches(a, b):
    forecast = taught(a, b).forecast()
    for size in (1, 3, 16):
        assert forecast.cost(size) == pytest.approx(a + b * size, rel=1e-6)


@given(st.lists(st.tuples(st.integers(1, 16), st.floats(1e-6, 10)), min_size=1, max_size=60))
def test_whatever_it_sees_it_stays_usable(batches):
    learner = Learner(16)
    for size, seconds in batches:
        learner.judged(size, seconds)
        forecast = learner.forecast()
        assert 1 <= forecast.batch <= 16
        assert 0 < forecast.cost(1) <= forecast.cost(2) <= forecast.safe_cost(2)
        assert forecast.backlog(1) < forecast.backlog(40)


def test_a_machine_that_slows_down_is_believed_after_a_few_batches():
    learner = taught(0.0, 0.1, sizes=(1, 2))
    for _ in range(12):
        learner.judged(1, 0.3)
    assert learner.forecast().safe_cost(1) >= 0.3


def test_nine_of_ten_batches_stay_under_the_safe_cost():
    learner, chance = Learner(8), random.Random(5)
    under = 0
    for _ in range(1000):
        cost = 0.1 * chance.uniform(0.8, 1.6)
        under += cost <= learner.forecast().safe_cost(1)
        learner.judged(1, cost)
    assert 850 <= under <= 950


def test_batches_are_as_large_as_throughput_needs_and_no_larger():
    gpu, cpu = taught(0.010, 0.0005).forecast(), taught(0.0005, 0.3).forecast()
    assert cpu.batch == 1
    assert 8 <= gpu.batch <= 16
    assert gpu.batch / gpu.cost(gpu.batch) >= EFFICIENT * 16 / gpu.cost(16)


def test_a_start_at_which_large_batches_were_slow_does_not_keep_them_small():
    learner = Learner(16)
    for images in (1, 2, 4, 8, 16):
        learner.judged(images, 0.024 * images if images == 1 else 0.06 * images)
    assert learner.forecast().batch == 1
    for _ in range(500):
        images = learner.size(rate=1000.0)
        learner.judged(images, 0.006 + 0.018 * images)
    assert learner.forecast().cost(8) == pytest.approx(0.15, rel=0.05)
    assert learner.forecast().batch > 4


def test_what_is_tried_does_not_last_too_long():
    learner = Learner(16)
    learner.judged(1, 0.6)
    for _ in range(100):
        assert learner.size(rate=0.1) == 1
        learner.judged(1, 0.6)


def test_batches_stay_short_even_where_larger_ones_were_more_efficient():
    forecast = taught(2.0, 0.2).forecast()
    assert forecast.batch == 1
    assert taught(0.4, 0.1).forecast().safe_cost(4) <= LONGEST_BATCH_S


def test_batches_are_full_only_where_arrivals_fill_what_smaller_ones_can_carry():
    card = Forecast(a=0.02, b=0.005, high=1.05, batch=12)
    carried = 12 / card.cost(12)
    assert card.size(0.9 * carried, 16) == 12
    assert card.size(0.98 * carried, 16) == 16
    assert Forecast(a=0.0, b=0.02, high=1.2, batch=1).size(1e6, 16) == 1, "nothing is gained by any batch"


def test_the_rate_of_arrivals_is_measured_and_fades():
    arrivals = Arrivals()
    for n in range(10_000):
        arrivals.came(n * 0.01, 2)
    assert arrivals.rate(100.0) == pytest.approx(200, rel=0.02)
    assert arrivals.rate(100.0 + 3 * RATE_S) < 12
    assert Arrivals().rate(5.0) == 0


def test_slow_decoding_counts():
    learner = taught(0.0, 0.001)
    for _ in range(50):
        learner.decoded(0.5)
    learner.judged(1, 0.001)
    assert learner.forecast().backlog(10) > 4.0


# Admission

ONE = Forecast(0.0, 1.0, 1.0, 0.0, 1, 1)


def test_an_idle_engine_takes_what_it_can_just_finish():
    book = Book(10)
    book.admit(ONE, 0.0, 1.01, 1)
    with pytest.raises(Shed, match="late"):
        book.admit(ONE, 0.0, 0.99, 1)


def test_it_sheds_what_comes_behind_too_many_others():
    book = Book(100)
    deadline = 5.0 / (1 - RESERVE) + 0.1
    for _ in range(5):
        book.admit(ONE, 0.0, deadline, 1)
        book.add(deadline, 1)
    with pytest.raises(Shed, match="late"):
        book.admit(ONE, 0.0, deadline, 1)


def test_it_sheds_what_would_make_an_admitted_one_late():
    book = Book(100)
    book.add(10.0, 7)
    with pytest.raises(Shed, match="late"):
        book.admit(ONE, 0.0, 3.0, 2)


def test_it_sheds_what_is_over_the_most():
    book = Book(2)
    book.add(1e6, 2)
    with pytest.raises(Shed, match="full"):
        book.admit(ONE, 0.0, 1e6, 1)


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(1, 6)), max_size=20), st.randoms())
def test_the_book_is_empty_when_everybody_has_left(rows, chance):
    book = Book(1000)
    for deadline, images in rows:
        book.add(deadline, images)
    assert len(book) == sum(images for _, images in rows)
    chance.shuffle(rows)
    for deadline, images in rows:
        book.remove(deadline, images)
    assert len(book) == 0
    with pytest.raises(ValueError, match="no such request"):
        book.remove(1.0, 1)


class Bench:
    """One device on a virtual clock: poisson arrivals, admission, queue, batches, with costs that vary."""

    def __init__(self, a, b, rate, seed, jitter=0.25, window=7.5):
        self.chance = random.Random(seed)
        self.a, self.b, self.rate, self.jitter, self.window = a, b, rate, jitter, window
        self.learner = taught(a, b, sizes=(1, 2, 4), rounds=1)
        self.book = Book(512)
        self.queue = DeadlineQueue(lambda images: self.learner.forecast().safe_cost(images))
        self.answered = self.lost = self.shed = 0
        self.arrival = 0.0

    def run(self, until):
        now = 0.0
        while now < until:
            self.arrive(now)
            batch = self.queue.take(self.learner.forecast().batch, now)
            if not batch:
                now = self.arrival
                continue
            cost = (self.a + self.b * len(batch)) * self.chance.uniform(1 - self.jitter, 1 + self.jitter)
            now += cost
            self.learner.judged(len(batch), cost)
            for deadline in batch:
                self.book.remove(deadline, 1)
                self.answered += deadline >= now
                self.lost += deadline < now
        return self.answered / until

    def arrive(self, now):
        while self.arrival <= now:
            deadline = self.arrival + self.chance.choice([self.window, self.window, self.window / 2])
            try:
                self.book.admit(self.learner.forecast(), self.arrival, deadline, 1)
            except Shed:
                self.shed += 1
            else:
                self.book.add(deadline, 1)
                stake = self.chance.choice([0.0, 1e3, 1e6])
                self.queue.put(Waiting(self.arrival, deadline, deadline, self.arrival, stake))
            self.arrival += self.chance.expovariate(self.rate)


@pytest.mark.parametrize(("a", "b"), [(0.0, 0.4), (0.002, 0.03), (0.02, 0.001), (0.5, 1.0)])
@pytest.mark.parametrize("load", [0.5, 1.0, 3.0])
def test_at_any_load_nothing_admitted_is_lost_and_the_model_is_kept_busy(a, b, load):
    batch = taught(a, b).forecast().batch
    capacity = batch / (a + b * batch)
    bench = Bench(a, b, load * capacity, seed=3)
    goodput = bench.run(until=400 / min(capacity, 40))
    assert bench.lost == 0
    if load == 3.0:
        assert goodput >= 0.95 * capacity
        assert bench.shed
