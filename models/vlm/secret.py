"""Keys: read from the environment by name, never printed, taken out of any text that is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

HIDDEN = "<redacted>"

_SHAPES = (
    re.compile(r"(?i)(bearer\s+)[^\s'\",)}\]]+"),
    re.compile(
        r"(?i)((?:admin[_-])?api[_-]?key\\?['\"]?\s*[=:]\s*\\?['\"]?|--(?:admin-)?api-key\s+)(?!None\b)[^\s'\",)}\]\\]+"
    ),
    re.compile(r"\b((?:hf|sk)[_-])[A-Za-z0-9_-]{16,}"),
    re.compile(r"(://[^/\s:@]+:)[^/\s@]+(?=@)"),
)


class Secret:
    """A value that shows itself only when `reveal` is called."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value:
            raise ValueError("an empty key is no key")
        self._value = value

    @classmethod
    def from_env(cls, name: str | None, environ: Mapping[str, str] | None = None) -> Secret | None:
        """The value of the environment variable `name`; None for no name. Raises ValueError if unset."""
        if name is None:
            return None
        value = (os.environ if environ is None else environ).get(name, "").strip()
        if not value:
            raise ValueError(f"the environment variable {name}, which should hold a key, is not set")
        return cls(value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a key is not written to disk")


def redact(text: str, secrets: Iterable[Secret] = ()) -> str:
    """`text` without these secrets, and without anything that looks like a key or a password."""
    for secret in secrets:
        text = text.replace(secret.reveal(), HIDDEN)
    for shape in _SHAPES:
        text = shape.sub(rf"\g<1>{HIDDEN}", text)
    return text
