"""VLM members by server: one client per server, one member per way of asking it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from models.vlm.chat import ChatLogprobs
from models.vlm.decisions import Decisions
from models.vlm.member import Absent, RemoteTier
from models.vlm.question import Question
from models.vlm.server import Address, Server

Protocol = Literal["chat_logprobs", "decisions"]

MEMBERS: dict[str, Callable[[str, Server, Question], RemoteTier]] = {
    "chat_logprobs": ChatLogprobs,
    "decisions": Decisions,
}


def create_member(protocol: str, name: str, server: Server, question: Question | None = None) -> RemoteTier:
    """A member that asks `server` in this way. Raises ValueError with a sentence when it cannot."""
    if protocol not in MEMBERS:
        raise ValueError(f"no way of asking is called {protocol!r}; there are: {', '.join(MEMBERS)}")
    return MEMBERS[protocol](name, server, question or Question())


__all__ = ["MEMBERS", "Absent", "Address", "Protocol", "Question", "RemoteTier", "Server", "create_member"]
