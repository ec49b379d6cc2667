"""What an operator should know now: rung once, told until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from loguru import logger

LEVELS = {"info": "INFO", "warn": "WARNING", "fail": "ERROR"}
ORDER = ("fail", "warn", "info")


class AlarmRow(TypedDict):
    """`key` says what it is about, `level` "info", "warn" or "fail"; `since_s` wall clock."""

    key: str
    level: str
    text: str
    since_s: float


class Alarms:
    """The alarms that ring. Used by the event loop's thread only.

    `event` is told of every beginning and end, as ("alarm", {"key", "level", "text", "state"}); the text of a
    ringing alarm may change without one.
    """

    def __init__(
        self, event: Callable[[str, Mapping[str, Any]], object], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._event, self._clock = event, clock
        self._ringing: dict[str, AlarmRow] = {}

    def ring(self, key: str, level: str, text: str) -> None:
        """Begin an alarm, or say more of one that rings."""
        was = self._ringing.get(key)
        since = self._clock() if was is None else was["since_s"]
        self._ringing[key] = AlarmRow(key=key, level=level, text=text, since_s=since)
        if was is None or was["level"] != level:
            logger.log(LEVELS[level], "alarm: {}", text)
            self._event("alarm", {"key": key, "level": level, "text": text, "state": "rings"})

    def end(self, key: str) -> None:
        """Nothing when it does not ring."""
        was = self._ringing.pop(key, None)
        if was is not None:
            logger.info("alarm over: {}", was["text"])
            self._event("alarm", {"key": key, "level": was["level"], "text": was["text"], "state": "over"})

    def hold(self, kind: str, found: Mapping[str, tuple[str, str]]) -> None:
        """Let exactly these alarms of a kind ring: what follows the kind's name and a blank -> (level, text);
        "" stands for the kind alone."""
        wanted = {f"{kind} {key}".rstrip(): said for key, said in found.items()}
        for key in [key for key in self._ringing if _is_of(key, kind) and key not in wanted]:
            self.end(key)
        for key, (level, text) in wanted.items():
            self.ring(key, level, text)

    def rows(self) -> list[AlarmRow]:
        """The worst first, then the oldest."""
        return sorted(self._ringing.values(), key=lambda row: (ORDER.index(row["level"]), row["since_s"]))


def _is_of(key: str, kind: str) -> bool:
    return key == kind or key.startswith(f"{kind} ")
