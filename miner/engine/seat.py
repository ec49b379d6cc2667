"""A place for an engine child: who sits there, and how that has gone so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from miner.engine.config import EngineConfig
from miner.engine.failover import Breaker
from miner.engine.interface import SeatRow
from miner.engine.process import COMMAND, Child


@dataclass(slots=True, eq=False)
class Seat:
    """A place for a child, started by `command`. `detail` says why nobody useful sits there; `spawned` how
    many did so far."""

    name: str
    config: EngineConfig
    command: Sequence[str] = COMMAND
    child: Child | None = None
    suspected: bool = False
    spawned: int = 0
    detail: str = ""
    breaker: Breaker = field(default_factory=Breaker)

    @property
    def usable(self) -> bool:
        return self.child is not None and self.child.ready and not self.suspected

    @property
    def rank(self) -> int:
        return 1 if self.child is None or self.child.device == "cpu" else 0

    @property
    def restarts(self) -> int:
        return max(0, self.spawned - 1)

    def row(self, serving: bool) -> SeatRow:
        child = self.child
        return SeatRow(
            name=self.name,
            state=self._state(serving),
            device=child.device if child else self.config.device,
            pid=child.pid if child else None,
            restarts=self.restarts,
            detail=self.detail,
        )

    def _state(self, serving: bool) -> str:
        if self.child is None:
            return "crash_loop" if self.breaker.open else "backoff" if self.spawned else "waiting"
        if not self.child.ready:
            return "loading"
        return "suspected" if self.suspected else "serving" if serving else "ready"
