"""The bridge between the front and a Ray cluster: `python -m miner.engine.ray.bridge SOCKET BLACKBOX PARENT`.

An engine child that judges nothing itself. It opens no picture, so nobody who asks can break it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from collections import Counter
from dataclasses import replace

from loguru import logger

from miner.engine import frames
from miner.engine.farside import Outbox, configured, settle
from miner.engine.forecast import Forecast
from miner.engine.golden import golden, refusal
from miner.engine.interface import Refused, Shed, Unavailable
from miner.engine.ray.pool import Died, Failed, Full, Pool
from miner.engine.ray.replica import Replica, asking
from models.core import BACKGROUND, Request, Verdict

EXIT_LOAD, EXIT_LOST = 71, 72
TRIES = 2
"""So many replicas may die with a request in their hands before nobody asks it again."""
HOME_S = 0.05
"""A replica's answer needs this long at most to get from there to the front."""
LATE_S = 0.1
"""How long past the deadline an answer is waited for: it may be on its way."""
LOOK_S = 1.0
LOST_S = 4.0
"""Without a replica, or a word from the cluster, for this long the bridge ends: another engine serves."""
GOLDEN_S = 60.0


class Bridge:
    """Between the front's socket and a pool that is open."""

    def __init__(self, heartbeat_s: float, pool: Pool, outbox: Outbox) -> None:
        self._heartbeat_s = heartbeat_s
        self._pool = pool
        self._outbox = outbox
        self._open: dict[int, asyncio.Task[None]] = {}
        self._looks: dict[str, frames.Header] = {}
        self._replicas = 0
        self._answered = 0
        self._last_s: float | None = None
        self._seen_s = time.monotonic()

    async def prove(self) -> None:
        """Have a replica judge the golden set. Raises ValueError with what speaks against it."""
        log_odds = []
        for item in golden():
            deadline = time.monotonic() + GOLDEN_S
            said = await self._outcome(Request(item.name, "", "golden", item.views, deadline, BACKGROUND))
            if not isinstance(said, Verdict) or said.log_odds is None:
                why = said.reason if isinstance(said, Refused) else "no number"
                raise ValueError(f"no answer to the known picture {item.name}: {why}")
            log_odds.append(said.log_odds)
        if why := refusal(golden(), log_odds):
            raise ValueError(why)
        await self._look()

    async def serve(self, sock: socket.socket, reader: frames.Reader) -> int:
        """Until the front closes its end, or the replicas are lost; the exit status."""
        about = next(iter(self._looks.values()))
        told = {key: about[key] for key in ("versions", "never", "early_by", "absent")}
        self._outbox.put({**self._beat(), "kind": "ready", **told, "device": "ray", "moments": {}})
        reading = asyncio.create_task(self._read(sock, reader))
        watching = asyncio.create_task(self._watch())
        beating = asyncio.create_task(self._beating())
        await asyncio.wait((reading, watching), return_when=asyncio.FIRST_COMPLETED)
        beating.cancel()
        if watching.done():
            self._outbox.put({"kind": "failed", "detail": watching.result()})
            self._outbox.flush()
            return EXIT_LOST
        return 0

    async def _read(self, sock: socket.socket, reader: frames.Reader) -> None:
        while data := await asyncio.to_thread(sock.recv, 1 << 18):
            for header, payload in reader.feed(data):
                self._take(header, payload)

    def _take(self, header: frames.Header, payload: bytes) -> None:
        number = header["number"]
        if header["kind"] == "cancel":
            if task := self._open.get(number):
                task.cancel()
            return
        task = asyncio.create_task(self._answer(number, frames.asked(header, payload)))
        self._open[number] = task
        task.add_done_callback(lambda _: self._open.pop(number, None))

    async def _answer(self, number: int, request: Request) -> None:
        said = await self._outcome(request)
        if isinstance(said, Verdict):
            self._answered += 1
            self._last_s = time.monotonic()
        self._outbox.put(frames.outcome(number, said))

    async def _outcome(self, request: Request) -> Verdict | Refused:
        """Ask a replica, and when it dies another one while there is time."""
        for _ in range(TRIES):
            left_s = request.deadline - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left_s) + LATE_S):
                    header = await self._pool.ask(asking(request, left_s - HOME_S), *request.views)
            except TimeoutError:
                return Unavailable("deadline")
            except Full:
                return Shed("full")
            except Failed as error:
                logger.warning("no replica can judge request {}: {}", request.id, error)
                return Unavailable("failed")
            except Died:
                logger.warning("a replica ended over request {}: another one is asked", request.id)
                continue
            self._note(header["look"])
            return frames.result(header)
        return Unavailable("failed")

    # How the replicas are

    def _note(self, look: frames.Header) -> None:
        self._looks.pop(look["who"], None)  # the newest come last
        self._looks[look["who"]] = look
        self._seen_s = time.monotonic()
        while len(self._looks) > max(1, self._replicas):
            self._looks.pop(next(iter(self._looks)))

    async def _look(self) -> None:
        self._replicas = await asyncio.to_thread(self._pool.running)
        self._note(await self._pool.look())

    async def _watch(self) -> str:
        """Look after the replicas until they are lost; why that is believed."""
        why = ""
        while time.monotonic() - self._seen_s < LOST_S:
            await asyncio.sleep(LOOK_S)
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._look()
            except (Full, Died, Failed, TimeoutError) as error:
                why = f"{type(error).__name__} {error}".strip()
            except Exception as error:  # noqa: BLE001 - whatever Ray raises, the cluster is not to be had
                why = f"{type(error).__name__}: {error}"
        return f"no replica answers ({self._replicas} run): {why}"

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_s)
            self._outbox.put(self._beat())

    def _beat(self) -> frames.Header:
        looks = list(self._looks.values())
        sizes: Counter[str] = Counter()
        for look in looks:
            sizes.update(look["batch_sizes"])
        return {
            "kind": "beat",
            "forecast": frames.forecast_json(together(looks, self._replicas)),
            "queued": sum(look["queued"] for look in looks),
            "active": len(self._open),
            "answered": self._answered,
            "running": None,
            "last_s": self._last_s,
            "batch_sizes": dict(sizes),
            "course": looks[-1]["course"],
            "rss": max(look["rss"] for look in looks),
            "replicas": self._replicas,
        }


def together(looks: list[frames.Header], replicas: int) -> Forecast:
    """The forecast of as many replicas as one: the slowest one's, with that many times its throughput."""
    slowest = max((frames.forecast_from(look["forecast"]) for look in looks), key=lambda one: one.image_s)
    count = max(1, replicas)
    return replace(slowest, a=slowest.a / count, b=slowest.b / count, decoders=slowest.decoders * count)


async def bridged(sock: socket.socket, reader: frames.Reader, bridge: Bridge) -> int:
    await bridge.prove()
    return await bridge.serve(sock, reader)


def run(sock_fd: int, parent: int, replica: type[Replica] = Replica) -> int:
    settle(parent)
    sock = socket.socket(fileno=sock_fd)
    reader, outbox = frames.Reader(), Outbox(sock)
    config = configured(sock, reader)
    pool = Pool(config, replica)
    try:
        pool.open()
        code = asyncio.run(bridged(sock, reader, Bridge(config.heartbeat_s, pool, outbox)))
        if code == 0:
            pool.close()
        return code
    except Exception as error:  # noqa: BLE001 - whatever a cluster or a checkpoint raises goes to the operator
        logger.opt(exception=True).error("there are no replicas")
        outbox.put({"kind": "failed", "detail": f"{type(error).__name__}: {error}"})
        outbox.flush()
        return EXIT_LOAD


def main(replica: type[Replica] = Replica) -> None:
    sock_fd, _, parent = map(int, sys.argv[1:4])
    code = run(sock_fd, parent, replica)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
