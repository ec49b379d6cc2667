"""One HTTP request on its way through the endpoint, and what is written down about it afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from miner.records import Exchange
from miner.wire import synapse
from miner.wire.auth import Claim, Incoming
from models.compress import spent
from models.core import Verdict

PEER = "streetvision.peer"
"""Name in `scope["extensions"]` under which the server passes the connection's `Peer`."""


class Peer(Protocol):
    """What the endpoint and the server tell each other about one connection."""

    @property
    def gone(self) -> bool:
        """Whether the client has closed it."""
        ...

    @property
    def whole(self) -> bool:
        """Whether all of the request being answered is there: nothing of it needs to be waited for."""
        ...

    def prove(self) -> None:
        """It has carried a request whose signature verified."""
        ...


@dataclass(slots=True)
class Call:
    """One HTTP request on its way through. `id` is empty until it is admitted.

    `arrival` and `deadline` in `time.monotonic()` seconds, `at_ns` on the wall clock, `stake` in alpha.
    """

    incoming: Incoming
    address: str
    peer: Peer | None
    arrival: float
    at_ns: int
    id: str = ""
    claim: Claim | None = None
    stake: float = 0.0
    deadline: float = 0.0
    fields: dict[str, Any] = field(default_factory=dict)
    views: tuple[bytes, ...] = ()
    verdict: Verdict | None = None
    ms: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def admitted(self) -> bool:
        return bool(self.id)

    def mark(self, stage: str, seconds: float) -> None:
        """Note how long a stage took."""
        self.ms[stage] = seconds * 1000.0

    def exchange(self, hotkey: str, status: int, outcome: str, now: float) -> Exchange:
        """The record of an admitted call. Hashes the first view: call it when the answer is out."""
        assert self.claim is not None
        verdict = self.verdict if outcome in ("answered", "late") else None
        self.mark("total", now - self.arrival)
        label = synapse.testnet_label(self.fields)
        notes = (*self.notes, f"testnet_label:{label}") if label >= 0 else self.notes
        common: dict[str, Any] = {
            "id": self.id,
            "at_ns": self.at_ns,
            "hotkey": hotkey,
            "caller": self.claim.hotkey,
            "address": self.address,
            "client_version": self.claim.version,
            "status": status,
            "outcome": outcome,
            "size": len(self.incoming.body or b""),
            "sha256": hashlib.sha256(self.views[0]).hexdigest() if self.views else "",
            "margin_s": self.deadline - now,
        }
        if verdict is None:
            return Exchange(**common, ms=self.ms, notes=notes)
        return Exchange(
            **common,
            prediction=float(verdict.prediction),
            log_odds=verdict.log_odds,
            certified=verdict.certified,
            path=verdict.path,
            versions=verdict.versions,
            ms={**verdict.ms, **self.ms},
            notes=(*notes, *verdict.notes),
            kept_tokens=spent.total(verdict.notes, spent.KEPT),
            kv_bytes=spent.total(verdict.notes, spent.STORED),
        )
