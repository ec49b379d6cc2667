"""What `classify` is asked: its own words apart from the daemon's flags, which it takes too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from miner.classify.page import ORDERS
from miner.settings.fields import options
from miner.settings.reference import FLAGS
from models.core import MAX_VIEWS

HEATS = 24
STDOUT = Path("-")
_BOOLEANS = ("true", "false", "yes", "no", "on", "off", "1", "0")


def parser() -> argparse.ArgumentParser:
    """Of the words that are `classify`'s own."""
    made = argparse.ArgumentParser(
        prog="streetvision-miner classify",
        allow_abbrev=False,
        description="Says for each picture how likely it shows roadwork. Needs no subnet, wallet or network.",
        epilog="The daemon's flags are taken too, e.g. --model.path FOLDER, --engine.mode thread, "
        "--neuron.image_detector_device cuda. Exit status: 0 all judged, 1 some could not be, "
        "2 nothing could be done.",
    )
    add = made.add_argument
    add("paths", nargs="*", type=Path, metavar="IMAGE|FOLDER", help="pictures, and folders with all below")
    add(
        "--views",
        nargs="+",
        type=Path,
        action="append",
        default=[],
        metavar="IMAGE",
        help=f"one to {MAX_VIEWS} views of one scene, judged together; may be given several times",
    )
    add("--series", action="store_true", help="the scenes are moments of one place, in order of time")
    add("--describe", action="store_true", help="have the cascade's VLM server tell of each scene in words")
    add("--csv", type=Path, metavar="FILE", help="write a row per scene there (-: standard output)")
    add("--json", type=Path, metavar="FILE", help="write all that is known there (-: standard output)")
    add("--explain", type=Path, metavar="FILE", help="write an HTML page there that shows each verdict")
    add("--sort", choices=ORDERS, default="probability", help="order of that page (default: %(default)s)")
    add(
        "--heat",
        type=_count,
        default=HEATS,
        metavar="N",
        help="draw where the model looked for the first N scenes of that page (default: %(default)s; each "
        "view costs 50 looks of the model)",
    )
    return made


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """(what is asked, the flags for `miner.settings.load`). Exits with 0 or 2, as argparse does."""
    own, flags = split(argv)
    made = parser()
    asked = made.parse_args(own)
    if not asked.paths and not asked.views:
        made.error("give at least one picture or folder")
    if sum(file == STDOUT for file in (asked.csv, asked.json)) > 1:
        made.error("only one of --csv and --json can go to standard output")
    for file in filter(None, (asked.csv, asked.json, asked.explain)):
        if not file.absolute().parent.is_dir() or file.is_dir():
            made.error(f"{file} cannot be written: it is a folder, or its folder does not exist")
    return asked, flags


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """(our own words, the daemon's flags as --name=value). What follows -- is never a flag."""
    own: list[str] = []
    flags: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*own, word, *words], flags
        if not _is_setting(word):
            own.append(word)
        elif "=" not in word and words and _takes(word, words[0]):
            flags.append(f"{word}={words.pop(0)}")
        else:
            flags.append(word)
    return own, flags


def _name(word: str) -> str:
    return word[2:].partition("=")[0].replace("-", "_")


def _is_setting(word: str) -> bool:
    """Known, or spelled like one: the settings say what is wrong with it."""
    name = _name(word)
    if not word.startswith("--"):
        return False
    return "." in name or name == "env_file" or name in options() or name in FLAGS


def _takes(word: str, following: str) -> bool:
    """Whether the next word is this flag's value; a switch only takes what cannot be a picture's name."""
    name = _name(word)
    if name.startswith("no_"):
        return False
    option, old = options().get(name), FLAGS.get(name)
    if (option is not None and option.is_bool) or (old is not None and old.is_bool):
        return following.lower() in _BOOLEANS
    return not following.startswith("--")


def _count(text: str) -> int:
    if int(text) < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return int(text)
