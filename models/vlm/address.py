"""Where a server is, how it is spoken to, and how it has been lately."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.vlm.secret import Secret, redact


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how it is spoken to.

    `url`          root of its HTTP API, with or without "/v1".
    `model`        the name it serves the model by. SGLang answers for any name, so the name is looked up.
    `dialect`      "sglang" takes our request id and `/abort_request`; "openai" is everybody else, to whom
                   hanging up is the abort.
    `slots`        most requests at a time: at most the server's own limit of running requests.
    `key`          sent as a bearer token.
    `tries`        most times one question is asked; 1 where each costs money.
    `check_model`  whether the name is looked up in `/v1/models`; `check_s` seconds between two look-ups.
    `spare_s`      kept back from a deadline, so that "absent" arrives before it.
    `proxies`      whether the environment's proxies apply; never for pictures to our own servers.
    """

    url: str
    model: str
    dialect: Literal["sglang", "openai"] = "sglang"
    slots: int = 16
    key: Secret | None = None
    tries: int = 3
    check_model: bool = True
    check_s: float = 30.0
    connect_s: float = 2.0
    spare_s: float = 0.02
    proxies: bool = False

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"a server's address starts with http:// or https://, not {redact(self.url)!r}")
        if self.slots < 1 or self.tries < 1:
            raise ValueError("a server has at least one slot and one try")

    @property
    def root(self) -> str:
        return self.url.rstrip("/").removesuffix("/v1")


@dataclass(frozen=True, slots=True)
class Status:
    """A look at a server: `typical_ms` recent latency; `absent` reason -> how often since the start;
    `reason` of the last absence; `worked_s` monotonic seconds of the last answer."""

    url: str
    model: str
    running: int
    waiting: int
    answered: int
    typical_ms: float
    down: bool
    reason: str
    worked_s: float | None
    absent: Mapping[str, int]
