"""The same images get the same answer once, and only answers worth repeating are repeated."""

import asyncio
from hashlib import sha256

import pytest

from miner.engine.cache import CachedEngine, fingerprint
from miner.engine.interface import BadImage, EngineHealth, Shed, Unavailable
from models.core import Request, Verdict


class Inner:
    """An engine that answers when told to; each answer is the number of the question."""

    def __init__(self):
        self.asked = []
        self.go = asyncio.Event()
        self.go.set()
        self.notes = ()
        self.error = None

    async def start(self): ...

    async def stop(self): ...

    def health(self):
        return EngineHealth(True, "ready")

    async def submit(self, request):
        self.asked.append(request.id)
        number = len(self.asked)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Verdict(request.id, 0.5, float(number), ("t",), ms={"total": 9.0}, notes=self.notes)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def inner():
    return Inner()


@pytest.fixture
def engine(inner, clock):
    return CachedEngine(inner, window_s=10.0, most=3, clock=clock)


def ask(name, *views, within=5.0):
    return Request(name, "us", "them", views or (b"a",), within)


async def test_the_second_time_the_answer_is_remembered_and_marked(engine, inner):
    first, second = await engine.submit(ask("one")), await engine.submit(ask("two"))
    assert inner.asked == ["one"]
    assert (second.id, second.log_odds) == ("two", first.log_odds)
    assert second.notes == ("cached",)
    assert first.notes == ()


async def test_it_is_forgotten_after_the_window(engine, inner, clock):
    await engine.submit(ask("one"))
    clock.now = 10.1
    await engine.submit(ask("two", within=20.0))
    assert inner.asked == ["one", "two"]


async def test_what_is_too_old_to_be_repeated_is_not_kept_until_there_is_no_room(engine, inner, clock):
    for name in ("a", "b"):
        await engine.submit(ask(name, name.encode()))
    clock.now = 6.0
    await engine.submit(ask("again", b"a", within=20.0))
    await engine.submit(ask("c", b"c", within=20.0))
    assert len(engine) == 3
    clock.now = 10.1
    await engine.submit(ask("d", b"d", within=20.0))
    assert len(engine) == 2, "a and b are ten seconds old, whoever asked for them meanwhile"


async def test_the_least_recently_asked_is_forgotten_first(engine, inner):
    for view in (b"a", b"b", b"c"):
        await engine.submit(ask("x", view))
    await engine.submit(ask("again", b"a"))
    await engine.submit(ask("x", b"d"))
    inner.asked.clear()
    await engine.submit(ask("a", b"a"))
    await engine.submit(ask("b", b"b"))
    assert inner.asked == ["b"]


async def test_asked_at_the_same_time_it_is_judged_once(engine, inner):
    inner.go.clear()
    tasks = [asyncio.create_task(engine.submit(ask(str(n)))) for n in range(5)]
    await asyncio.sleep(0)
    inner.go.set()
    verdicts = await asyncio.gather(*tasks)
    assert inner.asked == ["0"]
    assert [verdict.id for verdict in verdicts] == ["0", "1", "2", "3", "4"]
    assert {verdict.log_odds for verdict in verdicts} == {1.0}


async def test_failures_are_not_remembered(engine, inner):
    inner.error = Unavailable("down")
    with pytest.raises(Unavailable):
        await engine.submit(ask("one"))
    inner.error = None
    assert (await engine.submit(ask("two"))).notes == ()


@pytest.mark.parametrize("note", ["deadline", "failed:t", "load:t", "no_time:t", "smaller:t"])
async def test_what_was_cut_short_is_not_remembered(engine, inner, note):
    inner.notes = (note,)
    await engine.submit(ask("one"))
    await engine.submit(ask("two"))
    assert inner.asked == ["one", "two"]


async def test_under_load_whoever_asks_at_the_same_time_gets_the_short_answer_too(engine, inner):
    inner.notes = ("load:t",)
    inner.go.clear()
    tasks = [asyncio.create_task(engine.submit(ask(str(n)))) for n in range(3)]
    await asyncio.sleep(0)
    inner.go.set()
    assert {verdict.notes for verdict in await asyncio.gather(*tasks)} == {("load:t",), ("load:t", "cached")}
    assert inner.asked == ["0"]


async def test_a_follower_asks_for_itself_when_the_first_is_shed_or_gives_up(engine, inner):
    inner.go.clear()
    leader, follower = (asyncio.create_task(engine.submit(ask(name))) for name in ("one", "two"))
    await asyncio.sleep(0)
    leader.cancel()
    inner.go.set()
    assert (await follower).id == "two"
    inner.go.clear()
    inner.error = Shed("late")
    leader, follower = (asyncio.create_task(engine.submit(ask(name, b"other"))) for name in ("three", "four"))
    await asyncio.sleep(0)
    inner.go.set()
    results = await asyncio.gather(leader, follower, return_exceptions=True)
    assert [type(each) for each in results] == [Shed, Shed]
    assert inner.asked == ["one", "two", "three", "four"]


async def test_a_bad_image_is_bad_for_everybody_who_sent_it(engine, inner):
    inner.go.clear()
    inner.error = BadImage("corrupt")
    tasks = [asyncio.create_task(engine.submit(ask(str(n)))) for n in range(3)]
    await asyncio.sleep(0)
    inner.go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(each) for each in results] == ["corrupt"] * 3
    assert inner.asked == ["0"]


async def test_a_follower_keeps_its_own_deadline(engine, inner, clock):
    inner.go.clear()
    leader = asyncio.create_task(engine.submit(ask("one", within=5.0)))
    await asyncio.sleep(0)
    clock.now = 4.0
    with pytest.raises(Unavailable, match="deadline"):
        await engine.submit(ask("two", within=4.0))
    inner.go.set()
    assert (await leader).id == "one"


def test_the_fingerprint_knows_where_a_view_ends():
    def mark(*views, **known):
        return fingerprint(Request("1", "ours", "vali", views, 0.0, **known))

    assert mark(b"ab", b"c") != mark(b"a", b"bc")
    assert mark(b"ab") == mark(b"ab", sha256=sha256(b"ab").hexdigest()) != mark(b"ab", b"ab")
    assert mark(b"abc") != mark(b"ab", b"c")
