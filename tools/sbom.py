"""What the miner is built of: every distribution it needs, with version and licence, as CycloneDX 1.6.

Read from the metadata of what is installed, so that it says what runs here and not what could.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "streetvision-miner"
LEFT_OUT = ("yolo",)
"""Extras that are not ours to answer for: what an operator installs on his own (AGPL)."""
FORBIDDEN = re.compile(r"\b(A?GPL|GNU (Affero )?General Public)", re.IGNORECASE)
ALLOWED = re.compile(r"\b(LGPL|Lesser General Public)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One installed distribution. `licence` as its metadata says it, empty where it does not."""

    name: str
    version: str
    licence: str
    needs: tuple[str, ...]

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"

    @property
    def forbidden(self) -> bool:
        """Whether it may not be part of this project: GPL or AGPL, without another licence to choose."""
        choices = re.split(r"\s+OR\s+|;", self.licence)
        return all(FORBIDDEN.search(one) and not ALLOWED.search(one) for one in choices)


def parts(project: str = PROJECT, extras: Iterable[str] = ()) -> list[Part]:
    """The project's installed dependencies, with theirs, by name; what is not installed is not looked at."""
    found: dict[str, Part] = {}
    waiting = deque([(project, tuple(extras))])
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        name, wanted = each = waiting.popleft()
        if each in seen:
            continue
        seen.add(each)
        try:
            part = _part(name, wanted)
        except metadata.PackageNotFoundError:
            continue
        known = found.get(part.name)
        needs = tuple(sorted({*part.needs, *(known.needs if known else ())}))
        found[part.name] = Part(part.name, part.version, part.licence, needs)
        waiting.extend(_needed(name, wanted))
    return sorted(found.values(), key=lambda part: part.name)


def extras_of(project: str = PROJECT) -> list[str]:
    """The project's extras but those that it does not answer for."""
    named = metadata.metadata(project).get_all("Provides-Extra") or []
    return [extra for extra in named if extra not in LEFT_OUT]


def _part(name: str, extras: tuple[str, ...]) -> Part:
    about = metadata.distribution(name)
    needs = tuple(sorted({canonicalize_name(each) for each, _ in _needed(name, extras)}))
    return Part(canonicalize_name(about.metadata["Name"]), about.version, licence(about), needs)


def _needed(name: str, extras: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """(distribution, its extras) of what a distribution needs on this machine."""
    needed: list[tuple[str, tuple[str, ...]]] = []
    for text in metadata.requires(name) or []:
        wanted = Requirement(text)
        environments: list[dict[str, str]] = [{"extra": extra} for extra in ("", *extras)]
        if wanted.marker is None or any(wanted.marker.evaluate(each) for each in environments):
            needed.append((canonicalize_name(wanted.name), tuple(sorted(wanted.extras))))
    return needed


def licence(about: metadata.Distribution) -> str:
    """An SPDX expression, or else what the classifiers say, or else the first line of the text."""
    told = about.metadata
    if expression := _told(told, "License-Expression"):
        return str(expression)
    classified = [
        each.rpartition(" :: ")[2] for each in told.get_all("Classifier") or [] if "License ::" in each
    ]
    if classified := [each for each in classified if each != "OSI Approved"]:
        return "; ".join(classified)
    line = _told(told, "License").strip().partition("\n")[0]
    return str(line)


def _told(about: metadata.PackageMetadata, field: str) -> str:
    return str((about.get_all(field) or [""])[0])


def document(found: Iterable[Part], version: str) -> dict[str, Any]:
    """CycloneDX 1.6. No time and no serial number in it: the same parts give the same document."""
    found = list(found)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _component(Part(PROJECT, version, "MIT", ()), "application")},
        "components": [_component(part, "library") for part in found if part.name != PROJECT],
        "dependencies": _dependencies(found),
    }


def _component(part: Part, kind: str) -> dict[str, Any]:
    told = {"licenses": [{"license": {"name": part.licence}}]} if part.licence else {}
    return {
        "type": kind,
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "purl": part.purl,
        **told,
    }


def _dependencies(found: list[Part]) -> list[dict[str, Any]]:
    refs = {part.name: part.purl for part in found}
    return [
        {"ref": part.purl, "dependsOn": [refs[need] for need in part.needs if need in refs]} for part in found
    ]
