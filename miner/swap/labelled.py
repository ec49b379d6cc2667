"""The labelled pictures that a candidate is compared on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from loguru import logger

from miner.capture import Labelled as Picture
from miner.capture import NoPicture
from miner.engine.golden import Item
from miner.registry import Registry
from miner.swap.trial import Labelled

GUESSED = "pseudo"
"""Source of labels that models gave themselves: nothing to judge a model by."""


def compared_on(pictures: Callable[[], Sequence[Picture]], registry: Registry, most: int) -> Labelled:
    """The newest `most` of `pictures`, oldest first, without those that a version was trained on."""

    def gather(tier: str, version: str) -> list[Item]:
        trained = registry.trained(tier, version)
        true = (one for one in pictures() if one.source != GUESSED and one.sha256 not in trained)
        free = sorted(true, key=lambda one: one.at_ns)
        return [item for one in free[-most:] if (item := _item(one)) is not None]

    async def labelled(tier: str, version: str) -> list[Item]:
        return await asyncio.to_thread(gather, tier, version)

    return labelled


def _item(picture: Picture) -> Item | None:
    try:
        return Item(picture.sha256, picture.roadwork, (picture.read(),))
    except NoPicture as error:
        logger.warning("the labelled picture {} cannot be read: {}", picture.sha256[:12], error)
        return None
