"""Writes the page card by card, so that a folder of thousands needs no more memory than one of ten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from miner.classify.artist import Artist, Drawn
from miner.classify.files import Sink
from miner.classify.judge import limits_of
from miner.classify.output import Run
from miner.classify.page import card, closing, opening
from miner.classify.progress import progress
from miner.classify.scenes import Row
from miner.engine import chosen
from miner.engine.tiers import Spec
from miner.settings import Settings


async def explain(rows: Sequence[Row], settings: Settings, run: Run, file: Path, heats: int) -> None:
    """A picture per view of every row; under a heat map those of the first `heats` rows with a verdict.

    Raises Unwritable."""
    sink = Sink(file)
    artist = Artist(looked_at(settings), settings.neuron.image_detector_device, limits_of(settings))
    left, heat = heats, False
    try:
        sink.write(opening(rows, run))
        with progress("drawing", len(rows)) as advance:
            for row in rows:
                hot = left > 0 and row.verdict is not None
                left -= hot
                drawn = [await _picture(artist, row, each, hot) for each in row.scene.files]
                heat = heat or any(one.heat for one in drawn)
                sink.write(card(row, drawn))
                advance()
        sink.write(closing(heat=heat))
    finally:
        await artist.close()
        sink.close()


def looked_at(settings: Settings) -> Spec:
    """The member whose look is drawn: the cascade's first classifier, else its first member."""
    tiers = chosen(settings.cascade.path, settings.model).tiers
    return next((tier for tier in tiers if tier["kind"] == "classifier"), tiers[0])


async def _picture(artist: Artist, row: Row, file: Path, heat: bool) -> Drawn:
    """What a child has died of is not shown to another."""
    if row.reason == "poison":
        return Drawn(error=row.reason)
    return await artist.draw(file, heat)
