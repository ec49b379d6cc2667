"""How fast a ledger of a million challenges is read: by every function, by every command, by the page.

Builds a ledger as 90 days of eight validators leave it (challenges, payouts with each validator's view,
labels, kept pictures, events, job runs), through the miner's own writer. Times every reading function, every
command of the page over its own routes, every reading command as a process of its own from start to exit, and
a checked backup and its restore.

What is judged is the time by the clock, of the quickest of the rounds: whoever else uses this machine can
only add to it. CPU seconds (the median) stand beside it. Most of what a command takes is its own start
(Python, settings, the terminal's tables): `version` shows that alone.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from miner import ledger as books
from miner.alarms import Alarms
from miner.jobs.clock import Clock
from miner.jobs.job import Job
from miner.jobs.scheduler import Scheduler
from miner.ledger import LEDGER_NAME, Ledger
from miner.ledger.asked import histories, last_hotkey
from miner.ledger.backup import back_up, check, restore
from miner.ledger.kept import unlabelled
from miner.ledger.labels import captured_labels, labels
from miner.page import create_page
from miner.page.desk import create_desk
from miner.page.histories import history_commands
from miner.records import Exchange
from miner.review.desk import Desk
from miner.rewards.history import by_day
from miner.rewards.standing import LIMIT, standing

MANY, FEW = 1_000_000, 50_000
DAYS, EPOCHS_A_DAY, LABELLED, EVENTS, RUNS = 90, 17, 20_000, 20_000, 20_000
KEPT = 20_000
"""Pictures: as many as capture keeps by default."""
DAY_NS = 86_400 * 10**9
TARGET_S = 1.0
OURS = "5Ours" + "y" * 43
VALIDATORS = [f"5Validator{number}" + "x" * 37 for number in range(8)]
FAILURES = ("shed", "late", "bad_image", "gone")


@dataclass(frozen=True)
class Figure:
    """Of one call: `cpu_s` the median of the rounds, `wall_s` the quickest one."""

    name: str
    kind: str
    cpu_s: float
    wall_s: float


def build(path: Path, count: int) -> float:
    """Returns seconds of CPU per thousand challenges written."""
    rng, now = random.Random(1), time.time_ns()
    book = Ledger(path, hotkey=OURS, days=10 * DAYS)
    began = time.process_time()
    for start in range(0, count, 1000):
        batch = range(start, min(count, start + 1000))
        book.write(
            [challenge(rng, number, now - (count - number) * DAYS * DAY_NS // count) for number in batch]
        )
    spent = (time.process_time() - began) / count * 1000
    for number in range(DAYS * EPOCHS_A_DAY):
        book.payout(epoch(rng, number, now - (DAYS * EPOCHS_A_DAY - number) * DAY_NS // EPOCHS_A_DAY))
    for number in range(max(EVENTS, RUNS, LABELLED)):
        book.event(
            "alarm" if number % 9 else "swap", {"key": "halt", "text": "nobody asks", "state": "rings"}
        )
        book.job_run(
            f"job_{number % 8}",
            at_s=now / 1e9 - number,
            trigger="schedule",
            seconds=1.0,
            outcome="ok",
            detail="done",
        )
        word = rng.choice(("roadwork", "none"))
        book.label(picture(count - 1 - number % count), word, source="review", reviewer="ann")
        if number < KEPT:
            book.capture(capture(rng, count - 1 - 2 * number % count, now - number * 10**9))
        if number % 2000 == 0:
            book.write([])
    book.close()
    return spent


def picture(number: int) -> str:
    return hashlib.sha256(number.to_bytes(8, "big")).hexdigest()


def capture(rng: random.Random, number: int, at_ns: int) -> dict[str, Any]:
    """Every other one has a label, so that many wait for a reviewer."""
    about = {"policies": {"audit": 0.015}, "evidence": {"classifier": 0.4, "regions": -0.2}, "width": 768}
    name = picture(number)
    return {
        **{"sha256": name, "at_ns": at_ns, "hotkey": OURS, "challenge": f"{number:032x}"},
        **{"reason": "near,audit", "propensity": 0.5, "prediction": 0.5, "log_odds": rng.gauss(0, 1)},
        **{"file": f"{name[:2]}/{name}.jpg", "size": 60_000, "phash": f"{rng.getrandbits(64):016x}"},
        "data": about,
    }


def challenge(rng: random.Random, number: int, at_ns: int) -> Exchange:
    answered = rng.random() < 0.98
    return Exchange(
        *(f"{number:032x}", at_ns, OURS, rng.choice(VALIDATORS), "192.0.2.1", "10.5.0"),
        *(
            200 if answered else 503,
            "answered" if answered else rng.choice(FAILURES),
            12_000,
            picture(number),
        ),
        prediction=rng.random() if answered else None,
        log_odds=rng.gauss(0, 3) if answered else None,
        certified=True,
        path=("classifier", "regions"),
        versions={"classifier": "3f2a9c04d1e8", "regions": "77b0c2a91f55", "cascade": "0c4d2be7a816"},
        ms={"wait": 1.2, "decode": 2.1, "classifier": 30.2, "regions": 12.4, "total": 40 + 20 * rng.random()},
        margin_s=7.4,
    )


def epoch(rng: random.Random, number: int, at_ns: int) -> dict[str, Any]:
    views = [
        {"hotkey": hotkey, "permit": True, "share": 0.125, "weight": 0.004, "ceiling": 0.8, "bond": 0.5}
        | {"worst": 0.2, "best": 0.9, "challenges": 400, "known": 40, "unanswered": 3, "gap_s": 1800.0}
        | {"uid": 1, "stake": 1e5, "set_s": at_ns / 1e9, "last_s": at_ns / 1e9}
        for hotkey in VALIDATORS
    ]
    paid = {"alpha": rng.random(), "tao": rng.random() / 300, "incentive": 0.004, "rank": 31}
    return {"block": 8_000_000 + 360 * number, "at_ns": at_ns, **paid, "validators": views}


def functions(path: Path) -> dict[str, Callable[[], Any]]:
    day_ago = time.time_ns() - DAY_NS
    return {
        "recent": lambda: books.recent(path, 30),
        "recent, of our hotkey": lambda: books.recent(path, 30, OURS),
        "recent, of another hotkey": lambda: books.recent(path, 30, "5Another"),
        "recent, of a validator": lambda: books.recent(path, 30, caller="5Validator3"),
        "recent, by a rare outcome": lambda: books.recent(path, 30, outcome="gone"),
        "recent, by an outcome there is not": lambda: books.recent(path, 30, outcome="error"),
        "summary of a day": lambda: books.summary(path, day_ago),
        "summary of all": lambda: books.summary(path),
        "payouts, all, by day": lambda: by_day(books.payouts(path, 10**6)),
        "events of a kind": lambda: books.events(path, 50, "swap"),
        "subnet health": lambda: books.last_subnet_health(path),
        "job runs": lambda: books.job_runs(path, 50),
        "last run of every job": lambda: books.last_job_runs(path),
        "labels, all": lambda: labels(path),
        "labels of captures": lambda: captured_labels(path),
        "histories of all validators": lambda: histories(path, OURS, LIMIT),
        "our hotkey": lambda: last_hotkey(path),
        "twins of all validators": lambda: [standing(one) for one in histories(path, OURS, LIMIT).values()],
    }


def pages(folder: Path) -> dict[str, Callable[[], Any]]:
    """What the page asks for, over its own routes; those of parts that hold everything in memory (models,
    status) read no ledger and are not here."""
    path = folder / LEDGER_NAME
    book = Ledger(path, hotkey=OURS)
    scheduler = Scheduler([Job("backup", _nothing, every_s=86_400.0)], book, Alarms(book.event), Clock())

    async def jobs() -> Any:
        return scheduler.rows()

    async def waiting() -> Any:
        return await asyncio.to_thread(unlabelled, path)

    commands = {**history_commands(path, OURS, list), **Desk(book).commands}
    commands |= {"jobs": jobs, "capture_status": waiting}
    app = create_page(dict, bytes, list, more=create_desk(commands, bytes.fromhex, None))

    def asked(name: str, **given: Any) -> Callable[[], Any]:
        return lambda: asyncio.run(_post(app, f"/v1/commands/{name}", given))

    return {
        "rewards over time": asked("rewards_history"),
        "accuracy over time": asked("accuracy_history"),
        "review queue": asked("review_next", limit=20, reviewer="ann"),
        "review queue, another reviewer": asked("review_next", limit=200, reviewer="bob"),
        "jobs": asked("jobs"),
        "capture": asked("capture_status"),
    }


async def _nothing(context: Any) -> str:
    return ""


async def _post(app: Any, path: str, given: dict[str, Any]) -> Any:
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        (await client.post(path, json=given)).raise_for_status()


COMMANDS = (
    ("version",),
    ("--help",),
    ("status",),
    ("ledger",),
    ("ledger", "--caller", "5Validator3", "--limit", "100"),
    ("ledger", "--outcome", "error"),
    ("ledger", "--since", "6h", "--json"),
    ("ledger", "backups"),
    ("rewards",),
    ("rewards", "--days", "30"),
    ("rewards", "--economics", "--cost-per-hour", "0.2", "--tao-price", "200"),
    ("rewards", "--csv", "-"),
    ("jobs",),
    ("jobs", "--runs", "50"),
    ("models",),
    ("capture",),
    ("review", "agreement"),
)


def timed(name: str, work: Callable[[], Any], rounds: int, kind: str = "function") -> Figure:
    costs = []
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        costs.append((time.process_time() - cpu, time.perf_counter() - wall))
    return _figure(name, kind, costs)


def command(folder: Path, words: tuple[str, ...], rounds: int) -> Figure:
    costs = []
    flag = [] if words[0] in ("--help", "version") else [f"--data.path={folder}"]
    for _ in range(rounds):
        before, wall = _children_s(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "miner", *words, *flag],
            cwd=Path(__file__).parents[1],
            capture_output=True,
            check=False,
        )
        costs.append((_children_s() - before, time.perf_counter() - wall))
        if done.returncode > 1:  # 1: no miner runs, which the answer says too
            raise SystemExit(f"{' '.join(words)}: {done.stderr.decode()}")
    return _figure(" ".join(words), "command", costs)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figure(name: str, kind: str, costs: list[tuple[float, float]]) -> Figure:
    cpu, wall = zip(*costs, strict=True)
    return Figure(name, kind, statistics.median(cpu), min(wall))


def copies(path: Path) -> Iterator[Figure]:
    """A backup and its restore, each with its check of every page; not judged, they read everything."""
    target = path.parent / "backups" / "ledger-bench.sqlite"
    count = check(path)
    yield timed("backup, checked", lambda: back_up(path, target), 1)
    yield timed("restore, checked twice", lambda: restore(target, path), 1)
    if check(path) != count:
        raise SystemExit("the restored ledger has lost challenges")


def show(figures: list[Figure]) -> None:
    print(f"{'':62s} {'CPU ms':>8s} {'ms':>8s}")
    for figure in figures:
        print(f"{figure.kind:9s} {figure.name:52.52s} {figure.cpu_s * 1e3:8.1f} {figure.wall_s * 1e3:8.1f}")


def measure(folder: Path, count: int, rounds: int) -> tuple[list[Figure], dict[str, float]]:
    path = folder / LEDGER_NAME
    written = build(path, count)
    size = path.stat().st_size
    figures = [timed(name, work, rounds) for name, work in functions(path).items()]
    figures += [timed(name, work, rounds, "page") for name, work in pages(folder).items()]
    figures += [command(folder, words, rounds) for words in COMMANDS]
    facts = {"challenges": count, "bytes": size, "write_cpu_ms_per_1000": written * 1e3}
    return figures + [Figure(one.name, "copy", one.cpu_s, one.wall_s) for one in copies(path)], facts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{FEW:,} challenges instead of {MANY:,}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count, rounds = (FEW, 1) if arguments.quick else (MANY, 3)
        figures, facts = measure(Path(folder), count, rounds)
    show(figures)
    print(f"{count:,} challenges, {facts['bytes'] / 1e6:,.0f} MB", end="; ")
    print(f"{facts['write_cpu_ms_per_1000']:.0f} ms CPU to write a thousand; load {os.getloadavg()[0]:.1f}")
    if arguments.json:
        found = {**facts, "figures": [asdict(figure) for figure in figures]}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    slow = [figure for figure in figures if figure.kind != "copy" and figure.wall_s >= TARGET_S]
    missed = [
        f"{figure.kind} {figure.name} takes {figure.wall_s:.2f} s (target {TARGET_S:g})" for figure in slow
    ]
    print("\n".join(f"MISSED: {line}" for line in missed) or "all targets met")
    return int(arguments.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
