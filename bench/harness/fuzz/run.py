"""Running a target: in a child of its own, so that a crash is one finding and the run goes on behind it."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from harness.fuzz import TARGETS, Target

HANG_S = 60
"""Seconds after which a case counts as one that hangs."""
REPORT_EVERY = 2_000
SHRINKS = 3_000
"""Most attempts at making a case smaller that breaks something."""
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


def rng_of(seed: int, target: str, number: int) -> Random:
    """Every case has a generator of its own: one number is enough to see it again."""
    return Random(f"{seed}/{target}/{number}")


def run(target: str, seed: int, count: int, corpus: Path, say: Callable[[str], None]) -> Outcome:
    """`count` cases; findings are made smaller and written to `corpus`/`target`."""
    result = Outcome(target)
    first = 0
    while first < count and len(result.findings) < KEPT:
        first = _run_from(result, seed, first, count, corpus, say)
    return result


def _run_from(
    result: Outcome, seed: int, first: int, count: int, corpus: Path, say: Callable[[str], None]
) -> int:
    """Runs until the end or a finding; the number of the next case."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    at = context.Value("q", first, lock=False)
    child = context.Process(target=_child, args=(there, at, result.target, seed, first, count))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    child.start()
    there.close()
    said = _listen(here, result, count, say)
    child.join()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    result.cpu_s += spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    if said is None and child.exitcode == 0:
        result.cases = count
        return count
    number = at.value
    result.cases = number + 1
    what = said or f"the process died: {_death(child.exitcode)}"
    case = _again(result.target, seed, number)
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
        if not result.settled_mb and done >= count / 10:
            result.settled_mb = megabytes
        if done % (50 * REPORT_EVERY) == 0:
            say(f"  {result.target}: {done:,} of {count:,}, {megabytes:.0f} MB")


def _child(
    pipe: Connection,
    at: multiprocessing.sharedctypes.Synchronized[int],
    name: str,
    seed: int,
    first: int,
    count: int,
) -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    target, outcomes = TARGETS[name](), Counter[str]()
    for number in range(first, count):
        at.value = number
        signal.alarm(HANG_S)
        try:
            outcomes[target.judge(target.case(rng_of(seed, name, number), number))] += 1
        except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
            pipe.send(("report", (number, resident_mb(), dict(outcomes))))
            pipe.send(("finding", _told(error)))
            os._exit(1)
        if (number + 1) % REPORT_EVERY == 0 or number + 1 == count:
            pipe.send(("report", (number + 1, resident_mb(), dict(outcomes))))
            outcomes.clear()
    signal.alarm(0)


def _again(name: str, seed: int, number: int) -> bytes:
    return TARGETS[name]().case(rng_of(seed, name, number), number)


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
        return f"no answer within {HANG_S} s" if name == "SIGALRM" else name
    return f"exit status {status}"


def resident_mb() -> float:
    """Of this process (Linux)."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0
