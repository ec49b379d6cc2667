"""Have a VLM member tell in words what stands in a scene: for people, beside its answer and never in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from models.told import ASK, Told, read
from models.vlm.chat import PATH, ChatLogprobs
from models.vlm.member import Absent
from models.vlm.question import check, content, with_extra

MOST_TOKENS = 160
"""The object asked for takes half of them."""


async def tell(chat: ChatLogprobs, views: Sequence[bytes], deadline: float, request_id: str) -> Told | None:
    """What `chat`'s server tells of one to six encoded views; None when its answer holds nothing of use.

    Raises Absent, before `deadline` (`time.monotonic()` seconds), when there is no answer.
    """
    check(views)
    body, size = partial(_body, chat, views), sum(map(len, views))
    text, _ = await chat.server.ask(PATH, body, _text, deadline, request_id, size=size, named=True)
    return read(text)


def _body(chat: ChatLogprobs, views: Sequence[bytes]) -> dict[str, Any]:
    ours = {
        "model": chat.server.address.model,
        "messages": [{"role": "user", "content": content(ASK, views)}],
        "max_tokens": MOST_TOKENS,
        "temperature": 0,
    }
    return with_extra(ours, chat.question.extra)


def _text(body: Mapping[str, Any]) -> str:
    """Raises Absent."""
    try:
        choice = body["choices"][0]
        if choice["finish_reason"] == "abort":
            raise Absent("aborted", again=True)
        return str(choice["message"]["content"] or "")
    except (KeyError, IndexError, TypeError) as error:
        raise Absent("shape") from error
