"""The log: loguru to stderr, with the standard library's loggers (uvicorn's, bittensor's) led into it."""

from __future__ import annotations

import logging
import sys
from typing import Any

from loguru import logger

FORMAT = "<dim>{time:YYYY-MM-DD HH:mm:ss.SSS}</dim> <level>{level:<8}</level> {message}"
OTHERS = {"INFO": logging.WARNING, "DEBUG": logging.INFO, "TRACE": logging.DEBUG}
"""Our level -> the level from which other people's loggers are heard."""


def set_up_logging(*, debug: bool = False, trace: bool = False, sink: Any = None) -> str:
    """Send everything to `sink` (None: stderr), replacing what was set up before; returns the level.

    Values of local variables are never printed with a traceback: one of them could be a key.
    """
    level = "TRACE" if trace else "DEBUG" if debug else "INFO"
    logger.remove()
    logger.add(sink or sys.stderr, level=level, format=FORMAT, backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[Intercept()], level=OTHERS[level], force=True)
    logging.captureWarnings(True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        theirs = logging.getLogger(name)
        theirs.handlers, theirs.propagate = [], True
    return level


class Intercept(logging.Handler):
    """Hands a standard library record to loguru, with its logger's name in front."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        logger.opt(exception=record.exc_info).log(level, "{}: {}", record.name, record.getMessage())
