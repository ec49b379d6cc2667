"""Everything that goes wrong in a soak: how it is brought about, through signals, files, limits and mounts
only, and what the miner is to do meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.soak.world import TROUBLE, World

OK, NOT_READY, SILENT = "200", "503", "none"
PAGE_BYTES = 4096
SPARE_MB = 256
"""Host memory that a child has left when it is limited."""


class NotHere(Exception):
    """This host does not let the fault be brought about; the text says why."""


Bring = Callable[[World], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`bring` lasts while the fault does, at least `hold_s`; recovery counts from its end.

    `ready`     what /health/ready may say meanwhile; `live` the same for /health/live.
    `says`      words that its log must have said by the end; "" when there is nothing to say.
    `cuts`      whether challenges in flight may be lost: the front itself is killed or stands still.
    `refuses`   whether challenges may be refused meanwhile, before they are admitted.
    `once`      whether it is over the moment it happens: recovery counts from there, and `hold_s` is only the
                time in which it is watched.
    `kills`     whether the front's last second of ledger rows may be gone.
    """

    name: str
    injected: str
    behaviour: str
    bring: Bring
    hold_s: float = 4.0
    ready: frozenset[str] = frozenset({OK})
    live: frozenset[str] = frozenset({OK})
    says: str = ""
    cuts: bool = False
    refuses: bool = False
    once: bool = False
    kills: bool = False


# The front


def _signalled(number: signal.Signals) -> Bring:
    @asynccontextmanager
    async def bring(world: World) -> AsyncIterator[None]:
        starts = world.starts
        world.signal(number)
        while world.starts == starts:
            await asyncio.sleep(0.02)
        yield

    return bring


@asynccontextmanager
async def stopped(world: World) -> AsyncIterator[None]:
    world.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        world.signal(signal.SIGCONT)


# The engine


def _moody(mood: str) -> Bring:
    @asynccontextmanager
    async def bring(world: World) -> AsyncIterator[None]:
        world.mood.write_text(mood)
        try:
            yield
        finally:
            world.mood.write_text("")

    return bring


@asynccontextmanager
async def child_killed(world: World) -> AsyncIterator[None]:
    os.kill(await _serving(world), signal.SIGKILL)
    yield


@asynccontextmanager
async def memory_eaten(world: World) -> AsyncIterator[None]:
    pid = await _serving(world)
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * PAGE_BYTES
    resource.prlimit(pid, resource.RLIMIT_AS, (used + SPARE_MB * 2**20, resource.RLIM_INFINITY))
    async with _moody("eat")(world):
        yield


async def _serving(world: World) -> int:
    with contextlib.suppress(*TROUBLE):
        if pid := (await world.status())["engine"]["pid"]:
            return int(pid)
    raise NotHere("no engine child serves")


@asynccontextmanager
async def server_killed(world: World) -> AsyncIterator[None]:
    servers = (await world.status())["servers"]
    if not servers[0]["pid"]:
        raise NotHere("the VLM server does not run")
    os.kill(servers[0]["pid"], signal.SIGKILL)
    yield


# The chain


@asynccontextmanager
async def chain_down(world: World) -> AsyncIterator[None]:
    await asyncio.to_thread(world.chain.set_down, True)
    try:
        yield
    finally:
        await asyncio.to_thread(world.chain.set_down, False)


@asynccontextmanager
async def chain_frozen(world: World) -> AsyncIterator[None]:
    """A writer that never ends: calls hang until their time limit, as on a websocket that fell silent."""
    with contextlib.closing(sqlite3.connect(world.chain.path, isolation_level=None, timeout=5.0)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield


# The disk


def _own_disk(world: World) -> Path:
    if not world.disk:
        raise NotHere("no file system can be mounted here")
    return world.folder / "disk"


@asynccontextmanager
async def disk_full(world: World) -> AsyncIterator[None]:
    filler = _own_disk(world) / "filler"
    await asyncio.to_thread(_fill, filler)
    try:
        yield
    finally:
        filler.unlink()


def _fill(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 512):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


@asynccontextmanager
async def disk_read_only(world: World) -> AsyncIterator[None]:
    """A file system in use cannot be made read-only; files that nobody may change refuse what it refuses."""
    _own_disk(world)
    paths = [world.data, *(path for path in world.data.rglob("*") if path.is_file() or path.is_dir())]
    try:
        await asyncio.to_thread(_chattr, "+i", paths)
        yield
    finally:
        await asyncio.to_thread(_chattr, "-i", paths)


def _chattr(change: str, paths: list[Path]) -> None:
    done = subprocess.run(["chattr", change, *paths], capture_output=True, text=True, check=False)
    if done.returncode and change == "+i" and "supported" in done.stderr:
        raise NotHere(done.stderr.strip())


@asynccontextmanager
async def disk_hung(world: World) -> AsyncIterator[None]:
    disk = _own_disk(world)
    await asyncio.to_thread(_run, "fsfreeze", "--freeze", str(disk))
    try:
        yield
    finally:
        await asyncio.to_thread(_run, "fsfreeze", "--unfreeze", str(disk))


def _run(*words: str) -> None:
    subprocess.run(words, check=True)


@asynccontextmanager
async def page_corrupted(world: World) -> AsyncIterator[None]:
    """First a copy, as every night; then nonsense over a page that the next rows go through."""
    await world.run_job("backup")
    page = await asyncio.to_thread(_busy_page, world.ledger)
    with world.ledger.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(os.urandom(PAGE_BYTES))
    yield


def _busy_page(ledger: Path) -> int:
    """The root of the index by time, after everything in the log has gone to the file."""
    with contextlib.closing(sqlite3.connect(ledger, timeout=5.0)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'challenges_at'"
        return int(db.execute(query).fetchone()[0])


# The host


def _stepped(seconds: float) -> Bring:
    @asynccontextmanager
    async def bring(world: World) -> AsyncIterator[None]:
        world.clock.set(seconds)
        try:
            yield
        finally:
            world.clock.set(0.0)

    return bring


@asynccontextmanager
async def descriptors_gone(world: World) -> AsyncIterator[None]:
    """None is left, and just then the engine child dies: its successor needs some."""
    pid, victim = world.pid, await _serving(world)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (_lowest_free(pid), before[1]))
    os.kill(victim, signal.SIGKILL)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _lowest_free(pid: int) -> int:
    """The limit is on numbers: nothing new can be opened at the lowest number that is free."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


STANDBY = "its requests are asked of the standby child on the CPU, which serves until the GPU's is back"
ROWS_WAIT = "every challenge is answered; rows wait in memory and follow"

FAULTS: tuple[Fault, ...] = (
    Fault(
        "SIGTERM of the front",
        "SIGTERM; a service manager starts it again",
        "what was admitted is answered (at most 9 s), then it ends with 0; requests signed before the new "
        "start + 4 s are refused: they may be replays",
        _signalled(signal.SIGTERM),
        hold_s=0.0,
        once=True,
        ready=frozenset({OK, NOT_READY, SILENT}),
        live=frozenset({OK, SILENT}),
        says="stopping: answering what was admitted",
        refuses=True,
    ),
    Fault(
        "SIGKILL of the front",
        "SIGKILL; a service manager starts it again",
        "children and VLM servers end with it; the ledger is whole but for the last second at most; no "
        "request from before is taken again",
        _signalled(signal.SIGKILL),
        hold_s=0.0,
        once=True,
        kills=True,
        ready=frozenset({OK, NOT_READY, SILENT}),
        live=frozenset({OK, SILENT}),
        cuts=True,
        refuses=True,
    ),
    Fault(
        "SIGSTOP of the front",
        "SIGSTOP, after 12 s SIGCONT",
        "nothing is answered meanwhile (systemd's watchdog would restart it after a minute); afterwards "
        "nobody is blamed for the silence: no child is killed, and it goes on at once",
        stopped,
        hold_s=12.0,
        ready=frozenset({OK, SILENT}),
        live=frozenset({OK, SILENT}),
        cuts=True,
    ),
    Fault(
        "chain down",
        "the local chain refuses every call",
        "the last good snapshot serves, however old; retries with growing pauses; said once",
        chain_down,
        hold_s=6.0,
        says="chain: no answer",
    ),
    Fault(
        "engine child killed",
        "SIGKILL of the child that serves, as the kernel's memory killer does",
        f"{STANDBY}; respawned after 0.1 s, ever longer if it dies young",
        child_killed,
        hold_s=2.0,
        once=True,
        says="is gone: ended with -9",
    ),
    Fault(
        "chain frozen",
        "calls to the chain hang, as on a websocket that fell silent",
        "each call has a time limit, then the chain counts as down",
        chain_frozen,
        hold_s=14.0,
        says="chain: no answer",
    ),
    Fault(
        "dead GPU",
        "CUDA fails in the child, for good, and in every new one",
        f"the child sees that even its warm-up picture fails, and ends; {STANDBY}; after five young deaths "
        "one try a minute",
        _moody("dead"),
        hold_s=6.0,
        says="the device is broken, this process ends",
    ),
    Fault(
        "disk full",
        "the data folder's file system (ext4, mounted for this) is filled to the last byte",
        f"{ROWS_WAIT} when there is room; said once",
        disk_full,
        says="fails; trying again with every batch",
    ),
    Fault(
        "GPU memory short",
        "CUDA out of memory for every batch of more than one picture",
        "the batch is asked one by one; no child dies",
        _moody("full"),
        hold_s=17.0,  # a burst comes every 15 s
        says="asking one by one",
    ),
    Fault(
        "disk read-only",
        "every file and folder of the data folder made immutable",
        f"{ROWS_WAIT} when the disk takes them; nothing is written through SQLite's map of the log, which "
        "would kill the process",
        disk_read_only,
        says="Ledger fails; trying again",
    ),
    Fault(
        "host memory short",
        "RLIMIT_AS of the child 256 MB above what it uses, and a tier that takes all it can",
        f"the child fails on its warm-up picture too, and ends; {STANDBY}",
        memory_eaten,
        says=" is gone: ",  # who has no memory may die in other ways than he meant to
    ),
    Fault(
        "disk hangs",
        "fsfreeze: writes do not return",
        f"{ROWS_WAIT} when the disk goes on; only the recorder's thread stands still",
        disk_hung,
    ),
    Fault(
        "hung kernel",
        "a batch that never returns, while the child's heart beats",
        f"after 2 s the child is suspected: {STANDBY}; after `engine.hang_s` it is killed and respawned",
        _moody("hang"),
        hold_s=8.0,
        says="hangs, it is killed: one batch for",
    ),
    Fault(
        "ledger page corrupted",
        "random bytes over a page of the open ledger, after the nightly copy",
        "the file is set aside under another name, the newest copy that is sound takes its place, rows in "
        "memory follow; an alarm says so",
        page_corrupted,
        hold_s=2.0,
        once=True,
        says="is damaged",
    ),
    Fault(
        "VLM server killed",
        "SIGKILL of a server (SGLang's stand-in) that the miner started",
        "its member is absent and the others decide; the server is restarted, proven, and asked again",
        server_killed,
        hold_s=1.0,
        once=True,
    ),
    Fault(
        "clock an hour ahead",
        "the miner's wall clock leaps by +3,600 s, then back",
        "validators' requests are refused as too old (401): nobody can say whose clock is right; answered "
        "again the moment it is; schedules, rates and deadlines go by the monotonic clock",
        _stepped(3600.0),
        refuses=True,
    ),
    Fault(
        "clock an hour behind",
        "the miner's wall clock leaps by -3,600 s, then back",
        "validators' requests are refused as from the future (401); answered again the moment it is right",
        _stepped(-3600.0),
        refuses=True,
    ),
    Fault(
        "no descriptors left",
        "RLIMIT_NOFILE of the front at what it has open, and then the engine child is killed",
        "open connections are served on; new ones wait in the kernel's queue and are taken within half a "
        "second of there being room; the child is respawned then; the standby serves",
        descriptors_gone,
        hold_s=5.0,
        ready=frozenset({OK, SILENT}),
        live=frozenset({OK, SILENT}),
        says="no engine child can be started",
    ),
)
