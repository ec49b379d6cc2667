"""What a person reads about the settings: the help page, and what is in force and where it came from."""

from __future__ import annotations

import textwrap
from importlib import metadata
from pathlib import Path
from typing import Any

from miner.settings.fields import Option, allowed, options, sections, value_at
from miner.settings.tree import Settings

WIDTH = 100

HEAD = """\
streetvision-miner: answers the validators of Bittensor subnet 72 (NATIX StreetVision).

  python neurons/miner.py --wallet.name NAME --wallet.hotkey HOTKEY --axon.external_ip ADDRESS

Every setting has a flag, and a name for the environment or for an env file. What comes later wins:
defaults < miner.env (also the reference miner's) < .env < environment < flags.

  --help            this page
  --version         the version
  --env-file FILE   instead of miner.env and .env (environment: SVM_ENV_FILE)
"""
TAIL = """\
Booleans: --flag, --flag true, --flag=false, --no-flag. Lists: a,b,c. "none": not set.
An empty text changes nothing.
The reference miner's flags and miner.env are understood: same meaning, or a sentence on what to use.
"""


def help_page() -> str:
    """Every setting with its default, what it allows and its environment name, by section."""
    parts = [HEAD]
    for name, title, members in sections():
        heading = f"{title} ({name}.*)" if name else title
        parts.append("\n".join([heading, "-" * len(heading), *map(_entry, members), ""]))
    return "\n".join([*parts, TAIL])


def version_line() -> str:
    """ "streetvision-miner 0.1.0"."""
    return f"streetvision-miner {version()}"


def version() -> str:
    """The installed version; "0 (not installed)" when run from a bare checkout."""
    try:
        return metadata.version("streetvision-miner")
    except metadata.PackageNotFoundError:
        return "0 (not installed)"


def describe(settings: Settings, *, everything: bool = False) -> str:
    """The settings in force and where each came from, one a line; by default only what somebody set."""
    names = [name for name in options() if everything or settings.origin(name) != "default"]
    if not names:
        return "all settings are at their defaults"
    rows = [(name, _safe(name, value_at(settings, name)), settings.origin(name)) for name in names]
    wide, wider = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{name:<{wide}}  {value:<{min(wider, 40)}}  {origin}" for name, value, origin in rows)


def _safe(name: str, value: Any) -> str:
    """As `shown`, but for secrets."""
    return "(secret)" if value and options()[name].secret else shown(value)


def shown(value: Any) -> str:
    """A value as an operator would type it."""
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _entry(option: Option) -> str:
    default = option.default
    about = f"{option.info.description} [{shown(str(default) if isinstance(default, Path) else default)}]"
    detail = f"{allowed(option)}; {option.env}"
    lines = textwrap.wrap(about, WIDTH - 6) + textwrap.wrap(detail, WIDTH - 6)
    return "\n".join([f"  --{option.name}", *(f"      {line}" for line in lines)])
