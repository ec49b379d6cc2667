"""The engine child: `python -m miner.engine.child_main SOCKET_FD BLACKBOX_FD`. Lives as long as the front
holds the other end of the socket."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path

from loguru import logger

from miner.engine import frames, picture, tiers
from miner.engine.blackbox import BlackBox
from miner.engine.config import EngineConfig
from miner.engine.early import AHEAD
from miner.engine.farside import Outbox, configured, rss, settle
from miner.engine.gently import gently
from miner.engine.judge import Job, Judge, Outcome, Progress
from miner.engine.plan import planned
from miner.engine.proving import prove
from miner.engine.remote import Remote
from models import heap
from models.core import Request, Tier, Verdict
from models.traced import trace

EXIT_BROKEN = 70
"""The device fails even on the known picture: only a new process helps."""
EXIT_LOAD = 71
"""The tiers cannot be loaded; the front was told why."""

IDLE_S = 10.0
"""Without a request for this long, a heartbeat judgement shows that the model still answers."""


class Service:
    """The loop between socket and judge."""

    def __init__(self, config: EngineConfig, sock: socket.socket, outbox: Outbox, box: BlackBox) -> None:
        self._config = config
        self._sock = sock
        self._outbox = outbox
        self._box = box
        self._open: dict[int, Job] = {}
        self._why_never = ""
        self._absent: dict[str, str] = {}
        self._moments: dict[str, float] = {}
        self._reached("engine child")
        self._judge = gently(self._loaded) if config.gentle else self._loaded()
        if config.gentle:
            self._judge.measure_again()
        self._judge.start()

    def _loaded(self) -> Judge:
        config = self._config
        members: list[Tier | Remote] = tiers.build_all(
            config.cascade.tiers, config.device, absent=self._absent.__setitem__
        )
        self._reached("weights")
        self._device = str(getattr(members[0], "device", "cpu"))
        judge = Judge(
            members,
            limits=config.limits,
            most=config.most,
            decoders=config.decoders,
            broken=self._broken,
            mark=self._box.mark,
            plan=partial(planned, config.cascade, told=self._never),
            p95_ms=config.p95_ms,
            budget_ms=config.budget_ms,
        )
        prove(judge, known=config.golden)
        self._reached("golden set")
        return judge

    def _reached(self, stage: str) -> None:
        self._moments[stage] = time.monotonic()

    def announce(self) -> None:
        versions = self._judge.versions
        more = {"versions": versions, "device": self._device, "never": self._why_never}
        more |= {"absent": self._absent, "moments": self._moments, "early_by": self._judge.early_by}
        self._outbox.put({**self._beat(), "kind": "ready", **more})
        threading.Thread(target=self._beating, name="heartbeat", daemon=True).start()

    def _never(self, why: str) -> None:
        self._why_never = why

    def serve(self, reader: frames.Reader) -> None:
        """Until the front closes its end."""
        while data := self._sock.recv(1 << 18):
            for header, payload in reader.feed(data):
                self._take(header, payload)

    def _take(self, header: frames.Header, payload: bytes) -> None:
        number = header["number"]
        if header["kind"] == "trace":
            threading.Thread(target=self._trace, args=(header,), name="trace", daemon=True).start()
            return
        if header["kind"] == "cancel":
            if job := self._open.pop(number, None):
                self._judge.cancel(job)
            return
        request = frames.asked(header, payload)
        done = partial(self._done, number)
        passed = partial(self._outbox.put, {"kind": "passed", "number": number})
        self._open[number] = self._judge.submit(
            request, done, passed=passed, number=number, solo=header.get("solo", False)
        )

    def _trace(self, asked: frames.Header) -> None:
        told: frames.Header = {"kind": "traced", "number": asked["number"], "failed": "", "top": []}
        try:
            told["top"] = trace(asked["seconds"], Path(asked["file"]))
        except Exception as error:  # noqa: BLE001 - a profiler that a driver refuses must cost nobody an answer
            told["failed"] = f"{type(error).__name__}: {error}"
        self._outbox.put(told)

    def _done(self, number: int, outcome: Outcome) -> None:
        self._outbox.put(frames.outcome(number, outcome))
        self._open.pop(number, None)

    def _broken(self, why: str) -> None:
        """The requests in hand are innocent: take them out of the black box, so that another child gets
        them. Whatever fails on the way, for want of memory say, the process ends."""
        try:
            self._box.clear()
            logger.error("the device is broken, this process ends: {}", why)
            self._outbox.put({"kind": "failed", "detail": why})
            self._outbox.flush()
        finally:
            os._exit(EXIT_BROKEN)

    # Heartbeats

    def _beating(self) -> None:
        while True:
            time.sleep(self._config.heartbeat_s)
            progress = self._judge.progress()
            self._prune()
            self._outbox.put(self._beat())
            if (
                not progress.active
                and progress.last_s is not None
                and time.monotonic() - progress.last_s > IDLE_S
            ):
                self._check()

    def _prune(self) -> None:
        """An outcome may come before its request was written down as open."""
        for number, job in list(self._open.items()):
            if job.finished:
                self._open.pop(number, None)

    def _check(self) -> None:
        deadline = time.monotonic() + IDLE_S
        request = Request("heartbeat", "", "", (picture.png(),), deadline)
        self._judge.submit(request, _checked, number=0)

    def _beat(self) -> frames.Header:
        return {"kind": "beat", **_numbers(self._judge.progress())}


def _checked(outcome: Outcome) -> None:
    if not isinstance(outcome, Verdict):
        logger.warning("the heartbeat judgement failed: {}", outcome.reason)


def _numbers(progress: Progress) -> frames.Header:
    running = progress.running
    return {
        "forecast": frames.forecast_json(progress.forecast),
        "queued": progress.queued,
        "active": progress.active,
        "answered": progress.answered,
        "running": [running.since, running.expected_s] if running else None,
        "last_s": progress.last_s,
        "batch_sizes": progress.batch_sizes,
        "course": asdict(progress.course),
        "rss": rss(),
    }


def _import_ahead() -> None:
    """What every classifier needs, while nobody has said yet which one. Not transformers: the embedded
    members do without."""
    with suppress(ImportError):  # whoever needs it meets it again, and says so
        import_module("models.classifier")


def run(sock_fd: int, box_fd: int, parent: int) -> int:
    settle(parent)
    heap.keep()
    if AHEAD in sys.argv:
        _import_ahead()
    sock = socket.socket(fileno=sock_fd)
    reader, outbox = frames.Reader(), Outbox(sock)
    config = configured(sock, reader)
    box = BlackBox(os.fdopen(box_fd, "r+b"), config.slots)
    try:
        service = Service(config, sock, outbox, box)
    except Exception as error:  # noqa: BLE001 - whatever a checkpoint or a driver raises goes to the operator
        logger.opt(exception=True).error("the tiers cannot be loaded")
        outbox.put({"kind": "failed", "detail": f"{type(error).__name__}: {error}"})
        outbox.flush()
        return EXIT_LOAD
    gc.freeze()  # torch's objects: walking over all of them takes as long as an answer or two
    service.announce()
    service.serve(reader)
    return 0


def main(run: Callable[[int, int, int], int] = run) -> None:
    sock_fd, box_fd, parent = map(int, sys.argv[1:4])
    code = run(sock_fd, box_fd, parent)
    sys.stderr.flush()
    os._exit(code)  # daemon threads inside a model must not hold up the end


if __name__ == "__main__":
    main()
