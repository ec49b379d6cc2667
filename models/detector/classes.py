"""Which of a detector's own classes speak for works."""

from __future__ import annotations

from collections.abc import Sequence

from models.checkpoint import CheckpointError

HINTS = ("cone", "drum", "barrel", "barricade", "barrier", "work", "construction", "excavator", "arrow board",
         "channelizer", "tubular", "delineator", "taper", "ttc")  # fmt: skip
"""A closed-set detector's classes are watched if their label contains one of these, in any case."""


def watch(known: Sequence[str], labels: Sequence[str] | None) -> list[str]:
    """Those of the network's classes whose evidence counts, in the network's order. Raises CheckpointError
    listing the classes when none of them does or one that is asked for is not there."""
    if labels is None:
        found = [each for each in known if any(hint in each.casefold() for hint in HINTS)]
        if not found:
            raise CheckpointError(f"no class looks like works; name them by labels, out of: {_shown(known)}")
        return found
    wanted = {label.casefold() for label in labels}
    if missing := sorted(wanted - {each.casefold() for each in known}):
        raise CheckpointError(f"no class is called {', '.join(missing)}; the classes are: {_shown(known)}")
    if not wanted:
        raise CheckpointError("labels is empty: a detector that watches nothing says nothing")
    return [each for each in known if each.casefold() in wanted]


def _shown(names: Sequence[str], most: int = 30) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
