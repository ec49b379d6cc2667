"""What can go wrong with a chain, in words that need no SDK."""

from __future__ import annotations


class ChainDown(Exception):
    """No answer from the chain: unreachable, frozen, dropped, or not understood. Try again later."""


class ChainRefused(Exception):
    """The chain answered and said no. `name` is its own error name, e.g. `ServingRateLimitExceeded`."""

    def __init__(self, name: str, message: str = "", *, rate_limited: bool = False) -> None:
        super().__init__(message or name)
        self.name = name
        self.rate_limited = rate_limited
