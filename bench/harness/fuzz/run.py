"""Running a target: in a child of its own, so that a crash is one finding and the run goes on behind it."""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import os
import re
import resource
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from random import Random

from harness.fuzz import TARGETS, Target

BUSY_S, HANG_S = 20.0, 900
"""Seconds of CPU, and of time, after which a case counts as one that hangs: others may need the machine."""
REPORT_EVERY = 2_000
SHRINKS = 3_000
"""Most attempts at making a case smaller that breaks something."""
SETTLED = 10_000
"""Cases after which what is cached is cached, where a tenth of them all is more."""
KEPT = 20
"""Most findings of a target that are kept: what is found a hundred times is one fault."""


@dataclass(slots=True)
class Found:
    """A case that broke something: what it was, and its file's name in the corpus."""

    number: int
    what: str
    file: str


@dataclass(slots=True)
class Outcome:
    """`cpu_s` of the children; `settled_mb` resident after a tenth of the cases, `end_mb` at the end."""

    target: str
    cases: int = 0
    cpu_s: float = 0.0
    settled_mb: float = 0.0
    end_mb: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Found] = field(default_factory=list)

    @property
    def grown_mb(self) -> float:
        return self.end_mb - self.settled_mb


@dataclass(frozen=True, slots=True)
class Work:
    """`count` cases of a target, or as many as there is time for until `until` (monotonic seconds)."""

    target: str
    seed: int
    count: int
    until: float = math.inf


def rng_of(seed: int, target: str, number: int) -> Random:
    """Every case has a generator of its own: one number is enough to see it again."""
    return Random(f"{seed}/{target}/{number}")


def run(work: Work, corpus: Path, say: Callable[[str], None]) -> Outcome:
    """Findings are made smaller and written to `corpus`/target."""
    result = Outcome(work.target)
    first = 0
    while first < work.count and len(result.findings) < KEPT and time.monotonic() < work.until:
        first = _run_from(work, first, result, corpus, say)
    return result


def _run_from(work: Work, first: int, result: Outcome, corpus: Path, say: Callable[[str], None]) -> int:
    """Runs until the end or a finding; the number of the next case."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    at = context.Value("q", first, lock=False)
    child = context.Process(target=_child, args=(there, at, work, first))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    child.start()
    there.close()
    said = _listen(here, result, work.count, say)
    child.join()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    result.cpu_s += spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    if said is None and child.exitcode == 0:
        result.cases = at.value + 1
        return work.count
    number = at.value
    result.cases = number + 1
    what = said or f"the process died: {_death(child.exitcode)}"
    case = _again(work, number)
    if said:
        case = smaller(result.target, case, what)
    result.findings.append(Found(number, what, keep(corpus / result.target, case)))
    say(f"  FOUND in {result.target} {number}: {what.splitlines()[-1]}")
    return number + 1


def _listen(pipe: Connection, result: Outcome, count: int, say: Callable[[str], None]) -> str | None:
    """Take in the child's reports until it ends; what it found, if it could say so."""
    while True:
        try:
            kind, value = pipe.recv()
        except EOFError:
            return None
        if kind == "finding":
            return str(value)
        done, megabytes, outcomes = value
        result.outcomes += Counter(outcomes)
        result.end_mb = megabytes
        if not result.settled_mb and done >= min(count / 10, SETTLED):
            result.settled_mb = megabytes
        if done % (50 * REPORT_EVERY) == 0:
            say(f"  {result.target}: {done:,} of {count:,}, {megabytes:.0f} MB")


def _child(pipe: Connection, at: Synchronized[int], work: Work, first: int) -> None:
    target, outcomes = TARGETS[work.target](), Counter[str]()
    for number in range(first, work.count):
        at.value = number
        signal.setitimer(signal.ITIMER_PROF, BUSY_S)
        signal.alarm(HANG_S)
        try:
            outcomes[target.judge(target.case(rng_of(work.seed, work.target, number), number))] += 1
        except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
            pipe.send(("report", (number, resident_mb(), dict(outcomes))))
            pipe.send(("finding", _told(error)))
            os._exit(1)
        last = number + 1 == work.count or time.monotonic() > work.until
        if last or (number + 1) % REPORT_EVERY == 0:
            pipe.send(("report", (number + 1, resident_mb(), dict(outcomes))))
            outcomes.clear()
        if last:
            break
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.alarm(0)


def _again(work: Work, number: int) -> bytes:
    return TARGETS[work.target]().case(rng_of(work.seed, work.target, number), number)


def smaller(name: str, case: bytes, what: str) -> bytes:
    """The case less whatever can be left out while the same thing is found."""
    kind, target, left = what.splitlines()[-1].partition(":")[0], TARGETS[name](), SHRINKS
    size = len(case) // 2
    while size and left:
        at = 0
        while at < len(case) and left:
            left -= 1
            shorter = case[:at] + case[at + size :]
            if _breaks(target, shorter) == kind:
                case = shorter
            else:
                at += size
        size //= 2
    return case


def _breaks(target: Target, case: bytes) -> str:
    try:
        target.judge(case)
    except Exception as error:  # noqa: BLE001 - which exception it is, is the question
        return type(error).__name__
    return ""


def _told(error: Exception) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"at {Path(where.filename).name}:{where.lineno}\n{type(error).__name__}: {error}"[:2000]


def keep(folder: Path, case: bytes) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(case).hexdigest()[:16]}.bin"
    path.write_bytes(case)
    return path.name


def _death(status: int | None) -> str:
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        hangs = {"SIGALRM": f"no answer within {HANG_S} s", "SIGPROF": f"no answer for {BUSY_S:.0f} s of CPU"}
        return hangs.get(name, name)
    return f"exit status {status}"


def resident_mb() -> float:
    """Of this process (Linux)."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
