"""What of this host may be used: a container's limits are no part of what the system and libraries count.

Limits are read from Linux' control groups of version 2, those of all groups that this process is in; where
there are none, nothing is limited.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

OWN, GROUPS, MEMORY = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"), Path("/proc/meminfo")


def cores(own: Path = OWN, groups: Path = GROUPS) -> int | None:
    """Cores' worth of time that may be spent; None where that is as much as the cores there are."""
    shares = [int(quota) / int(period) for quota, period in _said(own, groups, "cpu.max") if quota != "max"]
    few = max(1, round(min(shares))) if shares else None
    return few if few is not None and few < len(os.sched_getaffinity(0)) else None


def free_bytes(own: Path = OWN, groups: Path = GROUPS, memory: Path = MEMORY) -> int | None:
    """Memory that a new process could have, as Linux estimates it, and as far as the limits leave it; None
    when the system does not tell."""
    if not memory.exists():
        return None
    found = [int(words[1]) * 1024 for words in _words(memory) if words[0] == "MemAvailable:"]
    found += [left for group in _groups(own, groups) if (left := _left(group)) is not None]
    return min(found, default=None)


def _left(group: Path) -> int | None:
    """Of its memory, where files that were read and are kept for the next time give way."""
    try:
        most = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
        kept = sum(int(words[1]) for words in _words(group / "memory.stat") if words[0] == "inactive_file")
    except OSError:  # the root has none, and not every group has this controller
        return None
    return None if most == "max" else max(0, int(most) - used + kept)


def _said(own: Path, groups: Path, name: str) -> Iterator[list[str]]:
    for group in _groups(own, groups):
        with suppress(OSError):  # as above
            yield from _words(group / name)


def _groups(own: Path, groups: Path) -> Iterator[Path]:
    """Folders of the group that this process is in, and of those around it."""
    if not own.exists():
        return
    for line in own.read_text().splitlines():
        if line.startswith("0::"):
            group = groups / line.removeprefix("0::").strip("/")
            yield from (each for each in (group, *group.parents) if each.is_relative_to(groups))


def _words(file: Path) -> list[list[str]]:
    return [words for line in file.read_text().splitlines() if (words := line.split())]
