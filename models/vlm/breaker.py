"""Stops asking a server that does not answer, so that its silence costs nobody a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

TRIPS_AFTER = 3
FIRST_S, LAST_S = 0.5, 15.0


class Breaker:
    """Closed until `TRIPS_AFTER` failures in a row; then open for 0.5 s, doubling to 15 s; between two such
    pauses one request at a time is let through as a trial. One success closes it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget every failure."""
        self._failures = 0
        self._pause_s = FIRST_S
        self._closed_at = 0.0
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether requests are being turned away."""
        return self._failures >= TRIPS_AFTER and (self._trying or self._clock() < self._closed_at)

    def admit(self) -> bool:
        """Whether to ask now; while it is tripped, True makes the caller the trial: it must report back."""
        if self._failures < TRIPS_AFTER:
            return True
        if self.open:
            return False
        self._trying = True
        return True

    def worked(self) -> None:
        self.reset()

    def failed(self) -> None:
        """Failures of requests that were under way when it opened change nothing."""
        if self.open and not self._trying:
            return
        self._failures += 1
        if self._failures >= TRIPS_AFTER:
            self._closed_at = self._clock() + self._pause_s
            self._pause_s = min(self._pause_s * 2, LAST_S)
        self._trying = False

    def unknown(self) -> None:
        """The trial ended without saying anything about the server."""
        self._trying = False
