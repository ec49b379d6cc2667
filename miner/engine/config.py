"""What a judge needs to know, as plain data: it crosses the border to the child as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from models.description import Description
from models.imaging.header import Limits


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """`cascade` its members (see `tiers.FACTORIES`) and what decides; `device` auto, cpu, cuda or cuda:N.

    `limits` of an image; `most` images in a micro-batch; `queue` most images admitted and not answered;
    `held_bytes` most image bytes of the same; `threads` of a CPU model (0: all cores); `decoders` decoding
    threads; `heartbeat_s` between two heartbeats; `hang_s` of silence, or of a batch beyond what it should
    take, that kill a child; `standby` whether a second, idle child is kept ready on the CPU, as far as
    memory allows; `p95_ms` to hold, and `budget_ms` of members' compute a second, by asking fewer members
    and showing them less (both None: everybody is asked under any load);
    `gentle` whether a first child loads behind everybody else who wants the CPU: another one serves;
    `golden` whether a child is ready only once its members have judged `miner.engine.golden`;
    `cluster` address of a Ray cluster (`miner.engine.ray`; "": none), `app` what it calls our application,
    `replicas` how many there are at least and at most."""

    cascade: Description
    device: str = "auto"
    limits: Limits = field(default_factory=lambda: Limits(4 * 2**20, 25_000_000))
    most: int = 16
    queue: int = 512
    held_bytes: int = 256 * 2**20
    threads: int = 0
    decoders: int = 2
    heartbeat_s: float = 1.0
    hang_s: float = 15.0
    standby: bool = True
    p95_ms: float | None = None
    budget_ms: float | None = None
    gentle: bool = False
    golden: bool = False
    cluster: str = ""
    app: str = ""
    replicas: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if not self.cascade.tiers:
            raise ValueError("an engine needs at least one tier")

    @property
    def slots(self) -> int:
        """Of the black box: one per decoding thread, then a batch per tier."""
        return self.decoders + self.most * len(self.cascade.tiers)

    def on(self, device: str) -> EngineConfig:
        return replace(self, device=device)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "cascade": self.cascade.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EngineConfig:
        cascade = Description(**{**data["cascade"], "tiers": tuple(data["cascade"]["tiers"])})
        limits, replicas = Limits(**data["limits"]), tuple(data["replicas"])
        return cls(**{**data, "cascade": cascade, "limits": limits, "replicas": replicas})
