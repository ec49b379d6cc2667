"""Members elsewhere are asked without anybody waiting, and nothing is kept of a question that is over."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from miner.engine.remote import Desk, Remote, RemoteLane
from models.core import Evidence
from models.vlm.member import Absent

DEADLINE = 1e9


class Member:
    """Says what it is told to, when it is told to."""

    version = "1"

    def __init__(self, said):
        self.name, self.said, self.go = "far", said, asyncio.Event()

    async def evidence(self, views, deadline, id):
        if isinstance(self.said, Exception):
            raise self.said
        await self.go.wait()
        return self.said


class AtOnce:
    """A desk where everything is over before the caller goes on."""

    def do(self, work):
        done = Future()
        done.set_result(asyncio.run(work))
        return done


def job(number=1):
    return SimpleNamespace(number=number, deadline=DEADLINE)


@pytest.mark.parametrize("said", [Absent("its breaker is open"), RuntimeError("a bug")])
def test_nothing_is_kept_of_a_question_that_is_over_before_it_is_written_down(said):
    heard = []
    lane = RemoteLane(Member(said), AtOnce(), lambda job, began, evidence: heard.append(evidence))
    lane.put(job(), (b"x",), "r")
    assert heard == [None] and len(lane) == 0


def test_what_is_withdrawn_is_withdrawn_there_and_nobody_hears_of_it():
    desk, heard, told = Desk(), [], threading.Event()
    desk.start()
    member = desk.open(Remote("far", lambda: Member(Evidence("far", "1", 2.0))))

    def hear(job, began, evidence):
        heard.append((job.number, evidence.log_odds))
        told.set()

    lane = RemoteLane(member, desk, hear)
    withdrawn, waited = job(1), job(2)
    lane.put(withdrawn, (b"x",), "r")
    lane.put(waited, (b"x",), "s")
    assert len(lane) == 2
    lane.discard(withdrawn)
    desk.do(set_go(member)).result()
    assert told.wait(10)
    desk.stop()
    assert heard == [(2, 2.0)] and len(lane) == 0


async def set_go(member):
    member.go.set()
