"""The operating point: everything whose change voids a certificate, named and hashed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class Member:
    """One tier as it is certified. All text, compared as it stands.

    `name` the tier's; `version` what it puts into its evidence, a hash of its weights;
    `precision` e.g. "bf16"; `resolution` e.g. "224x224"; `prompt` and `calibration` hashes, "" where there
    is none.
    """

    name: str
    version: str
    precision: str = ""
    resolution: str = ""
    prompt: str = ""
    calibration: str = ""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A named configuration of the cascade: `members` in the order they are asked, `fusion` its hash."""

    name: str
    members: tuple[Member, ...]
    fusion: str = "sum"

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"members of an operating point have names of their own, not {names}")

    @property
    def hash(self) -> str:
        """sha256 of the canonical JSON, in hex. The name counts too."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return sha256(text.encode()).hexdigest()

    def difference(self, other: OperatingPoint) -> str | None:
        """The first thing in which `other` is not this one, as a sentence; None when equal."""
        if self.name != other.name:
            return f"it is for the operating point {self.name!r}, not {other.name!r}"
        mine, theirs = ([member.name for member in point.members] for point in (self, other))
        if mine != theirs:
            return f"its members are {', '.join(mine)}, not {', '.join(theirs)}"
        for ours, now in zip(self.members, other.members, strict=True):
            for field in fields(Member):
                was, is_now = getattr(ours, field.name), getattr(now, field.name)
                if was != is_now:
                    return f"{ours.name}: {field.name} was {was or 'none'}, now {is_now or 'none'}"
        return f"fusion was {self.fusion}, now {other.fusion}" if self.fusion != other.fusion else None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> OperatingPoint:
        """The inverse of `dataclasses.asdict`."""
        return cls(data["name"], tuple(Member(**member) for member in data["members"]), data["fusion"])
