"""Trouble under load: whatever happens to the server, every challenge gets its verdict in time.

Imported by the test files of the fake and of the real server; those have a fixture `supervised`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

import pytest
from contract_suite import ANY_MASS, plain_pictures, post_to
from supervised import Supervised

from models.calibration import sigmoid
from models.core import Evidence
from models.fusion import fuse
from models.vlm import Absent, Address, Question, Server, ask_by

CALLERS = 6
WITHIN_S = 3.0
GRACE_S = 1.0
"""What a busy test machine may add to an answer that was made in time."""
VIEWS = plain_pictures()


class Load:
    """Challenges without pause: a local member that always speaks, and the VLM, which may be absent."""

    def __init__(self, url: str, model: str, protocol: str) -> None:
        self.server = Server(Address(url=url, model=model, slots=4))
        self.member = ask_by(protocol, "vlm", self.server, Question(low_mass=ANY_MASS))
        self.heard: Counter[str] = Counter()
        self.late_s = 0.0
        self.asked = self.verdicts = 0

    async def __aenter__(self) -> Load:
        self._going = True
        self._tasks = [asyncio.create_task(self._caller(number)) for number in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._going = False
        await asyncio.gather(*self._tasks)
        await self.server.close()

    async def _caller(self, number: int) -> None:
        while self._going:
            self.asked += 1
            await self._challenge(f"{number}-{self.asked}")
            await asyncio.sleep(0.02)

    async def _challenge(self, name: str) -> None:
        deadline = time.monotonic() + WITHIN_S
        given = [Evidence("local", "1", 0.4)]
        try:
            given.append(await self.member.evidence(VIEWS[:1], deadline, name))
            self.heard["answered"] += 1
        except Absent as absent:
            self.heard[absent.reason.partition(":")[0]] += 1
        fused = fuse(given)
        assert fused is not None and 0 < sigmoid(fused) < 1
        self.late_s = max(self.late_s, time.monotonic() - deadline)
        self.verdicts += 1

    async def until_answered(self, more: int, patience_s: float = 60.0) -> None:
        """The VLM has spoken so many times more."""
        target, end = self.heard["answered"] + more, time.monotonic() + patience_s
        while self.heard["answered"] < target:
            assert time.monotonic() < end, self.heard
            await asyncio.sleep(0.05)


def kill(one: Supervised) -> None:
    os.kill(one.health.pid, signal.SIGKILL)


def hang(one: Supervised) -> None:
    """Everything that belongs to the server stops where it is; its sockets stay open."""
    os.killpg(one.health.pid, signal.SIGSTOP)


def restart(one: Supervised) -> None:
    os.kill(one.health.pid, signal.SIGTERM)


@pytest.mark.parametrize("trouble", [kill, hang, restart])
async def test_no_challenge_is_lost_when_the_server_is(supervised, protocol, trouble):
    pid = supervised.health.pid
    async with Load(supervised.spec.address, supervised.spec.model, protocol) as load:
        await load.until_answered(20)
        trouble(supervised)
        await asyncio.to_thread(supervised.until_ready, pid)
        await load.until_answered(20)
    assert load.verdicts == load.asked and load.late_s < GRACE_S, (load.heard, load.late_s)
    assert load.heard["answered"] >= 40


async def test_no_challenge_is_lost_when_everything_is_aborted_again_and_again(supervised, protocol):
    pid = supervised.health.pid
    async with Load(supervised.spec.address, supervised.spec.model, protocol) as load:
        for _ in range(15):
            await post_to(supervised.spec.address, "/abort_request", {"abort_all": True})
            await asyncio.sleep(0.1)
        await load.until_answered(20)
    assert load.verdicts == load.asked and load.late_s < GRACE_S, (load.heard, load.late_s)
    assert supervised.health.pid == pid
