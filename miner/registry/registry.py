"""Every version of every tier, and which of them serves. Methods block on the disk; any thread may call
them."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loguru import logger

from miner.registry import door, manifest, state
from miner.registry.atomic import sync, write
from miner.registry.door import Refused
from miner.registry.manifest import Manifest
from miner.registry.state import Pointers, Quarantine, Seen, State, StateDamaged

MODELS = "models"
"""The registry's folder inside the data folder."""
TRAINED = "trained.json"
_INCOMING = ".incoming-"
_TIER = re.compile(r"[a-z][a-z0-9_]{0,40}")
_VERSION = re.compile(r"[0-9a-z][0-9a-z_.-]{0,63}")


class NoSuchVersion(ValueError):
    """The message names those that there are."""


@dataclass(frozen=True, slots=True)
class Version:
    """One on disk: its manifest, and why it may not serve (None: it may)."""

    manifest: Manifest
    quarantined: str | None = None

    @property
    def name(self) -> str:
        return self.manifest.version


class Registry:
    """`folder` is made when something first comes in. A damaged state file is set aside: the settings' models
    then serve."""

    def __init__(self, folder: Path, *, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self.folder = Path(folder)
        self._clock_ns = clock_ns
        self._lock = threading.RLock()
        self._state = self._opened()

    # What there is

    def tiers(self) -> tuple[str, ...]:
        """Those that have or had a version here."""
        found = {path.name for path in self._folders(self.folder) if _TIER.fullmatch(path.name)}
        return tuple(sorted(found | set(self._state.pointers)))

    def versions(self, tier: str) -> list[Version]:
        """Newest first. A folder without a readable manifest is none."""
        folder = self._tier(tier)
        found = [self._read(path) for path in self._folders(folder)]
        bad = self._state.quarantine.get(tier, {})
        known = [
            Version(each, bad[each.version].why if each.version in bad else None) for each in found if each
        ]
        return sorted(known, key=lambda one: (one.manifest.created, one.name), reverse=True)

    def version(self, tier: str, name: str) -> Version:
        """Raises NoSuchVersion."""
        there = self.versions(tier)
        for one in there:
            if one.name == name:
                return one
        names = ", ".join(one.name for one in there) or "none at all"
        raise NoSuchVersion(f"{tier} has no version {name!r}; there is {names}")

    def pointers(self, tier: str) -> Pointers:
        return self._state.of(tier)

    def quarantine_of(self, tier: str) -> Mapping[str, Quarantine]:
        """Version -> why it may not serve; also of versions that are no longer on disk."""
        return self._state.quarantine.get(tier, {})

    def seen(self) -> Mapping[str, Seen]:
        """What lay where models come from, by place."""
        return self._state.seen

    def trained(self, tier: str, name: str) -> frozenset[str]:
        """SHA-256 of the labelled pictures that it was trained on, which its folder may list: a comparison on
        them would flatter it. Raises NoSuchVersion, or Refused when the list is none."""
        path = self.path(tier, name) / TRAINED
        if name not in {one.name for one in self.versions(tier)} or not path.is_file():
            return frozenset()
        try:
            return frozenset(map(str, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise Refused(f"{TRAINED} is no list of SHA-256: {error}") from error

    def taught(self) -> set[str]:
        """SHA-256 of the labelled pictures that a champion of any tier was trained on. Raises Refused."""
        champions = ((tier, self.pointers(tier).champion) for tier in self.tiers())
        return set().union(*(self.trained(tier, name) for tier, name in champions if name is not None))

    def path(self, tier: str, name: str) -> Path:
        if not _VERSION.fullmatch(name):
            raise NoSuchVersion(f"{name!r} is not the name of a version")
        return self._tier(tier) / name

    def spec(self, tier: str, name: str) -> dict[str, Any]:
        """How the engine loads it: {"kind", "path", ...options}. Raises NoSuchVersion."""
        options = self.version(tier, name).manifest.facts.options
        return {**options, "kind": tier, "path": str(self.path(tier, name).absolute())}

    def verify(self, tier: str, name: str) -> None:
        """Raises Refused when its files are not those of its manifest any more, NoSuchVersion without it."""
        found = self.version(tier, name).manifest
        folder = self.path(tier, name)
        try:
            there = {path.name: door.digest(path) for path in folder.iterdir() if path.name != manifest.NAME}
        except OSError as error:
            raise Refused(f"{folder.name} cannot be read: {error.strerror or error}") from error
        door.compare(found.files, there)

    # What changes it

    def add(self, tier: str, source: Path, facts: Mapping[str, Any] | None = None) -> str:
        """Let a model in; the name of its version. `facts` see `manifest.Facts`; they come before those of
        the source's own manifest. The same model again is the same version. Raises Refused, also for one
        that is quarantined."""
        with self._incoming(tier) as incoming:
            told, promised = manifest.brought(source)
            hashes = door.take_in(source, incoming)
            hashes.pop(manifest.NAME, None)
            if promised is not None:
                door.compare(promised, hashes)
            known = replace(told, **{**_given(manifest.facts(facts or {}))})
            name = manifest.name_of(hashes, known.options)
            if (bad := self.quarantine_of(tier).get(name)) is not None:
                raise Refused(f"{tier} {name} is quarantined: {bad.why}")
            described = Manifest(tier, name, self._clock_ns(), hashes, known)
            write(incoming / manifest.NAME, json.dumps(described.to_json(), indent=1).encode())
            self._settle(incoming, self.path(tier, name))
        return name

    def challenge(self, tier: str, name: str | None) -> None:
        """Note which version is to be tried, or is being (None: none any more)."""

        def noted(old: State) -> State:
            mine = old.of(tier)
            tries = mine.tries if mine.challenger == name else 0
            return old.pointing(tier, replace(mine, challenger=name, tries=tries))

        self._change(noted)

    def postpone(self, tier: str) -> int:
        """The challenger goes on waiting; how often it was tried by now."""
        mine = self.pointers(tier)
        pointers = replace(mine, tries=mine.tries + 1)
        self._change(lambda old: old.pointing(tier, pointers))
        return pointers.tries

    def promote(self, tier: str, name: str | None) -> Pointers:
        """It serves from now on (None: what the settings name), and is no longer quarantined. Raises
        NoSuchVersion, or OSError when the disk refuses: nothing has changed then."""
        if name is not None:
            self.version(tier, name)

        def promoted(old: State) -> State:
            free = old.quarantined(tier, name, None) if name else old
            return free.pointing(tier, old.of(tier).promoted(name))

        return self._change(promoted).of(tier)

    def rollback(self, tier: str) -> Pointers:
        """The previous one serves again. Raises ValueError when there is none."""
        return self.promote(tier, self.before(tier))

    def before(self, tier: str) -> str | None:
        """Whom a rollback would bring back (None: what the settings name). Raises ValueError."""
        pointers = self.pointers(tier)
        if not pointers.changes:
            raise ValueError(f"{tier} has always been what the settings name: there is nothing to go back to")
        return pointers.previous

    def give_way(self, tier: str, why: str) -> str | None:
        """The champion cannot serve: it is quarantined, and the previous one, if that is not, serves again,
        else what the settings name (None). Raises OSError."""
        wrong, previous = self.pointers(tier).champion, self.pointers(tier).previous
        chosen = None if previous in self.quarantine_of(tier) else previous
        self.promote(tier, chosen)
        if wrong is not None:
            self.quarantine(tier, wrong, why)
        return chosen

    def quarantine(self, tier: str, name: str, why: str) -> None:
        """It is not tried again by itself; the operator may force it."""
        found = Quarantine(why, self._clock_ns())

        def shut(old: State) -> State:
            mine = old.of(tier)
            freed = replace(mine, challenger=None, tries=0) if mine.challenger == name else mine
            return old.quarantined(tier, name, found).pointing(tier, freed)

        self._change(shut)

    def look(self, place: str, seen: Seen) -> None:
        """Remember what became of what lies at a place, so that nobody looks again until it changes."""
        self._change(lambda old: old.having_seen({**old.seen, place: seen}))

    def forget(self, places: Iterable[str]) -> None:
        """Nothing lies there any more."""
        gone = set(places)
        if gone & set(self._state.seen):
            kept = {place: one for place, one in self._state.seen.items() if place not in gone}
            self._change(lambda old: old.having_seen(kept))

    def prune(self, tier: str, keep: int) -> list[str]:
        """Delete the oldest versions beyond `keep`, never one that is pointed at; their names."""
        pointers = self.pointers(tier)
        held = {pointers.champion, pointers.challenger, pointers.previous}
        free = [one.name for one in self.versions(tier) if one.name not in held]
        for name in free[keep:]:
            shutil.rmtree(self.path(tier, name), ignore_errors=True)
        return free[keep:]

    def sweep(self) -> None:
        """Remove what a crash left half copied. Only for the one process that holds the data folder."""
        for path in self._folders(self.folder, hidden=True):
            if path.name.startswith(_INCOMING):
                shutil.rmtree(path, ignore_errors=True)

    # Inside

    def _opened(self) -> State:
        try:
            return state.read(self.folder)
        except (StateDamaged, OSError) as error:
            logger.critical("{}: the settings' models serve until one is promoted anew", error)
            return State()

    def _change(self, change: Callable[[State], State]) -> State:
        with self._lock:
            new = change(self._state)
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            state.save(self.folder, new)
            self._state = new
            return new

    @contextmanager
    def _incoming(self, tier: str) -> Iterator[Path]:
        self._tier(tier)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.folder))
        try:
            yield incoming
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def _settle(self, incoming: Path, target: Path) -> None:
        target.parent.mkdir(exist_ok=True)
        sync(incoming)
        with self._lock:
            if not target.exists():
                incoming.rename(target)
                sync(target.parent)

    def _tier(self, tier: str) -> Path:
        if not _TIER.fullmatch(tier):
            raise NoSuchVersion(f"{tier!r} is not the name of a tier")
        return self.folder / tier

    def _folders(self, folder: Path, hidden: bool = False) -> list[Path]:
        if not folder.is_dir():
            return []
        return [path for path in folder.iterdir() if path.is_dir() and (path.name[0] == ".") == hidden]

    def _read(self, folder: Path) -> Manifest | None:
        try:
            found = Manifest.from_json(json.loads((folder / manifest.NAME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning("{} is no version of a model: {}", folder, error)
            return None
        return found if found.version == folder.name else None


def _given(facts: manifest.Facts) -> dict[str, Any]:
    """What was said, of all that can be said."""
    return {name: value for name in facts.__dataclass_fields__ if (value := getattr(facts, name))}
