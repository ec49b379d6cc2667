"""The command: find, judge, write, tell."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loguru import logger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from miner.classify.arguments import STDOUT, parse
from miner.classify.artist import Artist, Drawn
from miner.classify.judge import EngineDown, engine_of, judge, limits_of
from miner.classify.output import Run, csv_text, json_text, table
from miner.classify.page import ordered, page
from miner.classify.scenes import Row, Scene, find
from miner.engine import classifier
from miner.settings import Settings, load
from miner.show import echo

EXIT_SOME, EXIT_NONE, EXIT_STOPPED = 1, 2, 130


def main(argv: Sequence[str]) -> int:
    """Run it; the exit status. Raises SettingsError. Ctrl-C still reports what was judged."""
    asked, flags = parse(argv)
    settings = load(flags)
    _quiet(settings)
    for notice in settings.notices:
        logger.warning(notice)
    scenes = find(asked.paths, asked.views)
    rows: dict[int, Row] = {}
    run = Run({}, settings.neuron.image_detector_device, 0.0)
    stopped = False
    try:
        run = asyncio.run(_judged(scenes, settings, rows))
    except EngineDown as down:
        sys.stderr.write(f"streetvision-miner: no model can judge: {down}\n")
        return EXIT_NONE
    except KeyboardInterrupt:
        stopped = True
    done = [rows[number] for number in sorted(rows)]
    try:
        _report(asked, settings, done, run, explain=not stopped)
    except OSError as error:
        sys.stderr.write(f"streetvision-miner: {error.filename} cannot be written: {error.strerror}\n")
        return EXIT_NONE
    if stopped:
        return EXIT_STOPPED
    return EXIT_SOME if any(row.verdict is None for row in done) else 0


async def _judged(scenes: Sequence[Scene], settings: Settings, rows: dict[int, Row]) -> Run:
    """Fill `rows` by number; what judged them, and in which time."""
    first: list[float] = []
    with _progress("judging", len(scenes)) as advance:

        def heard(number: int, row: Row) -> None:
            rows[number] = row
            advance()

        def asking() -> None:
            first.append(time.monotonic())

        health = await judge(scenes, settings, engine_of(settings), heard, asking)
    return Run(health.versions, health.device, time.monotonic() - first[0])


def _report(asked: Namespace, settings: Settings, rows: Sequence[Row], run: Run, *, explain: bool) -> None:
    if asked.csv:
        _write(asked.csv, csv_text(rows))
    if asked.json:
        _write(asked.json, json_text(rows, run))
    if asked.explain and explain:
        shown = ordered(rows, asked.sort)
        drawn = asyncio.run(_drawn(shown, settings, asked.heat))
        _write(asked.explain, page(shown, drawn, run))
    if STDOUT not in (asked.csv, asked.json):
        echo(table(rows, run))


async def _drawn(rows: Sequence[Row], settings: Settings, heats: int) -> list[list[Drawn]]:
    """A picture per view of every row; under a heat map those of the first `heats` rows with a verdict."""
    artist = Artist(classifier(settings.model), settings.neuron.image_detector_device, limits_of(settings))
    drawn: list[list[Drawn]] = []
    with _progress("drawing", len(rows)) as advance:
        try:
            for number, row in enumerate(rows):
                drawn.append([await _picture(artist, row, file, number < heats) for file in row.scene.files])
                advance()
        finally:
            await artist.close()
    return drawn


async def _picture(artist: Artist, row: Row, file: Path, heat: bool) -> Drawn:
    """What a child has died of is not shown to another."""
    if row.reason == "poison":
        return Drawn(error=row.reason)
    return await artist.draw(file, heat and row.verdict is not None)


def _write(file: Path, text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    if file == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    else:
        file.write_bytes(data)


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr while there is something to wait for and somebody to see it."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def _quiet(settings: Settings) -> None:
    """The daemon's log is no part of the results: only what went wrong is told."""
    level = "DEBUG" if settings.logging.debug or settings.logging.trace else "WARNING"
    logger.remove()
    logger.add(sys.stderr, format="{level}: {message}", level=level, backtrace=False, diagnose=False)
