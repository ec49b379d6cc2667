"""Which versions serve, and which were found wanting: one small file that is replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from miner.registry.atomic import write

NAME = "registry.json"


class StateDamaged(ValueError):
    """The file is there and says nothing sensible."""


@dataclass(frozen=True, slots=True)
class Pointers:
    """Versions of one tier; None is the one that the settings name.

    `champion`    in service; `previous` what served before; `challenger` being tried, or waiting to be.
    `changes`     how often the champion changed: without one there is nothing to go back to.
    `tries`       how often the challenger was tried, and no fault was found with it."""

    champion: str | None = None
    challenger: str | None = None
    previous: str | None = None
    changes: int = 0
    tries: int = 0

    def promoted(self, version: str | None) -> Pointers:
        return Pointers(version, None, self.champion, self.changes + 1)


@dataclass(frozen=True, slots=True)
class Quarantine:
    """`why` in a sentence; `at_ns` wall clock."""

    why: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What lay at a place, by its `identity`: the `version` that it became, or `why` it was not let in."""

    identity: str
    version: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """`pointers` by tier; `quarantine` by tier and version; `seen` by place."""

    pointers: Mapping[str, Pointers] = field(default_factory=dict)
    quarantine: Mapping[str, Mapping[str, Quarantine]] = field(default_factory=dict)
    seen: Mapping[str, Seen] = field(default_factory=dict)

    def of(self, tier: str) -> Pointers:
        return self.pointers.get(tier, Pointers())

    def pointing(self, tier: str, pointers: Pointers) -> Self:
        return replace(self, pointers={**self.pointers, tier: pointers})

    def quarantined(self, tier: str, version: str, found: Quarantine | None) -> Self:
        """With a reason, or (None) without one any more."""
        kept = {name: one for name, one in self.quarantine.get(tier, {}).items() if name != version}
        return replace(
            self, quarantine={**self.quarantine, tier: {**kept, **({version: found} if found else {})}}
        )

    def having_seen(self, places: Mapping[str, Seen]) -> Self:
        return replace(self, seen=dict(places))


def read(folder: Path) -> State:
    """Of a registry's folder; a new one has an empty state. Raises StateDamaged or OSError."""
    path = folder / NAME
    if not path.exists():
        return State()
    try:
        return _state(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateDamaged(f"{path} is damaged: {error}") from error


def save(folder: Path, state: State) -> None:
    """Raises OSError; the old state then stands."""
    write(folder / NAME, json.dumps(asdict(state), indent=1).encode())


def _state(data: Mapping[str, Any]) -> State:
    return State(
        pointers={tier: Pointers(**one) for tier, one in data["pointers"].items()},
        quarantine={
            tier: {version: Quarantine(**one) for version, one in found.items()}
            for tier, found in data["quarantine"].items()
        },
        seen={place: Seen(**one) for place, one in data["seen"].items()},
    )
