"""Puts scenes to the engine behind every validator, and words the outcomes."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from miner.classify.output import answer, failure
from miner.engine.interface import BadImage, Engine, Refused, Shed
from miner.page.api.asked import Asked, Scene
from models.core import BACKGROUND, Verdict
from models.core import Request as Question
from models.layout import Stage, progression

CALLER = "operator"
ABREAST = 8
"""Scenes of one request in the engine at once."""
AGAIN_S = 0.02
NO_PICTURE = ("format", "header", "unsupported", "scans", "truncated", "corrupt", "poison", "views")

_numbers = itertools.count(1)
Outcome = dict[str, Any]


async def outcomes(asked: Asked, engine: Engine, until: float) -> AsyncGenerator[Outcome, None]:
    """One per scene, in the order they are ready; `until` monotonic seconds. Closing it stops the work."""
    turns = asyncio.Semaphore(ABREAST)

    async def one(number: int, scene: Scene) -> Outcome:
        async with turns:
            return {"scene": number, "name": scene.name, **await _outcome(scene, engine, until)}

    tasks = [asyncio.create_task(one(*each)) for each in enumerate(asked.scenes)]
    try:
        for ready in asyncio.as_completed(tasks):
            yield await ready
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _outcome(scene: Scene, engine: Engine, until: float) -> Outcome:
    if scene.fault:
        return failure(scene.fault)
    question = Question(f"{CALLER}-{next(_numbers)}", "", CALLER, scene.views, until, BACKGROUND)
    try:
        return answer(await _ask(question, engine), len(scene.views))
    except BadImage as bad:
        return failure(bad.reason)
    except Refused as refused:
        return failure("busy" if isinstance(refused, Shed) else refused.reason)


async def _ask(question: Question, engine: Engine) -> Verdict:
    """An engine that is full for the moment is asked again until the deadline. Raises Refused."""
    while True:
        try:
            return await engine.submit(question)
        except Shed as shed:
            if shed.reason == "late" or time.monotonic() + AGAIN_S >= question.deadline:
                raise
            await asyncio.sleep(AGAIN_S)


def over_time(found: Sequence[Outcome]) -> list[Stage | None]:
    """The stage of each scene of one place, in order of time; None where there is no verdict."""
    judged = [each["layout"]["stage"] for each in found if "layout" in each]
    stages = iter(progression(judged))
    return [next(stages) if "layout" in each else None for each in found]


def status_of(outcome: Outcome) -> int:
    """The HTTP status of a scene that was asked alone."""
    reason = outcome.get("error")
    if reason is None:
        return 200
    if reason in ("bytes", "pixels"):
        return 413
    return 422 if reason in NO_PICTURE else 503
