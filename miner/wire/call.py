"""One HTTP request on its way through the endpoint, and what is written down about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from miner.records import Exchange
from miner.wire import synapse
from miner.wire.auth import Claim, Incoming
from models.compress import spent
from models.core import Verdict


class Arriving(Protocol):
    """A request whose body is on its way: `incoming` has none yet, it comes by `take` or `receive`."""

    @property
    def incoming(self) -> Incoming: ...

    @property
    def more_body(self) -> bool:
        """Whether more of it is to come than what is here."""
        ...

    @property
    def whole(self) -> bool:
        """Whether all of it is here: `take` gives it, and nothing needs to be waited for."""
        ...

    def take(self) -> bytes:
        """What is here of the body and was not taken yet."""
        ...

    async def receive(self) -> bytes | None:
        """`take`, as soon as there is something or nothing more will come; None when the client is gone."""
        ...


class Asked(Arriving, Protocol):
    """A request as the connection hands it over. `path` without the query, `address` the client's."""

    @property
    def path(self) -> str: ...
    @property
    def address(self) -> str: ...

    @property
    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        ...

    def prove(self) -> None:
        """The connection has carried a request whose signature verified."""
        ...

    async def send(self, reply: synapse.Reply) -> None:
        """The one reply. It waits while the client does not read."""
        ...


@dataclass(slots=True)
class Call:
    """One request on its way through. `id` is empty until it is admitted.

    `arrival` and `deadline` in `time.monotonic()` seconds, `at_ns` on the wall clock, `stake` in alpha,
    `size` of the body in bytes, `sha256` of the first view; `label` and `timeout` as the body has them.
    """

    address: str
    arrival: float
    at_ns: int
    id: str = ""
    claim: Claim | None = None
    stake: float = 0.0
    deadline: float = 0.0
    size: int = 0
    sha256: str = ""
    label: int = -1
    timeout: float = synapse.TIMEOUT_S
    views: tuple[bytes, ...] = ()
    verdict: Verdict | None = None
    ms: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def admitted(self) -> bool:
        return bool(self.id)

    def exchange(self, hotkey: str, status: int, outcome: str, now: float) -> Exchange:
        """The record of an admitted call, once the answer is out."""
        assert self.claim is not None
        verdict = self.verdict if outcome in ("answered", "late") else None
        notes = (*self.notes, f"testnet_label:{self.label}") if self.label >= 0 else self.notes
        self.ms["total"] = (now - self.arrival) * 1e3
        made = Exchange(
            id=self.id,
            at_ns=self.at_ns,
            hotkey=hotkey,
            caller=self.claim.hotkey,
            address=self.address,
            client_version=self.claim.version,
            status=status,
            outcome=outcome,
            size=self.size,
            sha256=self.sha256,
            ms=self.ms,
            margin_s=self.deadline - now,
            notes=notes,
        )
        if verdict is not None:
            _judged(made, verdict)
        return made


def _judged(made: Exchange, verdict: Verdict) -> None:
    """Add what the verdict says."""
    made.prediction = float(verdict.prediction)
    made.log_odds = verdict.log_odds
    made.certified = verdict.certified
    made.path = verdict.path
    made.versions = verdict.versions
    made.ms = {**verdict.ms, **made.ms}
    if verdict.notes:
        made.notes = (*made.notes, *verdict.notes)
        made.kept_tokens = spent.total(verdict.notes, spent.KEPT)
        made.kv_bytes = spent.total(verdict.notes, spent.STORED)
