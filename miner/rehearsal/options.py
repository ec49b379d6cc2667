"""The options that the rehearsal validator and the stage share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import inf
from pathlib import Path

from miner.rehearsal.challenges import REGIMES, Regime

NETUID = 72
DATA = Path("~/.streetvision-miner/rehearsal")
CHAIN_FILE = "chain.sqlite"
WALLETS = "wallets"
VALIDATOR = "rehearsal-validator"
EXIT_REFUSED = 2
"""What was asked for cannot be done; the message says why."""


def folder(text: str) -> Path:
    """A path as typed, absolute, `~` understood."""
    return Path(text).expanduser().absolute()


def whole(least: int, most: float = inf) -> Callable[[str], int]:
    """Whole numbers from `least` to `most`."""

    def parse(text: str) -> int:
        if not least <= int(text) <= most:
            limit = f"below {least}" if int(text) < least else f"above {most}"
            raise argparse.ArgumentTypeError(f"{text} is {limit}")
        return int(text)

    return parse


def positive(text: str) -> float:
    if not 0 < float(text) < inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return float(text)


def not_negative(text: str) -> float:
    return 0.0 if float(text) == 0 else positive(text)


def shared() -> argparse.ArgumentParser:
    """A parent parser: where things lie, what is drawn, how fast, and what is written at the end."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add(
        "--data", type=folder, default=folder(str(DATA)), help="the rehearsal's folder (default: %(default)s)"
    )
    add(
        "--images",
        type=folder,
        help="folder of pictures in roadwork/ and none/ (default: ../shared/data/val beside the repository "
        "where it is, else rendered scenes)",
    )
    add(
        "--regime",
        choices=("mixed", *REGIMES),
        default="mixed",
        help="how pictures are shown: 224 px with the four levels of distortion, 224 px with black bars, "
        "native size, or any of these (default: %(default)s)",
    )
    add(
        "--rate",
        type=not_negative,
        default=1.0,
        help="challenges per second; 0: as fast as --concurrency allows",
    )
    add("--concurrency", type=whole(1), default=8, help="most challenges in flight (default: %(default)s)")
    add("--count", type=whole(1), help="end after so many challenges (default: go on until Ctrl-C)")
    add(
        "--distinct",
        type=whole(0),
        default=0,
        help="draw so many challenges beforehand and go round, which spares the CPU under load (0: none)",
    )
    add("--seed", type=int, help="draw the same challenges again (default: a new seed each time)")
    add("--json", type=folder, metavar="FILE", help="write the summary there at the end")
    return parser


def regimes_of(name: str) -> tuple[Regime, ...]:
    return tuple(regime for regime in REGIMES if name in ("mixed", regime))
