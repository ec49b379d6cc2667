"""Asking an engine about pictures that are no challenge, behind all challenges."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

from miner.engine.golden import Item
from miner.engine.interface import BadImage, Engine, Refused
from models.core import BACKGROUND, Request, Verdict
from models.recall import moved_by

CALLER = "swap"
REST = 4.0
"""Times that a judgement took, for which nothing more is asked: who is on trial takes a fifth of a core."""
REASONS = {"late": "too slow", "deadline": "too slow", "failed": "it failed, or said no finite number"}
"""An engine's short words, for people."""
SLACK = 0.25
"""Share of them on which a candidate may do worse than the champion. Drawings are not what it is made for."""
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Said:
    """What an engine said. `log_odds` None when nothing; `ms` from asking to answer; `fault` what is wrong
    with it, "" if nothing; `unfair` the fault is the picture's."""

    log_odds: float | None = None
    prediction: float | None = None
    ms: float = 0.0
    fault: str = ""
    unfair: bool = False


async def ask(engine: Engine, views: tuple[bytes, ...], within_s: float, hotkey: str = "") -> Said:
    """Never raises for what the engine does."""
    start = time.monotonic()
    request = Request(f"swap-{next(_numbers)}", hotkey, CALLER, views, start + within_s, BACKGROUND)
    try:
        verdict = await engine.submit(request)
    except Refused as refused:
        ms = (time.monotonic() - start) * 1e3
        why = REASONS.get(refused.reason, refused.reason)
        return Said(ms=ms, fault=f"no answer ({why})", unfair=isinstance(refused, BadImage))
    return judged(verdict, (time.monotonic() - start) * 1e3)


def judged(verdict: Verdict, ms: float) -> Said:
    """A verdict as it counts here: absent members and numbers that are none are faults, and the log-odds is
    that of the models alone, since a memory knows labelled pictures by heart."""
    known = None if verdict.log_odds is None else verdict.log_odds - moved_by(verdict.notes)
    return Said(known, verdict.prediction, ms, fault(verdict))


def fault(verdict: Verdict) -> str:
    if not verdict.spoken or verdict.log_odds is None:
        return "no answer"
    if not math.isfinite(verdict.log_odds) or not 0 <= verdict.prediction <= 1:
        return "an answer that is not finite"
    failed = [note for note in verdict.notes if note.startswith("failed:")]
    return f"a member that fails ({failed[0].partition(':')[2]})" if failed else ""


async def ask_all(engine: Engine, items: Iterable[Item], within_s: float) -> list[Said]:
    """One after the other, with rests."""
    said = []
    for item in items:
        said.append(await ask(engine, item.views, within_s))
        await asyncio.sleep(REST * said[-1].ms / 1e3)
    return said


async def ask_surely(engine: Engine, items: Iterable[Item], within_s: float) -> list[Said]:
    """As `ask_all`, but a faulty answer is asked for once more, and nobody after a second one: a busy moment
    is not the engine's fault."""
    said = []
    for item in items:
        each = await ask(engine, item.views, within_s)
        if each.fault:
            each = await ask(engine, item.views, within_s)
        said.append(each)
        if each.fault:
            break
        await asyncio.sleep(REST * each.ms / 1e3)
    return said


async def ask_both(
    champion: Engine, challenger: Engine, items: Iterable[Item], within_s: float
) -> tuple[list[Said], list[Said]]:
    """Each item of one and at once of the other, so that both meet the same load."""
    before, after = [], []
    for item in items:
        before.append(await ask(champion, item.views, within_s))
        after.append(await ask(challenger, item.views, within_s))
        await asyncio.sleep(REST * (before[-1].ms + after[-1].ms) / 1e3)
    return before, after


def right(items: Sequence[Item], said: Sequence[Said]) -> int:
    """How many were put on their side."""
    return sum(
        each.log_odds is not None and (each.log_odds > 0) == item.roadwork
        for item, each in zip(items, said, strict=True)
    )


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest value that a share `q` of them does not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(q * len(ordered)) - 1)] if ordered else 0.0


def complaint(items: tuple[Item, ...], champion: list[Said], candidate: list[Said]) -> str:
    """What speaks against the candidate; "" if nothing. Its answers may end with a faulty one."""
    for item, said in zip(items, candidate, strict=False):
        if said.fault:
            return f"{said.fault} to the known picture {item.name}"
    before, now = right(items, champion), right(items, candidate)
    if now < before - SLACK * len(items):
        return f"{now} of {len(items)} known pictures on their side, and the champion has {before}"
    return ""
