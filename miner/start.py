"""Where the miner starts: settings first, so that help or a wrong flag ends before anything heavy loads."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from loguru import logger

from miner import loop
from miner.settings import SettingsError, load
from miner.telemetry import set_up_logging

EXIT_REFUSED = 2
"""Settings, wallet, data folder or port cannot be honoured; the message says why."""


def main(argv: Sequence[str]) -> int:
    """Run the miner until SIGINT or SIGTERM; the process's exit status. `argv` without the program's name."""
    try:
        settings = load(argv)
    except SettingsError as error:
        return _refused(error)
    set_up_logging(debug=settings.logging.debug, trace=settings.logging.trace)
    for notice in settings.notices:
        logger.warning(notice)

    from miner.app import run
    from miner.control import DataFolderBusy
    from miner.identity import IdentityError, load_hotkeys
    from miner.ledger import LedgerTooNew
    from miner.wire.server import BindError

    try:
        return loop.run(run(settings, *load_hotkeys(settings.wallet)))
    except (SettingsError, IdentityError, BindError, DataFolderBusy, LedgerTooNew) as error:
        return _refused(error)


def _refused(error: Exception) -> int:
    sys.stderr.write(f"streetvision-miner: {error}\n")
    return EXIT_REFUSED
