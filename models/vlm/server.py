"""One VLM server as its clients see it: slots, deadlines, aborts, retries, and the model it serves."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import httpx

from models.vlm.address import Address, Status
from models.vlm.answer import parse, read_limited
from models.vlm.breaker import Breaker
from models.vlm.member import Absent
from models.vlm.secret import redact

T = TypeVar("T")
Body = Mapping[str, Any]

KEEP_ALIVE_S = 4.0
"""Idle connections are dropped before SGLang drops them (5 s), so that no request meets a closing one."""

ABORT_S = 1.0
"""An abort that takes longer is given up, and its slot with it."""

FIRST_BACKOFF_S = 0.05
WRONG_MODEL_S = 1.0
"""How long a server that serves another model is not asked what it serves."""

LARGE_BYTES = 256 * 2**10
"""A question this large is encoded in a thread, so that the event loop does not wait for it."""


class Server:
    """A client of one server, for one event loop; every member that asks this server shares it."""

    def __init__(
        self,
        address: Address,
        *,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = address
        self._clock = clock
        self._slots = asyncio.Semaphore(address.slots)
        self._breaker = Breaker(clock)
        self._closed_because = ""
        self._model_lock = asyncio.Lock()
        self._checked_until = 0.0
        self._wrong_model = ""
        self._typical_s = 0.0
        self._running = self._waiting = self._answered = 0
        self._reason = ""
        self._worked_s: float | None = None
        self._absent: Counter[str] = Counter()
        self._aborts: set[asyncio.Task[None]] = set()
        headers = {"Authorization": f"Bearer {address.key.reveal()}"} if address.key else {}
        self._client = httpx.AsyncClient(
            base_url=address.root,
            headers=headers,
            timeout=httpx.Timeout(None, connect=address.connect_s),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=address.proxies,
            transport=transport,
        )

    async def close(self) -> None:
        """Hang up. Requests under way fail as unreachable, later ones as down."""
        self.shut("closed")
        for task in list(self._aborts):
            task.cancel()
        await self._client.aclose()

    def shut(self, reason: str) -> None:
        """Ask nothing of it until `reopen`: every member of it is absent at once."""
        self._closed_because = reason

    def reopen(self) -> None:
        """It is (again) what it should be: forget past failures, look its model up anew."""
        self._closed_because = ""
        self._checked_until = 0.0
        self._breaker.reset()

    def status(self) -> Status:
        return Status(
            url=redact(self.address.url),
            model=self.address.model,
            running=self._running,
            waiting=self._waiting,
            answered=self._answered,
            typical_ms=self._typical_s * 1e3,
            down=bool(self._closed_because) or self._breaker.open,
            reason=self._reason,
            worked_s=self._worked_s,
            absent=dict(self._absent),
        )

    async def ask(
        self,
        path: str,
        body: Callable[[], Body],
        read: Callable[[Mapping[str, Any]], T],
        deadline: float,
        request_id: str,
        *,
        size: int = 0,
        named: bool = False,
    ) -> tuple[T, float]:
        """What `read` makes of the answer to a question, and how long it took in seconds.

        `body` makes the question once there is a slot for it. `read` raises Absent for an answer that says
        nothing, with `again` when another try may help: questions are pure, so asking twice changes nothing
        but the bill. `size`: bytes of the pictures. `named`: the route takes our own request id.
        Raises Absent, before `deadline` (clock of this server), whatever the server does.
        """
        try:
            call = _Call(self, path, body, request_id, large=size > LARGE_BYTES, named=named)
            return await self._admitted(call, read, deadline)
        except Absent as absent:
            self._reason = absent.reason
            self._absent[absent.reason.partition(":")[0]] += 1
            raise

    async def _admitted(self, call: _Call, read: Callable[[Any], T], deadline: float) -> tuple[T, float]:
        if self._closed_because:
            raise Absent(f"down:{self._closed_because}")
        until = deadline - self.address.spare_s
        if until <= self._clock():
            raise Absent("deadline")
        if not self._breaker.admit():
            raise Absent("down")
        try:
            await self._slot(until)
        except BaseException:
            self._breaker.unknown()
            raise
        return await self._in_slot(call, read, until)

    async def _slot(self, until: float) -> None:
        self._waiting += 1
        try:
            async with asyncio.timeout(until - self._clock()):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Absent("busy") from error
        finally:
            self._waiting -= 1

    async def _in_slot(self, call: _Call, read: Callable[[Any], T], until: float) -> tuple[T, float]:
        """In one of the server's slots, which is given back only when the server has been told to stop."""
        self._running += 1
        start = self._clock()
        try:
            async with asyncio.timeout(until - start):
                said, taken = await self._tries(call, read, until)
        except TimeoutError as error:
            self._note_failure(unfair=until - start < self._typical_s)
            raise Absent("deadline") from error
        except Absent as absent:
            if absent.reason.startswith(("unreachable", "server")):
                self._note_failure()
            else:
                self._breaker.worked()
            raise
        except BaseException:
            self._breaker.unknown()
            raise
        finally:
            self._running -= 1
            self._release(call)
        self._note_success(taken)
        return said, taken

    async def _tries(self, call: _Call, read: Callable[[Any], T], until: float) -> tuple[T, float]:
        for attempt in range(1, self.address.tries + 1):
            try:
                await self._check_model()
                start = self._clock()
                return read(await call.once()), self._clock() - start
            except Absent as absent:
                pause = FIRST_BACKOFF_S * 2 ** (attempt - 1)
                late = self._clock() + pause + self._typical_s > until
                if not absent.again or attempt == self.address.tries or late:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _check_model(self) -> None:
        """Raises Absent unless the server lists our model; the finding holds for a while."""
        if not self.address.check_model:
            return
        async with self._model_lock:
            if self._clock() >= self._checked_until:
                listed = await self._listed()
                right = self.address.model in listed or self._adapted() in listed
                self._wrong_model = "" if right else ",".join(listed)[:80]
                self._checked_until = self._clock() + (self.address.check_s if right else WRONG_MODEL_S)
            if self._wrong_model:
                raise Absent(f"wrong_model:{self._wrong_model}")

    def _adapted(self) -> str:
        """The model that our adapter goes on: SGLang is asked for "MODEL:ADAPTER", and refuses an adapter
        that it does not hold by itself. "" without one."""
        model, _, adapter = self.address.model.partition(":")
        return model if adapter and self.address.dialect == "sglang" else ""

    async def _listed(self) -> list[str]:
        found = await self.exchange("GET", "/v1/models")
        try:
            return [str(one["id"]) for one in found["data"]]
        except (KeyError, TypeError) as error:
            raise Absent("shape") from error

    async def exchange(self, method: str, path: str, body: bytes | None = None) -> Any:
        """One HTTP exchange and its JSON. Raises Absent; never waits by itself less than the server takes."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            request = self._client.build_request(method, path, content=body, headers=headers)
            response = await self._client.send(request, stream=True)
            try:
                data = await read_limited(response)
            finally:
                await response.aclose()
        except httpx.RequestError as error:
            self._checked_until = 0.0
            raise Absent("unreachable", again=True) from error
        return parse(response.status_code, data)

    def _note_success(self, taken: float) -> None:
        self._breaker.worked()
        self._typical_s = 0.8 * self._typical_s + 0.2 * taken if self._answered else taken
        self._answered += 1
        self._worked_s = self._clock()

    def _note_failure(self, *, unfair: bool = False) -> None:
        """`unfair`: it was given less time than it usually takes, which says nothing about it."""
        if unfair:
            self._breaker.unknown()
        else:
            self._breaker.failed()

    # Aborts

    def _release(self, call: _Call) -> None:
        if call.unfinished is None:
            self._slots.release()
            return
        task = asyncio.get_running_loop().create_task(self._abort(call.unfinished))
        self._aborts.add(task)
        task.add_done_callback(self._aborts.discard)
        task.add_done_callback(lambda _: self._slots.release())

    async def _abort(self, rid: str) -> None:
        body = json.dumps({"rid": rid}).encode()
        with suppress(Absent, TimeoutError):
            async with asyncio.timeout(ABORT_S):
                await self.exchange("POST", "/abort_request", body)


class _Call:
    """One question to one server; `unfinished` is the id of a request that the server may still work on."""

    __slots__ = ("_body", "_large", "_named", "_path", "_request_id", "_server", "unfinished")

    def __init__(
        self,
        server: Server,
        path: str,
        body: Callable[[], Body],
        request_id: str,
        *,
        large: bool,
        named: bool,
    ) -> None:
        self._server = server
        self._path = path
        self._body = body
        self._request_id = request_id
        self._large = large
        self._named = named and server.address.dialect == "sglang"
        self.unfinished: str | None = None

    async def once(self) -> Any:
        # Random part first: SGLang aborts every request whose id starts with the one it is given.
        rid = f"{secrets.token_hex(8)}-{self._request_id}" if self._named else None
        encoded = await asyncio.to_thread(self._encoded, rid) if self._large else self._encoded(rid)
        self.unfinished = rid
        try:
            found = await self._server.exchange("POST", self._path, encoded)
        except Absent:
            self.unfinished = None
            raise
        self.unfinished = None
        return found

    def _encoded(self, rid: str | None) -> bytes:
        return json.dumps({**self._body(), **({"rid": rid} if rid else {})}).encode()
