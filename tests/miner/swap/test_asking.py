"""Questions that are no challenges: behind all others, never in their way, and fair to whoever is asked."""

import asyncio

from swap_kit import item

from miner.engine.interface import BadImage, Shed, Unavailable
from miner.swap.asking import ask, ask_surely, percentile, right
from miner.swap.shadow import Shadow
from models.core import BACKGROUND, Request, Verdict

ITEMS = [item(value) for value in (20, 200, 240)]


class Scripted:
    """An engine that says what it is told to, one after the other; the last for ever."""

    def __init__(self, *outcomes):
        self.outcomes, self.asked = list(outcomes), []

    async def submit(self, request):
        self.asked.append(request)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if callable(outcome):
            outcome = await outcome()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def said(log_odds, notes=()):
    return Verdict("x", 0.5, log_odds, notes=notes)


async def test_questions_stand_behind_all_challenges():
    engine = Scripted(said(1.0))
    await ask(engine, ITEMS[0].views, 1.0)
    assert engine.asked[0].priority == BACKGROUND


async def test_what_is_wrong_with_an_answer_is_said_in_words():
    for outcome, fault in (
        (said(float("nan")), "an answer that is not finite"),
        (said(1.0, ("failed:vlm",)), "a member that fails (vlm)"),
        (Verdict("x", -1.0), "no answer"),
        (Shed("late"), "no answer (too slow)"),
        (Unavailable("down"), "no answer (down)"),
    ):
        assert (await ask(Scripted(outcome), ITEMS[0].views, 1.0)).fault == fault
    assert (await ask(Scripted(BadImage("corrupt")), ITEMS[0].views, 1.0)).unfair


async def test_a_busy_moment_is_forgiven_once():
    found = await ask_surely(Scripted(Shed("late"), said(1.0)), ITEMS, 1.0)
    assert [each.fault for each in found] == ["", "", ""]
    engine = Scripted(said(-1.0), Shed("late"))
    found = await ask_surely(engine, ITEMS, 1.0)
    assert [each.fault for each in found] == ["", "no answer (too slow)"]
    assert len(engine.asked) == 3, "nobody is asked after that"


async def test_sides_are_counted():
    found = await ask_surely(Scripted(said(-1.0), said(1.0), said(-1.0)), ITEMS, 1.0)
    assert right(ITEMS, found) == 2


def challenge(n):
    return Request(f"c{n}", "us", "them", (b"x",), 0.0)


async def test_a_shadow_is_one_copy_at_a_time_and_none_of_what_was_remembered():
    gate = asyncio.Event()

    async def wait():
        await gate.wait()
        return said(1.0)

    engine = Scripted(wait)
    shadow = Shadow(engine, 1, 1.0)
    shadow(challenge(0), said(1.0, ("cached",)))
    for n in range(5):
        shadow(challenge(n), said(-1.0))
    await asyncio.sleep(0)
    assert len(engine.asked) == 1
    gate.set()
    [pair] = await shadow.wait(5.0)
    assert pair.differ


async def test_a_shadow_ends_at_the_first_fault_and_passes_over_bad_pictures():
    shadow = Shadow(Scripted(BadImage("corrupt"), Unavailable("failed")), 30, 1.0)
    for n in range(2):
        shadow(challenge(n), said(1.0))
        await asyncio.sleep(0.05)
    pairs = await shadow.wait(5.0)
    assert [pair.said.fault for pair in pairs] == ["no answer (it failed, or said no finite number)"]


def test_percentiles_are_values_that_were_seen():
    assert percentile([], 0.95) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile(list(range(1, 101)), 0.95) == 95
