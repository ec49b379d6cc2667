"""The three sources beside the defaults: env file, environment, flags. Each yields `Given` in order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from miner.settings.fields import ENV_PREFIX, options
from miner.settings.reference import ENVIRONMENT, FLAGS, SHORT, Old

ENV_FILE_NAME = f"{ENV_PREFIX}ENV_FILE"
COMMENT = re.compile(r"(^|\s)#.*")
ASKS = ("help", "h", "version", "env_file")
"""Flags that are no settings. `h` stands for -h."""


class SettingsError(ValueError):
    """The settings cannot be honoured; the message is a sentence naming the setting and what is allowed."""


@dataclass(frozen=True, slots=True)
class Given:
    """One value somebody gave: dotted `name`, its `text`, and `origin` in words ("flag --axon.port")."""

    name: str
    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something given that has no effect here, said once at start."""

    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A flag that is no setting: help, version or env_file (whose `text` is the path)."""

    what: str
    text: str


def from_env_file(path: Path) -> Iterator[Given | Notice]:
    """Our names and the reference miner's in a dotenv file; other tools' names are left alone. Raises
    SettingsError."""
    from dotenv import dotenv_values

    try:
        found = dotenv_values(path)
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"the env file {path} cannot be read: {error}") from error
    yield from _from_names({name: text or "" for name, text in found.items()}, f"in {path}")
    for name in found:
        yield from _looks_like_ours(name, path)


def from_environment(env: Mapping[str, str]) -> Iterator[Given | Notice]:
    """Our names and the reference miner's in the environment. A comment behind one of the reference's, as in
    its `miner.env`, is no part of the value: systemd and `docker run --env-file` leave it there."""
    bare = {name: COMMENT.sub("", env[name]) for name in ENVIRONMENT if name in env}
    yield from _from_names({**env, **bare}, "in the environment")


def from_flags(argv: Sequence[str]) -> Iterator[Given | Notice | Asked]:
    """`--name value`, `--name=value`, `--flag`, `--flag false`, `--no-flag`. Raises SettingsError."""
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "-h":
            word = "--help"
        if not word.startswith("--") or word == "--":
            raise SettingsError(f"{word!r} is not a flag; every setting is given as --section.name VALUE")
        raw, equals, text = word[2:].partition("=")
        yield _flag(raw, text if equals else None, words)


def _flag(raw: str, text: str | None, rest: list[str]) -> Given | Notice | Asked:
    name = raw.replace("-", "_")
    name = SHORT.get(name, name)
    if name in ASKS:
        return Asked(name, text or (_value(raw, rest) if name == "env_file" else ""))
    if name.startswith("no_") and (option := options().get(name[3:])) is not None and option.is_bool:
        return Given(option.name, "false", f"flag --{raw}")
    if name in FLAGS:
        return _old_flag(raw, FLAGS[name], text, rest)
    if name not in options():
        raise SettingsError(
            f"there is no flag --{raw}{_nearest(name, [*options(), *FLAGS, 'help', 'version'], '--')}"
        )
    if text is None:
        text = _bool_text(rest) if options()[name].is_bool else _value(raw, rest)
    return Given(name, text, f"flag --{raw}")


def _old_flag(raw: str, old: Old, text: str | None, rest: list[str]) -> Notice:
    if text is None:
        text = _bool_text(rest) if old.is_bool else _take(rest)
    if old.fate == "refused" and (text or "").lower() not in ("false", "no", "off", "0"):
        raise SettingsError(f"flag --{raw}: {old.note}")
    return Notice(f"flag --{raw} has no effect: {old.note}")


def _value(raw: str, rest: list[str]) -> str:
    text = _take(rest)
    if text is None:
        raise SettingsError(f"flag --{raw} needs a value")
    return text


def _take(rest: list[str]) -> str | None:
    return rest.pop(0) if rest and not rest[0].startswith("--") else None


def _bool_text(rest: list[str]) -> str:
    """A bare flag means true; a word that follows is its value, as in the reference start script."""
    return _take(rest) or "true"


def _from_names(names: Mapping[str, str], where: str) -> Iterator[Given | Notice]:
    """The reference miner's names come first, so that ours win within one source."""
    for name, old in ENVIRONMENT.items():
        if names.get(name, "").strip():
            yield _old_name(name, old, names[name], where)
    ours = {option.env: option.name for option in options().values()}
    for name, text in names.items():
        if name in ours:
            yield Given(ours[name], text, f"{name} {where}")
        elif name.startswith(ENV_PREFIX) and name != ENV_FILE_NAME:
            raise SettingsError(f"there is no setting {name} ({where}){_nearest(name, ours)}")


def _old_name(name: str, old: Old, text: str, where: str) -> Given | Notice:
    if old.fate == "same":
        return Given(old.note, text, f"{name} {where}")
    return Notice(f"{name} {where} has no effect: {old.note}")


def _looks_like_ours(name: str, path: Path) -> Iterator[Notice]:
    if name in ENVIRONMENT or name.startswith(ENV_PREFIX):
        return
    near = difflib.get_close_matches(name, ENVIRONMENT, n=1, cutoff=0.85)
    if near:
        yield Notice(f"{name} in {path} is no setting; did you mean {near[0]}?")


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """A tail for an error; a bare word is looked for among the last parts, else the whole name counts."""
    whole = {one: one for one in known}
    tails = {one.rpartition(".")[2]: one for one in reversed(list(whole))}
    for names, word in ((tails, name), (whole, name), (tails, name.rpartition(".")[2])):
        near = difflib.get_close_matches(word, names, n=1, cutoff=0.7)
        if near:
            return f"; did you mean {prefix}{names[near[0]]}?"
    return "; --help lists them all"
