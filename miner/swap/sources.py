"""Where new versions come from: a watched folder, `FOLDER/<tier>/<any name>/`, and a hub repository."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from loguru import logger

from miner.registry import Refused, Registry, Seen

SETTLE_S = 2.0
"""A folder in which nothing changed for this long is no longer being copied."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A version that was not there before."""

    tier: str
    version: str


class Source(Protocol):
    """`look` blocks; it raises nothing that a later look might not cure."""

    def look(self) -> list[Arrival]: ...


class FolderSource:
    """`tiers` whose folders are looked into; `settle` waits between two looks at the same files."""

    def __init__(
        self, folder: Path, registry: Registry, tiers: Iterable[str], *, settle: Callable[[], None]
    ) -> None:
        self.folder = folder
        self._registry = registry
        self._tiers = tuple(tiers)
        self._settle = settle

    def look(self) -> list[Arrival]:
        """Take in what is new. What is refused is said once, and looked at again when it changes."""
        there = {str(path): path for tier in self._tiers for path in _folders(self.folder / tier)}
        self._registry.forget(place for place in self._registry.seen() if self._gone(place, there))
        new = {place: identity(path) for place, path in there.items() if self._is_new(place, path)}
        if not new:
            return []
        self._settle()
        calm = [there[place] for place, before in new.items() if identity(there[place]) == before]
        return [found for path in calm if (found := self._take(path)) is not None]

    def _gone(self, place: str, there: Mapping[str, Path]) -> bool:
        return Path(place).is_relative_to(self.folder) and place not in there

    def _is_new(self, place: str, path: Path) -> bool:
        seen = self._registry.seen().get(place)
        return seen is None or seen.identity != identity(path)

    def _take(self, path: Path) -> Arrival | None:
        tier = path.parent.name
        return take(self._registry, tier, path, str(path), identity(path), {"source": f"folder {path.name}"})


class Hub(Protocol):
    """A repository of models elsewhere. Both raise OSError when it cannot be reached."""

    def revision(self) -> str:
        """The commit that it points at now."""
        ...

    def fetch(self, revision: str, folder: Path) -> None:
        """Put the files of a commit into an empty folder."""
        ...


class HubSource:
    """One repository with versions of one tier. `scratch` makes a folder for a fetch, and removes it."""

    def __init__(
        self, name: str, tier: str, hub: Hub, registry: Registry, scratch: Callable[[], Any]
    ) -> None:
        self._name = name
        self._tier = tier
        self._hub = hub
        self._registry = registry
        self._scratch = scratch

    def look(self) -> list[Arrival]:
        """Take in the repository's newest commit, once. Hubs that are away are asked again next time."""
        place = f"hub {self._name}"
        try:
            revision = self._hub.revision()
            seen = self._registry.seen().get(place)
            if seen is not None and seen.identity == revision:
                return []
            with self._scratch() as folder:
                self._hub.fetch(revision, folder)
                facts = {"source": place, "revision": revision}
                found = take(self._registry, self._tier, folder, place, revision, facts)
        except OSError as error:
            logger.warning("{} cannot be asked for models: {}", place, error)
            return []
        return [found] if found else []


def take(
    registry: Registry, tier: str, folder: Path, place: str, identity: str, facts: Mapping[str, Any]
) -> Arrival | None:
    """Let it in and remember that; None for what is refused, or known already."""
    before = {one.name for one in registry.versions(tier)}
    try:
        version = registry.add(tier, folder, facts)
    except Refused as refused:
        logger.error("{} is not taken in as {}: {}", place, tier, refused)
        registry.look(place, Seen(identity, None, str(refused)))
        return None
    registry.look(place, Seen(identity, version))
    if version in before:
        return None
    logger.info("{} is version {} of {}", place, version, tier)
    return Arrival(tier, version)


def identity(folder: Path) -> str:
    """Of what lies in a folder: names, sizes and times, not contents."""
    rows = []
    with suppress(OSError):  # it may be going away just now
        for path in sorted(folder.iterdir()):
            about = path.lstat()
            rows.append((path.name, about.st_size, about.st_mtime_ns, about.st_mode))
    return sha256(json.dumps(rows).encode()).hexdigest()


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


async def changes(folder: Path) -> AsyncIterator[None]:
    """Whenever something has changed in `folder`, at most every half second."""
    from watchfiles import awatch

    async for _ in awatch(folder, debounce=500, recursive=True):
        yield
