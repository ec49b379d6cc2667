"""What a remote member of the cascade is, and how it says that it has nothing to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.core import Evidence


class Absent(Exception):
    """A member that cannot speak about a request; never fatal.

    `reason` a short machine-readable word, perhaps with a detail after a colon: "deadline" (no answer in
             time), "busy" (no free slot in time), "down" (known to be unreachable, not even asked),
             "unreachable", "refused:400", "server:503", "aborted", "wrong_model", "no_logprobs",
             "label_mass:0.012", "shape" (an answer that cannot be read), "finish:...", "views" (pictures
             that cannot be sent), "budget".
    `again`  whether asking once more may help.
    """

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again


class RemoteTier(Protocol):
    """A member that runs elsewhere: asked per request, any number at a time, from one event loop."""

    name: str

    @property
    def version(self) -> str:
        """Changes with everything that may change an answer: model, weights, prompt, labels, calibration."""
        ...

    async def evidence(self, views: Sequence[bytes], deadline: float, request_id: str) -> Evidence:
        """Judge one to six encoded views of one scene by `deadline` (`time.monotonic()` seconds).

        Raises Absent, before the deadline, when it cannot; nothing else.
        """
        ...
