"""Asks the cascade's VLM server what stands in each scene; it never moves a verdict."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loguru import logger

from miner.classify.judge import limits_of
from miner.classify.progress import progress
from miner.classify.scenes import Row, read
from miner.engine import chosen
from miner.settings import Settings
from models.vlm.member import Absent

if TYPE_CHECKING:
    from models.vlm.chat import ChatLogprobs

ABREAST = 4
WITHIN_S = 60.0
"""For one scene."""

_numbers = itertools.count(1)


class NoTeller(ValueError):
    """The cascade names no VLM server that could tell anything."""


def teller(settings: Settings) -> Mapping[str, Any]:
    """Options of the cascade's first VLM that answers in words. Raises NoTeller."""
    tiers = chosen(settings.cascade.path, settings.model).tiers
    for tier in tiers:
        if tier["kind"] == "vlm" and tier.get("protocol", "chat_logprobs") == "chat_logprobs":
            return {name: value for name, value in tier.items() if name != "kind"}
    raise NoTeller("--describe needs a cascade with a member of kind vlm, asked by chat_logprobs")


async def described(rows: Sequence[Row], settings: Settings) -> list[Row]:
    """The rows with what was told; one that nothing was told of stays as it is. Raises NoTeller."""
    from models.vlm import create_member
    from models.vlm.chat import ChatLogprobs

    chat = create_member(**teller(settings))
    assert isinstance(chat, ChatLogprobs)
    turns = asyncio.Semaphore(ABREAST)
    limits = limits_of(settings)
    with progress("describing", len(rows)) as advance:

        async def one(row: Row) -> Row:
            async with turns:
                views = () if row.verdict is None else await asyncio.to_thread(read, row.scene, limits)
                found = await _told(chat, row, views)
                advance()
                return found

        try:
            return list(await asyncio.gather(*map(one, rows)))
        finally:
            await chat.server.close()


async def _told(chat: ChatLogprobs, row: Row, views: Sequence[bytes]) -> Row:
    from models.vlm.tell import tell

    if not views:
        return row
    try:
        told = await tell(chat, views, time.monotonic() + WITHIN_S, f"describe-{next(_numbers)}")
    except Absent as absent:
        logger.warning("nothing is told of {}: {}", row.scene.name, absent.reason)
        return row
    return replace(row, told=told)
