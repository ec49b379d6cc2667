"""What the front writes down about each challenge: one record, handed over after the answer is out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from models.core import Verdict


@dataclass(slots=True)
class Exchange:
    """One admitted challenge and what became of it.

    `at_ns`     wall clock at arrival, nanoseconds since 1970.
    `hotkey`    ours; `caller` the verified caller; `address` its IP; `client_version` of its SDK, as it says.
    `status`    HTTP status sent; `outcome` "answered", "shed", "unavailable", "bad_request", "bad_image",
                "late" (answered past its deadline), "gone" or "error".
    `sha256`    of the first view's bytes, hex ("" without a readable image); `size` of the body in bytes.
    All numbers are finite. `prediction` is None unless answered. `ms` stage -> milliseconds. `margin_s`
    seconds left at the answer. `kept_tokens` visual tokens that compressing VLM members read to the end and
    `kv_bytes` their caches held, of all of them; None where there was no such member.

    Nobody changes one that was handed over; it is not frozen, since that takes five times as long to make.
    """

    id: str
    at_ns: int
    hotkey: str
    caller: str
    address: str
    client_version: str
    status: int
    outcome: str
    size: int = 0
    sha256: str = ""
    prediction: float | None = None
    log_odds: float | None = None
    certified: bool = False
    path: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    ms: Mapping[str, float] = field(default_factory=dict)
    margin_s: float | None = None
    notes: tuple[str, ...] = ()
    kept_tokens: int | None = None
    kv_bytes: int | None = None


Record = Callable[[Exchange], None]
"""Takes an exchange without blocking and without raising."""

Keep: TypeAlias = "Callable[[Exchange, Sequence[bytes], Verdict], None]"
"""Takes an answered exchange with the pictures it was about, without blocking and without raising."""

Refusal = Callable[[int, str], None]
"""Counts a request refused at the door: HTTP status and a reason from a small fixed set. Without blocking."""
