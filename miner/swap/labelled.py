"""The labelled pictures that a candidate is compared on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from loguru import logger

from miner.registry import Registry
from miner.swap.asking import Item
from miner.swap.trial import Labelled


class Picture(Protocol):
    """A labelled picture as it is kept: `read` may raise OSError or ValueError."""

    @property
    def sha256(self) -> str: ...
    @property
    def at_ns(self) -> int: ...
    @property
    def roadwork(self) -> bool: ...
    @property
    def read(self) -> Callable[[], bytes]: ...


def compared_on(pictures: Callable[[], Sequence[Picture]], registry: Registry, most: int) -> Labelled:
    """The newest `most` of `pictures`, oldest label first, without those that a version was trained on."""

    def gather(tier: str, version: str) -> list[Item]:
        trained = registry.trained(tier, version)
        free = sorted((one for one in pictures() if one.sha256 not in trained), key=lambda one: one.at_ns)
        return [item for one in free[-most:] if (item := _item(one)) is not None]

    async def labelled(tier: str, version: str) -> list[Item]:
        return await asyncio.to_thread(gather, tier, version)

    return labelled


def _item(picture: Picture) -> Item | None:
    try:
        return Item(picture.sha256, picture.roadwork, (picture.read(),))
    except (OSError, ValueError) as error:
        logger.warning("the labelled picture {} cannot be read: {}", picture.sha256[:12], error)
        return None
