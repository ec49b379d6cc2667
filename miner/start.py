"""Where the miner starts: settings first, so that help or a wrong flag ends before anything heavy loads."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from loguru import logger

from miner import loop
from miner.settings import Settings, SettingsError, describe, load
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
    for line in describe(settings).splitlines():
        logger.info("settings: {}", line)
    for notice in settings.notices:
        logger.warning(notice)

    try:
        return loop.run(_serve(settings))
    except Exception as error:
        from miner.control import DataFolderBusy
        from miner.identity import IdentityError
        from miner.ledger import LedgerTooNew
        from miner.wire.server import BindError
        from models.description import DescriptionError

        told = SettingsError | IdentityError | BindError | DataFolderBusy | LedgerTooNew | DescriptionError
        if isinstance(error, told):
            return _refused(error)
        raise


async def _serve(settings: Settings) -> int:
    """The engine's process first: it imports for as long as we do."""
    if settings.engine.mode == "child":
        from miner.engine import early, process

        await early.begin(process.COMMAND, process.environment(settings.engine.threads), early.AHEAD)
    from miner.app import run
    from miner.identity import load_hotkeys

    return await run(settings, *load_hotkeys(settings.wallet))


def _refused(error: Exception) -> int:
    sys.stderr.write(f"streetvision-miner: {error}\n")
    return EXIT_REFUSED
