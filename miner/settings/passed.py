"""Settings among other arguments: a command with words of its own takes the daemon's flags anywhere."""

from __future__ import annotations

from collections.abc import Sequence

from miner.settings.fields import options
from miner.settings.reference import FLAGS, SHORT

TRUTHS = frozenset({"true", "false", "yes", "no", "on", "off", "0", "1"})


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the flags that `load` knows, with their values; everything else). After "--" nothing is ours."""
    ours: list[str] = []
    rest: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            return ours, [*rest, word, *words]
        kind = _kind(word)
        if kind is None:
            rest.append(word)
            continue
        ours.append(word)
        if "=" not in word and words and _is_value(kind, words[0]):
            ours.append(words.pop(0))
    return ours, rest


def _kind(word: str) -> str | None:
    """Which flag of a setting a word is: "bool", "value", "no" (takes none); None when it is none."""
    if not word.startswith("--"):
        return None
    name = word[2:].partition("=")[0].replace("-", "_")
    name = SHORT.get(name, name)
    if name == "env_file":
        return "value"
    if name.startswith("no_") and name[3:] in options():
        return "no"
    known = options().get(name) or FLAGS.get(name)
    return None if known is None else "bool" if known.is_bool else "value"


def _is_value(kind: str, word: str) -> bool:
    if word.startswith("--") or kind == "no":
        return False
    return kind == "value" or word.lower() in TRUTHS
